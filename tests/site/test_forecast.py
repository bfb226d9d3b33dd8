"""The queues played forward: order, times, limits, and what cannot be told."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasweb.forecast import Limits, Place, Running, Span, Start, Why, forecast
from searchjobs.order import Waiting

CPU, GPU = "cpu", "cuda"
MIN = 60.0
HOUR = 3600.0


def waits(job_id: int, team: int = 1, **columns: int) -> Waiting:
    given = {"queue_id": 1, "author_id": team, "priority": 0, "devices": 1}
    return Waiting(
        job_id=job_id, team_id=team, **{**given, "position": job_id, **columns}
    )


def place(key: int, worker: int = 1, queues: tuple[int, ...] = (1,)) -> Place:
    return Place(key, worker, CPU, "CPU", frozenset(queues))


def takes(
    minutes: dict[int, float], spread: float = 0.0
) -> dict[tuple[int, str], Span]:
    return {(job, "CPU"): Span(m * MIN, spread * MIN) for job, m in minutes.items()}


def runs(
    slot: int, minutes: float | None, team: int = 9, elapsed: float = 0
) -> Running:
    rest = None if minutes is None else Span(minutes * MIN)
    return Running(1, team, team, CPU, (slot,), elapsed, rest)


def minutes_of(found: dict[int, Start]) -> dict[int, float | None]:
    return {
        job: None if start.seconds is None else start.seconds / MIN
        for job, start in found.items()
    }


def test_jobs_of_one_slot_start_one_after_another() -> None:
    found = forecast(
        [place(1)],
        [runs(1, 6)],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 18, 2: 17, 3: 1}),
    )
    assert minutes_of(found) == {1: 6, 2: 24, 3: 41}
    assert [found[job].place for job in (1, 2, 3)] == [1, 2, 3]


def test_the_slot_that_is_free_first_takes_the_next_job() -> None:
    found = forecast(
        [place(1), place(2)],
        [runs(1, 10), runs(2, 4)],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 3, 2: 1, 3: 1}),
    )
    assert minutes_of(found) == {1: 4, 2: 7, 3: 8}


def test_teams_take_turns_by_what_they_have_used() -> None:
    """Team 2 has used an hour more; each run takes half an hour.

    Team 1 goes first until it has caught up, then they alternate: at equal use the
    smaller position decides.
    """
    jobs = [waits(1, 2), waits(2, 2), *(waits(job, 1) for job in range(3, 7))]
    found = forecast(
        [place(1)],
        [],
        jobs,
        {CPU: {1: HOUR, 2: 2 * HOUR}},
        {1: Limits()},
        takes(dict.fromkeys(range(1, 7), 30)),
    )
    order = sorted(found, key=lambda job: found[job].place)
    assert order == [3, 4, 1, 5, 2, 6]


def test_a_team_whose_run_goes_on_uses_more_and_more() -> None:
    """Both teams have used nothing but team 9's run: in an hour it counts for one."""
    found = forecast(
        [place(1), place(2)],
        [runs(1, 60, team=9, elapsed=60), runs(2, 30, team=8, elapsed=60)],
        [waits(1, 9), waits(2, 8)],
        {CPU: {9: 60.0, 8: 60.0}},
        {1: Limits()},
        takes({1: 10, 2: 10}),
    )
    # At 30 min both have used 31 min: the position decides, then team 8 is behind.
    assert minutes_of(found) == {1: 30, 2: 40}


def test_a_job_counts_for_a_minute_as_soon_as_it_starts() -> None:
    jobs = [waits(1, 1), waits(2, 1), waits(3, 2), waits(4, 2)]
    found = forecast(
        [place(1), place(2)],
        [],
        jobs,
        {},
        {1: Limits()},
        takes(dict.fromkeys(range(1, 5), 5)),
    )
    assert minutes_of(found) == {1: 0, 2: 5, 3: 0, 4: 5}


