"""What becomes of a job when its engine ends, whatever ended it."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from searchjobs import memory
from searchjobs.artefacts import StorageAwayError
from searchjobs.engine.events import Failed, FaultKind
from searchjobs.models import Attempt
from searchjobs.runfolder import FolderBusyError
from searchjobs.states import State
from searchjobs.verdict import of_engine, of_error

Outcome = Attempt.Outcome


@pytest.mark.parametrize(
    ("kind", "state", "outcome"),
    [
        ("memory", State.FAILED, Outcome.MEMORY),
        ("device", State.FAILED, Outcome.DEVICE),
        ("disk", State.PAUSED, Outcome.DISK),
        ("spec", State.FAILED, Outcome.FAILED),
        ("data", State.FAILED, Outcome.FAILED),
        ("diverged", State.FAILED, Outcome.FAILED),
        ("bug", State.FAILED, Outcome.FAILED),
    ],
)
def test_a_failure_that_is_told_keeps_its_sentence_and_is_not_tried_again(
    kind: FaultKind, state: str, outcome: str
) -> None:
    found = of_engine(1, Failed(sentence="Do this.", kind=kind))
    assert (found.state, found.outcome, found.sentence) == (state, outcome, "Do this.")


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGTERM, 128 + 15, 128 + 9])
def test_an_engine_that_others_killed_is_tried_again(code: int) -> None:
    found = of_engine(code, None)
    assert (found.state, found.outcome) == (State.QUEUED, Outcome.LOST)


def test_an_engine_that_the_kernel_killed_for_memory_is_not() -> None:
    found = of_engine(-signal.SIGKILL, None, starved=True)
    assert (found.state, found.outcome) == (State.FAILED, Outcome.MEMORY)
    assert "Lower the batch size" in found.sentence
    other = of_engine(-signal.SIGTERM, None, starved=True)
    assert other.outcome == Outcome.LOST, "it kills by SIGKILL alone"


def test_a_crash_is_a_bug_and_points_at_the_log() -> None:
    found = of_engine(-signal.SIGSEGV, None, last_words="Fatal")
    assert found.outcome == Outcome.FAILED
    assert found.sentence == "The engine was ended by SIGSEGV; its log says more."


def test_a_disk_that_is_full_pauses_the_run_even_if_nobody_could_say_so() -> None:
    for found in (
        of_engine(3, None),
        of_engine(3, None, last_words="The disk of /runs is full."),
        of_engine(-signal.SIGBUS, None, full=True),
        of_error(OSError(errno.ENOSPC, "No space left on device")),
    ):
        assert (found.state, found.outcome) == (State.PAUSED, Outcome.DISK)
        assert "is full" in found.sentence


def test_a_folder_in_use_elsewhere_is_tried_again_later() -> None:
    found = of_error(FolderBusyError("An engine on b still works here."))
    assert (found.state, found.outcome) == (State.QUEUED, Outcome.BUSY)
    assert found.later > 0


def test_a_storage_without_the_checkpoint_puts_the_run_off() -> None:
    found = of_error(StorageAwayError("The storage cannot be read."))
    assert (found.state, found.outcome) == (State.QUEUED, Outcome.BUSY)
    assert found.later > 0
    assert "stopped" not in Attempt(outcome=found.outcome).get_outcome_display()


def test_a_folder_without_rights_is_no_full_disk() -> None:
    found = of_error(PermissionError(errno.EACCES, "Permission denied"))
    assert found.state == State.FAILED
    assert "Check its rights" in found.sentence


def counter(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_kills_for_want_of_memory_are_counted_where_the_kernel_counts(
    tmp_path: Path,
) -> None:
    groups, own, system = tmp_path / "groups", tmp_path / "own", tmp_path / "vmstat"
    assert memory.kills(groups, own, system) == 0
    counter(system, "oom_kill_disable 0\noom_kill 7\n")
    assert memory.kills(groups, own, system) == 7
    counter(own, "4:memory:/jobs/a\n0::/\n")
    counter(groups / "memory" / "memory.oom_control", "under_oom 0\noom_kill 5\n")
    assert memory.kills(groups, own, system) == 5
    counter(groups / "memory/jobs/a/memory.oom_control", "oom_kill 2\n")
    assert memory.kills(groups, own, system) == 2
    counter(own, "0::/user.slice\n")
    counter(groups / "user.slice" / "memory.events", "low 0\noom 9\noom_kill 4\n")
    assert memory.kills(groups, own, system) == 4


class Kernel:
    """A counter of the kernel in a file, and a clock that goes when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.now, self.path = 100.0, folder / "vmstat"
        self.kill(0)

    def kill(self, total: int) -> None:
        counter(self.path, f"oom_kill {total}\n")

    def shortage(self) -> memory.Shortage:
        nowhere = self.path.parent / "nowhere"
        return memory.Shortage(
            lambda: memory.kills(nowhere, nowhere, self.path), lambda: self.now
        )

    def pass_time(self, seconds: float, shortage: memory.Shortage) -> None:
        """Let time pass as a supervisor sees it: a look at every tick."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.2
            shortage.look()


def test_a_kill_for_want_of_memory_is_seen_however_late_the_engine_is_reaped(
    tmp_path: Path,
) -> None:
    kernel = Kernel(tmp_path)
    shortage = kernel.shortage()
    kernel.pass_time(300, shortage)
    assert not shortage.has_come()
    kernel.kill(1)
    assert shortage.has_come(), "reaped at once"
    kernel.pass_time(memory.SPAN_SECONDS - 1, shortage)
    assert shortage.has_come(), "it took long to give its memory back"


def test_a_kill_of_another_process_long_ago_is_no_cause(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.kill(3)
    shortage = kernel.shortage()
    assert not shortage.has_come(), "before the engine began"
    kernel.pass_time(10, shortage)
    kernel.kill(4)
    kernel.pass_time(memory.SPAN_SECONDS + 2, shortage)
    assert not shortage.has_come()
    kernel.kill(5)
    kernel.now += 3600
    assert shortage.has_come(), "nobody looked meanwhile: this process slept"
    shortage.look()
    assert shortage.has_come(), "one look is no proof that the engine outlived it"
    kernel.pass_time(memory.SPAN_SECONDS + 2, shortage)
    assert not shortage.has_come()


def test_the_kernel_of_this_machine_is_understood() -> None:
    assert memory.kills() >= 0
