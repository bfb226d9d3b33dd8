"""Thousands of queued jobs, dozens of slots that claim at once, real PostgreSQL."""

from __future__ import annotations

import statistics
import time

import pytest
from django.contrib.auth.models import User

from searchjobs import job_control, queue_control
from searchjobs.claims import claim
from searchjobs.models import Attempt, Job
from searchjobs.queueing import end
from searchjobs.states import State
from tests.jobs.claim_load import (
    HELD_EVERY,
    LIMITS,
    Line,
    Size,
    analyse,
    faults_of_order,
    fill,
    last_attempt,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(jobs=300, slots=16), id="300 jobs, 16 slots"),
        pytest.param(
            Size(jobs=10_000, slots=64),
            marks=[pytest.mark.slow, pytest.mark.timeout(1800)],
            id="10000 jobs, 64 slots",
        ),
    ],
)
def test_order_limits_pause_and_hold_stand_while_all_slots_claim_at_once(
    size: Size, admin_user: User
) -> None:
    line = fill(size)
    paused: list[int] = []

    def meddle() -> None:
        """Pause a queue and hold a job in the midst of it, and let both go on."""
        queue = line.queues[1]
        while Attempt.objects.count() < size.jobs // 10:
            time.sleep(0.01)
        queue_control.pause(admin_user, queue, "in the midst of it")
        job = Job.objects.filter(queue=queue, state=State.QUEUED, held=False).last()
        assert job is not None
        job_control.hold(admin_user, job)
        paused.append(last_attempt(queue))
        time.sleep(0.5)
        paused.append(last_attempt(queue))
        queue_control.resume(admin_user, queue)

    done = work_off(line, most=size.jobs, seconds_a_job=0.05, meanwhile=meddle)
    assert faults_of_order(line) == []
    assert paused[0] == paused[1], "nothing started while the queue was paused"
    held = size.jobs // HELD_EVERY + 1
    left = Job.objects.filter(state=State.QUEUED)
    assert (left.filter(held=True).count(), left.filter(held=False).count()) == (
        held,
        0,
    )
    assert len(done.claims) == size.jobs - held
    most = (done.most["queue"], done.most["team"], done.most["user"])
    assert all(seen <= limit for seen, limit in zip(most, LIMITS, strict=True))
    assert max(most) > 0
    assert share() < 2


def share() -> float:
    """Return how many times as many jobs of high priority as those of the last team
    were started of the first one, while all of them had such jobs."""
    rows = Attempt.objects.filter(job__priority=Job.Priority.HIGH).order_by("pk")
    teams = list(rows.values_list("team", flat=True))
    first = teams[: len(teams) // 2]
    counts = [first.count(team) for team in set(teams)]
    return max(counts) / max(1, min(counts))


def test_a_claim_takes_as_long_with_ten_thousand_jobs_as_with_a_hundred() -> None:
    line = fill(Size(jobs=10_000, slots=1))
    later = list(Job.objects.order_by("pk").values_list("pk", flat=True)[100:])
    times: dict[int, list[float]] = {100: [], 10_000: []}
    for _ in range(3):
        for waiting, seconds in times.items():
            state = State.PAUSED if waiting == 100 else State.QUEUED
            Job.objects.filter(pk__in=later).update(state=state)
            analyse()
            seconds += [one_claim(line) for _ in range(10)]
    few, many = (statistics.median(seconds) for seconds in times.values())
    assert many < 4 * few


def one_claim(line: Line) -> float:
    """Return the seconds of a claim; its job goes back."""
    begun = time.perf_counter()
    taken = claim(line.slots[0])
    seconds = time.perf_counter() - begun
    assert taken is not None
    assert end(taken.job_id, taken.fence, State.QUEUED, Attempt.Outcome.INTERRUPTED)
    return seconds
