"""What a run may use, measured on a folder and a clock that are real."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from searchjobs import limits
from searchjobs.limits import Limits, too_full
from searchjobs.models import Attempt
from searchjobs.queueing import Allowance
from searchjobs.states import State

Outcome = Attempt.Outcome


def test_without_limits_nothing_is_exceeded(tmp_path: Path) -> None:
    watch = Limits(tmp_path)
    watch.allow(Allowance())
    assert watch.exceeded() is None


def test_time_runs_out_and_may_be_prolonged(tmp_path: Path) -> None:
    watch = Limits(tmp_path)
    watch.allow(Allowance(max_hours=2.5, seconds_left=0.05))
    assert watch.exceeded() is None
    time.sleep(0.06)
    found = watch.exceeded()
    assert found is not None
    assert (found.state, found.outcome) == (State.FAILED, Outcome.TIME)
    assert "the 2.5 hours that its queue allows" in found.sentence
    watch.allow(Allowance(max_hours=3, seconds_left=1800))
    assert watch.exceeded() is None


def test_files_are_measured_all_over_the_folder_and_not_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-00001.pt").write_bytes(b"x" * 600)
    watch = Limits(tmp_path)
    watch.allow(Allowance(most_bytes=1000))
    assert watch.exceeded() is None
    (tmp_path / "events.jsonl").write_bytes(b"x" * 600)
    assert watch.exceeded() is None, "it has just been measured"
    monkeypatch.setattr(limits, "MEASURE_SECONDS", 0.0)
    found = watch.exceeded()
    assert found is not None
    assert (found.state, found.outcome) == (State.FAILED, Outcome.DISK)
    assert "raise the limit" in found.sentence


def test_an_engine_is_stalled_only_after_a_silence_that_was_watched(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.4)
    settings.NASWEB_STALL_SECONDS = 1
    watch = Limits(tmp_path)
    assert watch.exceeded() is None
    time.sleep(1.1)
    assert watch.exceeded() is None, "nobody watched: this process may have slept"
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write("a word\n")
    assert watch.exceeded() is None
    for _ in range(3):
        time.sleep(0.45)
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
