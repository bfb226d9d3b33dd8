"""What a run may use, measured on a real folder and by a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from searchjobs import limits
from searchjobs.limits import Limits, too_full
from searchjobs.models import Attempt
from searchjobs.queueing import Allowance
from searchjobs.states import State

Outcome = Attempt.Outcome


class Clock:
    """A monotonic clock that stands until it is moved: a slow machine moves none."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_without_limits_nothing_is_exceeded(tmp_path: Path) -> None:
    watch = Limits(tmp_path)
    watch.allow(Allowance())
    assert watch.exceeded() is None


def test_time_runs_out_and_may_be_prolonged(tmp_path: Path, clock: Clock) -> None:
    watch = Limits(tmp_path)
    watch.allow(Allowance(max_hours=2.5, seconds_left=50))
    clock.seconds += 49
    assert watch.exceeded() is None
    clock.seconds += 1
    found = watch.exceeded()
    assert found is not None
    assert (found.state, found.outcome) == (State.FAILED, Outcome.TIME)
    assert "the 2.5 hours that its queue allows" in found.sentence
    watch.allow(Allowance(max_hours=3, seconds_left=1800))
    assert watch.exceeded() is None


def test_files_are_measured_all_over_the_folder_and_not_at_every_look(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-00001.pt").write_bytes(b"x" * 600)
    watch = Limits(tmp_path)
    watch.allow(Allowance(most_bytes=1000))
    assert watch.exceeded() is None
    (tmp_path / "events.jsonl").write_bytes(b"x" * 600)
    clock.seconds += 9
    assert watch.exceeded() is None, "it has just been measured"
    clock.seconds += 1
    found = watch.exceeded()
    assert found is not None
    assert (found.state, found.outcome) == (State.FAILED, Outcome.DISK)
    assert "raise the limit" in found.sentence


def test_an_engine_is_stalled_only_after_a_silence_that_was_watched(
    tmp_path: Path, settings: Any, clock: Clock
) -> None:
    settings.NASWEB_STALL_SECONDS = 12
    watch = Limits(tmp_path)
    assert watch.exceeded() is None
    clock.seconds += 13
    assert watch.exceeded() is None, "nobody watched: this process may have slept"
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write("a word\n")
    assert watch.exceeded() is None
    for _ in range(2):
        clock.seconds += 5
        assert watch.exceeded() is None
    clock.seconds += 2
    found = watch.exceeded()
    assert found is not None
    assert (found.state, found.outcome) == (State.FAILED, Outcome.STALLED)
    settings.NASWEB_STALL_SECONDS = 0
    assert watch.exceeded() is None


def test_a_run_does_not_begin_where_there_is_no_room(
    tmp_path: Path, settings: Any
) -> None:
    settings.NASWEB_MIN_FREE_MB = 1
    assert too_full(tmp_path) is None
    settings.NASWEB_MIN_FREE_MB = 10**9
    found = too_full(tmp_path)
    assert found is not None
    assert (found.state, found.outcome) == (State.PAUSED, Outcome.DISK)
    assert "MB left, and a run starts with 1,000,000,000 MB" in found.sentence
