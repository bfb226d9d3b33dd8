"""Leases: renewed, prolonged beyond their end, and spared while nobody could renew."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.db.utils import Error

from searchjobs import lifecycle, queueing
from searchjobs.fencing import limit_idle_transactions
from searchjobs.models import Attempt, Job, Queue, Slot
from searchjobs.outage import database_is_away
from searchjobs.queueing import give_back, release_expired, renew
from searchjobs.states import State
from tests.jobs.conftest import Launch, take

pytestmark = pytest.mark.django_db

Outcome = Attempt.Outcome
LONG_AGO = "2020-01-01T00:00Z"


def test_no_lease_ends_before_the_database_has_been_up_for_one(
    launched: Launch, slot: Slot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched()
    taken = take(slot)
    assert taken is not None
    Job.objects.update(lease_expires=LONG_AGO)
    monkeypatch.setattr(queueing, "LEASES_AFTER_START", 1)
    settings.NASWEB_LEASE_SECONDS = 10**6
    assert release_expired() == 0
    assert not renew(taken.job_id, taken.fence).lost
    Job.objects.update(lease_expires=LONG_AGO)
    settings.NASWEB_LEASE_SECONDS = 0
    assert release_expired() == 1


def test_a_renewal_tells_what_the_queue_allows_now(
    launched: Launch, slot: Slot, cpu_queue: Queue
) -> None:
    (job,) = launched()
    for _ in range(2):
        taken = take(slot)
        assert taken is not None
        give_back(job.pk, taken.fence, Outcome.INTERRUPTED, "The worker left.")
    hour_ago = F("started") - timedelta(hours=1)
    Attempt.objects.update(started=hour_ago)
    taken = take(slot)
    assert taken is not None
    orders = renew(taken.job_id, taken.fence)
    assert orders.allowance is not None
    assert orders.allowance == queueing.Allowance()
    Queue.objects.update(max_hours=3, max_disk_gib=0.5)
    allowance = renew(taken.job_id, taken.fence).allowance
    assert allowance is not None
    assert (allowance.max_hours, allowance.most_bytes) == (3, 2**29)
    assert allowance.seconds_left == pytest.approx(3600, abs=5)
    Job.objects.update(first_attempt=2)
    allowance = renew(taken.job_id, taken.fence).allowance
    assert allowance is not None
    assert allowance.seconds_left == pytest.approx(7200, abs=5)


def test_a_job_that_is_put_off_is_claimed_later_and_says_why(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched()
    taken = take(slot)
    assert taken is not None
    assert give_back(job.pk, taken.fence, Outcome.BUSY, "An engine is there.", later=60)
    job.refresh_from_db()
    assert (job.state, job.error) == (State.QUEUED, "An engine is there.")
    assert take(slot) is None
    Job.objects.update(not_before=LONG_AGO)
    assert take(slot) is not None


def test_a_person_who_queues_a_job_again_does_not_wait_for_what_put_it_off(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched()
    taken = take(slot)
    assert taken is not None
    give_back(job.pk, taken.fence, Outcome.BUSY, "An engine is there.", later=60)
    lifecycle.request_pause(user, job)
    lifecycle.resume(user, job)
    assert take(slot) is not None


def test_busy_attempts_one_after_another_are_no_losses(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched()
    for _ in range(6):
        taken = take(slot)
        assert taken is not None
        give_back(job.pk, taken.fence, Outcome.BUSY, "An engine is there.")
    job.refresh_from_db()
    assert job.state == State.QUEUED


@pytest.mark.parametrize(("retries", "losses"), [(0, 1), (1, 2), (3, 4)])
def test_a_lost_job_is_tried_again_as_often_as_the_setting_says(
    launched: Launch, slot: Slot, settings: Any, retries: int, losses: int
) -> None:
    settings.NASWEB_RETRIES = retries
    (job,) = launched()
    for _ in range(losses):
        job.refresh_from_db()
        assert job.state == State.QUEUED
        taken = take(slot)
        assert taken is not None
        give_back(job.pk, taken.fence, Outcome.LOST, "The worker was lost.")
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert job.error.startswith("The worker was lost. This happened")


def test_an_attempt_that_recorded_an_epoch_breaks_the_row_of_losses(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_RETRIES = 1
    (job,) = launched()
    for _ in range(5):
        taken = take(slot)
        assert taken is not None
        Attempt.objects.filter(number=taken.fence).update(epochs=1)
        give_back(job.pk, taken.fence, Outcome.LOST, "The worker was lost.")
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_a_loss_after_a_new_epoch_is_not_the_last_of_a_row(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_RETRIES = 1
    (job,) = launched()
    for epochs in (0, 1, 0):
        taken = take(slot)
        assert taken is not None
        Attempt.objects.filter(number=taken.fence).update(epochs=epochs)
        give_back(job.pk, taken.fence, Outcome.LOST, "The worker was lost.")
        job.refresh_from_db()
        assert job.state == State.QUEUED


def test_an_attempt_that_was_put_off_does_not_break_a_row_of_losses(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_RETRIES = 1
    (job,) = launched()
    for outcome in (Outcome.LOST, Outcome.BUSY, Outcome.LOST):
        taken = take(slot)
        assert taken is not None
        give_back(job.pk, taken.fence, outcome, "The worker was lost.")
    job.refresh_from_db()
    assert job.state == State.FAILED


def test_a_pause_that_was_asked_for_is_kept_when_the_worker_is_lost(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched()
    taken = take(slot)
    assert taken is not None
    lifecycle.request_pause(user, job)
    give_back(job.pk, taken.fence, Outcome.LOST, "The worker was lost.")
    job.refresh_from_db()
    assert job.state == State.PAUSED


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_freezes_in_mid_transaction_does_not_keep_the_row_of_its_job(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    (job,) = launched()
    settings.NASWEB_LEASE_SECONDS = 1
    limit_idle_transactions(connection)

    def freeze() -> None:
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=job.pk)
            time.sleep(2)
            Job.objects.update(error="late")

    with pytest.raises(Error) as caught:
        freeze()
    assert database_is_away(caught.value)
    assert isinstance(caught.value, OperationalError)
    connection.close()
    job.refresh_from_db()
    assert job.error == ""
