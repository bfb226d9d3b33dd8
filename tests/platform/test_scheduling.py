"""Files with whole workers are handed out early, and one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.scheduling import WHOLE_WORKERS, OneWorkerAtATime
from tests.servers import ROOT

WHOLE = sorted(WHOLE_WORKERS)[:4]
REST = [f"tests/site/test_{name}.py" for name in "abcdefgh"]


@dataclass(eq=False)
class Node:
    """A process of xdist: remembers which tests it was sent."""

    sent: list[int] = field(default_factory=list)
    shutting_down: bool = False
    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def order_of(files: list[str]) -> list[tuple[int, str]]:
    """Play a session of two processes whose tests all take as long; return node and
    file of each test in the order in which they end."""
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["2*popen"],
        option=SimpleNamespace(loadscopereorder=True),
    )
    scheduler, nodes = OneWorkerAtATime(config), [Node(), Node()]
    tests = [f"{file}::test_{number}" for file in files for number in range(4)]
    for node in nodes:
        scheduler.add_node(node)  # type: ignore[arg-type]
        scheduler.add_node_collection(node, tests)  # type: ignore[arg-type]
    scheduler.schedule()
    done: list[tuple[int, str]] = []
    while any(node.sent for node in nodes):
        for number, node in enumerate(nodes):
            if node.sent:
                test = node.sent.pop(0)
                scheduler.mark_test_complete(node, test)  # type: ignore[arg-type]
                done.append((number, tests[test].partition("::")[0]))
    return done


def test_no_two_files_with_whole_workers_run_at_a_time_while_others_wait() -> None:
    done = order_of([*REST, *WHOLE])
    assert len(done) == 4 * len(REST + WHOLE)
    pairs = list(zip(done[::2], done[1::2], strict=True))
    both = [pair for pair in pairs if all(file in WHOLE for _, file in pair)]
    assert both == []
    last = max(place for place, (_, file) in enumerate(done) if file in WHOLE)
    assert last < 4 * 2 * len(WHOLE) + 4, "they do not wait for the end"


def test_every_file_is_run_if_there_are_no_others() -> None:
    done = order_of(WHOLE)
    assert sorted({file for _, file in done}) == WHOLE
    assert len(done) == 16


def test_the_files_with_whole_workers_are_there() -> None:
    assert all((ROOT / name).is_file() for name in WHOLE_WORKERS)