def test_priority_goes_before_the_fair_share() -> None:
    jobs = [waits(1, 1), waits(2, 2, priority=10), waits(3, 1, priority=-10)]
    found = forecast(
        [place(1)],
        [],
        jobs,
        {CPU: {2: 50 * HOUR}},
        {1: Limits()},
        takes({1: 1, 2: 1, 3: 1}),
    )
    assert minutes_of(found) == {2: 0, 1: 1, 3: 2}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(running=1), {1: 0, 3: 5, 2: 10}),
        (Limits(team=1), {1: 0, 2: 5, 3: 0}),
        (Limits(user=1), {1: 0, 2: 0, 3: 5}),
        (Limits(), {1: 0, 2: 0, 3: 0}),
        (Limits(running=0), {1: None, 2: None, 3: None}),
    ],
)
def test_limits_hold_in_the_play_as_in_the_claim(
    limits: Limits, expected: dict[int, float | None]
) -> None:
    jobs = [
        waits(1, 1, author_id=7),
        waits(2, 1, author_id=8),
        waits(3, 2, author_id=7),
    ]
    found = forecast(
        [place(1), place(2), place(3)],
        [],
        jobs,
        {},
        {1: limits},
        takes({1: 5, 2: 5, 3: 5}),
    )
    assert minutes_of(found) == expected
    if limits.running == 0:
        assert {start.why for start in found.values()} == {Why.LIMIT}


def test_a_job_on_two_devices_waits_for_two_slots_of_one_worker() -> None:
    """It reserves the slot that is free first, which so stays idle."""
    found = forecast(
        [place(1), place(2), place(3, worker=2)],
        [runs(1, 10), runs(2, 4), runs(3, 20)],
        [waits(1, devices=2), waits(2)],
        {},
        {1: Limits()},
        takes({1: 5, 2: 5}),
    )
    assert minutes_of(found) == {1: 10, 2: 15}


def test_a_job_that_needs_more_slots_than_any_worker_has_never_starts() -> None:
    found = forecast(
        [place(1), place(2, worker=2)],
        [],
        [waits(1, devices=2), waits(2)],
        {},
        {1: Limits()},
        takes({1: 5, 2: 5}),
    )
    assert found[1].why == Why.TOO_LARGE
    assert found[2].seconds == 0


def test_a_held_job_is_passed_and_stands_last() -> None:
    found = forecast(
        [place(1)],
        [],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 5, 2: 5, 3: 5}),
        held=[1],
    )
    assert minutes_of(found) == {1: None, 2: 0, 3: 5}
    assert found[1] == Start(3, why=Why.HELD)


def test_nothing_starts_from_a_paused_queue_nor_without_a_slot() -> None:
    draining = Place(1, 1, CPU, "CPU", frozenset({3}), accepts=False)
    found = forecast(
        [place(2), draining],
        [],
        [waits(job, queue_id=queue) for job, queue in ((1, 1), (2, 2), (3, 3))],
        {},
        {1: Limits(paused=True), 2: Limits(), 3: Limits()},
        {},
    )
    assert {job: start.why for job, start in found.items()} == {
        1: Why.PAUSED,
        2: Why.NO_WORKER,
        3: Why.DRAINING,
    }


def test_a_draining_slot_ends_its_run_and_takes_nothing_more() -> None:
    found = forecast(
        [Place(1, 1, CPU, "CPU", frozenset({1}), accepts=False), place(2)],
        [runs(1, 1), runs(2, 9)],
        [waits(1)],
        {},
        {1: Limits()},
        takes({1: 1}),
    )
    assert minutes_of(found) == {1: 9}


def test_what_comes_after_an_unknown_duration_is_not_told() -> None:
    """The order is told nevertheless."""
    found = forecast(
        [place(1)],
        [runs(1, 5)],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 5, 3: 5}),
    )
    assert minutes_of(found) == {1: 5, 2: 10, 3: None}
    assert found[3] == Start(3, why=Why.UNKNOWN)


def test_behind_a_run_without_a_speed_nothing_is_told() -> None:
    found = forecast(
        [place(1)], [runs(1, None)], [waits(1)], {}, {1: Limits()}, takes({1: 5})
    )
    assert found[1] == Start(1, why=Why.UNKNOWN)


def test_spreads_add_up_along_a_slot() -> None:
    found = forecast(
        [place(1)],
        [],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 20, 2: 20, 3: 20}, spread=3),
    )
    assert [found[job].spread / MIN for job in (1, 2, 3)] == [0, 3, 6]


