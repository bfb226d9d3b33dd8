from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from searchjobs import lifecycle
from searchjobs.claims import Claim
from searchjobs.models import Attempt, Job, Queue, Slot, Worker
from searchjobs.queueing import (
    end,
    give_back,
    read_orders,
    release_expired,
    renew,
)
from searchjobs.states import HELD, State
from tests.factories import make_queue
from tests.jobs.conftest import Launch, make_slot, take

pytestmark = pytest.mark.django_db

LOST = Attempt.Outcome.LOST
LONG_AGO = "2020-01-01T00:00Z"


def order_of_claims(slot: Slot) -> list[int]:
    """Claim until nothing is left; return the jobs' keys."""
    found = []
    while taken := take(slot):
        found.append(taken.job_id)
    return found


def lose(slot: Slot) -> Claim:
    """Claim a job, let its lease run out, and have it released."""
    taken = take(slot)
    assert taken is not None
    Job.objects.filter(pk=taken.job_id).update(lease_expires=LONG_AGO)
    assert release_expired() == 1
    return taken


def test_priority_goes_first_then_position_then_age(
    launched: Launch, slot: Slot
) -> None:
    low, old, new, high = launched(seeds=(1, 2, 3, 4))
    Job.objects.update(position=5)
    Job.objects.filter(pk=low.pk).update(priority=Job.Priority.LOW, position=1)
    Job.objects.filter(pk=high.pk).update(priority=Job.Priority.HIGH, position=9)
    moved = launched(seeds=(5,))[0]
    Job.objects.filter(pk=moved.pk).update(position=4)
    order = [high.pk, moved.pk, old.pk, new.pk, low.pk]
    assert order_of_claims(slot) == order


def test_a_claim_takes_a_lease_and_begins_an_attempt(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_LEASE_SECONDS = 60
    (job,) = launched()
    taken = take(slot)
    assert taken == Claim(job.pk, job.uuid, "search", job.spec, fence=1)
    job.refresh_from_db()
    assert (job.state, job.fence) == (State.STARTING, 1)
    assert (job.worker, job.slot) == (slot.worker, "slot 0")
    assert job.lease_expires is not None
    assert job.started is not None
    assert 55 < (job.lease_expires - job.started).total_seconds() < 65
    attempt = job.attempts.get()
    assert (attempt.number, attempt.worker_name) == (1, slot.worker.name)
    assert attempt.outcome == Attempt.Outcome.RUNNING


def test_a_claim_takes_few_queries(
    launched: Launch,
    slot: Slot,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    launched()
    with django_assert_max_num_queries(16):
        assert take(slot)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: Queue.objects.update(paused=True),
        lambda _: Worker.objects.update(drain_requested=True),
        lambda _: Worker.objects.update(only_queues=["other"]),
        lambda _: Slot.objects.update(device="cuda"),
        lambda _: Queue.objects.update(max_running=0),
    ],
    ids=["paused queue", "draining worker", "no queue", "other device", "full queue"],
)
def test_nothing_is_claimed_where_it_must_not(
    launched: Launch,
    slot: Slot,
    change: Callable[[Slot], object],
) -> None:
    launched()
    change(slot)
    assert take(slot) is None


def test_a_limit_counts_the_jobs_of_its_queue_only(
    launched: Launch, slot: Slot, cpu_queue: Queue
) -> None:
    other = make_queue("other")
    jobs = launched(seeds=(1, 2, 3))
    Job.objects.filter(pk=jobs[2].pk).update(queue=other)
    Queue.objects.filter(pk=cpu_queue.pk).update(max_running=1)
    assert order_of_claims(slot) == [jobs[0].pk, jobs[2].pk]
    end(jobs[0].pk, 1, State.FAILED, Attempt.Outcome.FAILED)
    assert order_of_claims(slot) == [jobs[1].pk]


def in_threads(work: Callable[[], Any], count: int) -> list[Any]:
    """Call ``work`` in threads that start together; return the answers."""
    together = threading.Barrier(count)

    def go(_: int) -> Any:
        try:
            together.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(go, range(count)))


