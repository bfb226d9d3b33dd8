from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from searchjobs import lifecycle
from searchjobs.claims import Claim
from searchjobs.models import Attempt, Job, Slot
from searchjobs.queueing import (
    end,
    give_back,
    read_orders,
    release_expired,
    renew,
)
from searchjobs.states import HELD, State
from tests.jobs.conftest import Launch, order_of_claims, take

pytestmark = pytest.mark.django_db

LOST = Attempt.Outcome.LOST
LONG_AGO = "2020-01-01T00:00Z"


def lose(slot: Slot) -> Claim:
    """Claim a job, let its lease run out, and have it released."""
    taken = take(slot)
    assert taken is not None
    Job.objects.filter(pk=taken.job_id).update(lease_expires=LONG_AGO)
    assert release_expired() == 1
    return taken


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