def test_nothing_is_told_beyond_the_rows_that_were_read() -> None:
    """Of team 1 only two of its many jobs are at hand."""
    jobs = [waits(1), waits(2), *(waits(job, 2) for job in range(3, 7))]
    found = forecast(
        [place(1)],
        [],
        jobs,
        {CPU: {2: 60.0}},
        {1: Limits()},
        takes(dict.fromkeys(range(1, 7), 10)),
        cut=[(1, 1, 1, 1)],
    )
    known = {job: found[job].seconds for job in (1, 2, 3)}
    assert known == {1: 0, 3: 600, 2: 1200}
    assert {found[job].why for job in (4, 5, 6)} == {Why.FAR}


def test_a_slot_serves_only_queues_that_it_fits() -> None:
    gpu = Place(2, 2, GPU, "A100", frozenset({2}))
    found = forecast(
        [place(1), gpu],
        [],
        [waits(1), waits(2, queue_id=2), waits(3, queue_id=2)],
        {},
        {1: Limits(), 2: Limits()},
        {(1, "CPU"): Span(5.0), (2, "A100"): Span(7.0), (3, "A100"): Span(7.0)},
    )
    assert {job: start.seconds for job, start in found.items()} == {1: 0, 2: 0, 3: 7}
    assert [found[job].place for job in (1, 2, 3)] == [1, 1, 2]


@given(st.integers(0, 10_000))
def test_no_start_is_earlier_when_another_job_waits_ahead(seed: int) -> None:
    """One slot, one team: a job put in front delays all others by its duration."""
    draw = random.Random(seed)
    jobs = [waits(job) for job in range(1, draw.randint(2, 8))]
    lasting = takes({job: draw.randint(1, 60) for job in range(9)})
    before = forecast([place(1)], [], jobs, {}, {1: Limits()}, lasting)
    first = waits(0, position=-1)
    after = forecast([place(1)], [], [first, *jobs], {}, {1: Limits()}, lasting)
    for job in jobs:
        was, now = before[job.job_id].seconds, after[job.job_id].seconds
        assert was is not None
        assert now == was + lasting[0, "CPU"].seconds


def test_a_limit_counts_slots_and_keeps_them_for_the_large_job_whose_turn_it_is() -> (
    None
):
    """Two slots at most: the large job waits for both, and the small one behind it."""
    found = forecast(
        [place(1), place(2), place(3)],
        [runs(1, 4)],
        [waits(1, devices=2), waits(2)],
        {},
        {1: Limits(running=2)},
        takes({1: 5, 2: 5}),
    )
    assert minutes_of(found) == {1: 4, 2: 9}


def test_a_job_that_is_not_due_is_passed_until_it_is() -> None:
    found = forecast(
        [place(1)],
        [],
        [waits(1), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 5, 2: 5, 3: 5}),
        due={1: 4 * MIN},
    )
    assert minutes_of(found) == {2: 0, 1: 5, 3: 10}


def test_a_large_job_is_gathered_on_one_worker_while_others_go_on() -> None:
    slots = [place(1), place(2), place(3, worker=2), place(4, worker=2)]
    found = forecast(
        slots,
        [runs(2, 30), runs(4, 30)],
        [waits(1, devices=2), waits(2), waits(3)],
        {},
        {1: Limits()},
        takes({1: 5, 2: 10, 3: 10}),
    )
    assert minutes_of(found) == {1: 30, 2: 0, 3: 10}


def test_many_jobs_that_a_limit_holds_back_cost_a_second_or_two() -> None:
    """Each of 64 slots asks at each end of a job, and finds its queues full."""
    jobs = [
        waits(i, i % 10, queue_id=i % 3, author_id=i % 20, devices=1 + (i % 19 == 0))
        for i in range(600)
    ]
    slots = [place(i, worker=i // 8, queues=(0, 1, 2)) for i in range(64)]
    begun = time.process_time()
    found = forecast(
        slots,
        [],
        jobs,
        {},
        {queue: Limits(8, 4, 2) for queue in range(3)},
        takes({i: 10 + i % 7 for i in range(600)}),
    )
    assert time.process_time() - begun < 5
    assert all(start.seconds is not None for start in found.values())