@pytest.mark.django_db(transaction=True)
def test_many_slots_never_claim_the_same_job(launched: Launch, slot: Slot) -> None:
    jobs = launched(seeds=tuple(range(12)))
    claims = in_threads(lambda: order_of_claims(slot), 4)
    assert sorted(key for found in claims for key in found) == [job.pk for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_many_slots_together_respect_the_limit_of_a_queue(
    launched: Launch, slot: Slot, cpu_queue: Queue
) -> None:
    launched(seeds=tuple(range(8)))
    Queue.objects.filter(pk=cpu_queue.pk).update(max_running=2)
    claims = in_threads(lambda: take(slot), 6)
    assert sum(taken is not None for taken in claims) == 2


def test_a_renewed_lease_does_not_expire(launched: Launch, slot: Slot) -> None:
    launched()
    taken = take(slot)
    assert taken is not None
    Job.objects.update(lease_expires=LONG_AGO)
    orders = renew(taken.job_id, taken.fence)
    assert (orders.lost, orders.cancel, orders.pause) == (False, False, False)
    assert release_expired() == 0


def test_orders_reach_the_holder_and_nobody_else(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched()
    taken = take(slot)
    assert taken is not None
    lifecycle.cancel(user, job)
    for read in (renew, read_orders):
        assert read(taken.job_id, taken.fence).cancel
        assert read(taken.job_id, taken.fence - 1).lost
    assert end(taken.job_id, taken.fence, State.CANCELLED, Attempt.Outcome.CANCELLED)
    assert renew(taken.job_id, taken.fence).lost


def test_an_expired_lease_gives_the_job_back_in_its_old_place(
    launched: Launch, slot: Slot
) -> None:
    job, later = launched(seeds=(1, 2))
    lose(slot)
    job.refresh_from_db()
    assert (job.state, job.worker, job.lease_expires) == (State.QUEUED, None, None)
    attempt = job.attempts.get()
    assert attempt.outcome == LOST
    assert attempt.detail == f"The worker {slot.worker.name} stopped answering."
    assert order_of_claims(slot) == [job.pk, later.pk]
    job.refresh_from_db()
    assert job.fence == 2


def test_the_end_that_a_stale_attempt_tells_is_refused(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched()
    stale = lose(slot)
    assert take(slot) is not None
    assert not end(job.pk, stale.fence, State.FAILED, Attempt.Outcome.FAILED)
    assert not give_back(job.pk, stale.fence, LOST, "late")
    job.refresh_from_db()
    assert job.state == State.STARTING
    assert job.attempts.get(number=stale.fence).outcome == LOST


def test_a_job_that_loses_its_worker_four_times_in_a_row_has_failed(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched()
    for _ in range(4):
        lose(slot)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "4 times in a row" in job.error
    lifecycle.requeue(user, job)
    lose(slot)
    job.refresh_from_db()
    assert job.state == State.QUEUED, "a person's word starts the count anew"


def test_an_attempt_that_ended_otherwise_breaks_the_row(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched()
    for _ in range(3):
        lose(slot)
    taken = take(slot)
    assert taken is not None
    give_back(job.pk, taken.fence, Attempt.Outcome.INTERRUPTED, "The worker stopped.")
    lose(slot)
    job.refresh_from_db()
    assert job.state == State.QUEUED


@pytest.mark.parametrize("held", sorted(HELD))
def test_a_cancelled_job_without_a_worker_ends_when_its_lease_does(
    launched: Launch, slot: Slot, user: User, held: str
) -> None:
    (job,) = launched()
    assert take(slot)
    Job.objects.update(state=held, lease_expires=LONG_AGO)
    lifecycle.cancel(user, job)
    assert release_expired() == 1
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert job.finished is not None


def test_a_pausing_job_without_a_worker_is_paused(launched: Launch, slot: Slot) -> None:
    (job,) = launched()
    assert take(slot)
    Job.objects.update(state=State.PAUSING, lease_expires=LONG_AGO)
    release_expired()
    job.refresh_from_db()
    assert job.state == State.PAUSED


def test_a_worker_of_two_queues_serves_both(launched: Launch, cpu_queue: Queue) -> None:
    other = make_queue("other")
    worker = make_slot("two@here")
    first, second = launched(seeds=(1, 2))
    Job.objects.filter(pk=first.pk).update(queue=other)
    assert order_of_claims(worker) == [first.pk, second.pk]
