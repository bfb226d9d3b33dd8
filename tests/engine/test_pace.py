"""A phase that does not say how long it takes is timed by its steps."""

from __future__ import annotations

import pytest

from searchjobs.engine import pace
from searchjobs.engine.events import Checkpointed, Progress
from searchjobs.engine.pace import timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says at each look, one after the other."""
    times: list[float] = []
    monkeypatch.setattr(pace.time, "perf_counter", lambda: times.pop(0))
    return times


def at(step: int, phase: str = "derivation", left: float | None = None) -> Progress:
    return Progress(
        phase=phase, epoch=9, epochs=9, step=step, steps=10, seconds_left=left
    )


def left(items: list[object]) -> list[float | None]:
    return [item.seconds_left for item in timed(items) if isinstance(item, Progress)]


def test_the_pace_is_that_of_the_steps_so_far(clock: list[float]) -> None:
    clock[:] = [100.0, 104.0, 110.0]
    assert left([at(1), at(3), at(6)]) == [None, 2.0 * 7, 2.0 * 4]


def test_another_phase_and_one_that_begins_anew_have_no_pace_yet(
    clock: list[float],
) -> None:
    clock[:] = [0.0, 1.0, 5.0, 6.0, 9.0, 11.0]
    told = [at(1), at(2), at(4, "K-means"), at(5, "K-means"), at(1), at(2)]
    assert left(told) == [None, 8.0, None, 5.0, None, 16.0]


def test_a_step_that_is_told_again_is_no_step(clock: list[float]) -> None:
    clock[:] = [0.0, 3.0, 4.0]
    assert left([at(2), at(2), at(4)]) == [None, None, 12.0]


def test_what_tells_its_time_itself_and_what_is_no_progress_stay_as_they_are(
    clock: list[float],
) -> None:
    clock[:] = [0.0, 1.0]
    items = [at(1, left=7.0), Checkpointed(epoch=1, path="x", bytes=1), at(2, left=6.5)]
    assert list(timed(items)) == items
