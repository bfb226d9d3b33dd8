"""Hold a claimed job under its lease, end it, give it back.

A slot that has claimed a job (``claims``) holds it under a lease with a fencing number
and renews the lease by beat.  All times are the database's, so that machines whose
clocks differ agree on when a lease has run out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now

from . import bell
from .claims import claimable, is_limited
from .lifecycle import RELEASED, move, ring
from .models import Attempt, Job, Slot
from .states import HELD, State

Outcome = Attempt.Outcome
#: After a start of PostgreSQL no lease runs out for so many times its length.
LEASES_AFTER_START = 1


@dataclass(frozen=True)
class Allowance:
    """What the queue of a running job allows it; None is any.

    Attributes:
        max_hours: the time limit of the queue.
        seconds_left: what the job's attempts have left of it.
        most_bytes: files that it may keep.
    """

    max_hours: float | None = None
    seconds_left: float | None = None
    most_bytes: int | None = None


@dataclass(frozen=True)
class Orders:
    """What a supervisor is told.

    Attributes:
        lost: the lease is no longer its own.
        cancel: somebody wants the job to end.
        pause: somebody wants it to pause.
        allowance: what its queue allows now; None: not asked.
    """

    lost: bool = False
    cancel: bool = False
    pause: bool = False
    allowance: Allowance | None = None


def renew(job_id: int, fence: int) -> Orders:
    """Prolong the lease, even one that has run out, if nobody else has the job yet.

    Orders and limits are read in the same statement, so that both may change while
    the job runs.
    """
    return _orders(
        "UPDATE searchjobs_job job "
        "SET lease_expires = now() + make_interval(secs => %s), updated = now() "
        "FROM searchjobs_queue queue "
        "WHERE queue.id = job.queue_id "
        "AND job.id = %s AND job.fence = %s AND job.state = ANY(%s) "
        "RETURNING job.cancel_requested, job.pause_requested, queue.max_hours, "
        "queue.max_disk_gib, (SELECT extract(epoch FROM sum("
        "coalesce(attempt.ended, now()) - attempt.started))::float "
        "FROM searchjobs_attempt attempt WHERE attempt.job_id = job.id "
        "AND attempt.number >= job.first_attempt)",
        [settings.NASWEB_LEASE_SECONDS, job_id, fence, [str(state) for state in HELD]],
    )


def read_orders(job_id: int, fence: int) -> Orders:
    """Read the orders alone: cheap enough for every second."""
    return _orders(
        "SELECT cancel_requested, pause_requested FROM searchjobs_job "
        "WHERE id = %s AND fence = %s AND state = ANY(%s)",
        [job_id, fence, [str(state) for state in HELD]],
    )


def _orders(statement: str, values: list[Any]) -> Orders:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    if row is None:
        return Orders(lost=True)
    cancel, pause, *limits = row
    return Orders(False, cancel, pause, _allowance(*limits) if limits else None)


def _allowance(
    hours: float | None, gib: float | None, seconds_used: float | None
) -> Allowance:
    left = None if hours is None else max(0.0, hours * 3600 - (seconds_used or 0.0))
    return Allowance(hours, left, None if gib is None else int(gib * 2**30))


@transaction.atomic
def end(
    job_id: int,
    fence: int,
    state: str,
    outcome: str,
    *,
    error: str = "",
    **updates: Any,
) -> bool:
    """End the attempt of this fence and put its job into ``state``.

    False, and nothing changed, if the lease is no longer the caller's.
    """
    updates = {"error": error, **updates}
    if state not in {State.PAUSED, State.QUEUED}:
        updates["finished"] = Now()
    if not move(job_id, state, fence=fence, **{**RELEASED, **updates}):
        return False
    Attempt.objects.filter(job_id=job_id, number=fence).update(
        outcome=outcome, detail=error, ended=Now()
    )
    Slot.objects.filter(job_id=job_id).update(job=None)
    job = Job.objects.select_related("run", "queue").get(pk=job_id)
    if job.devices > 1:  # its other slots sleep, whatever queues they serve
        wake_waiting()
    elif job.state == State.QUEUED or is_limited(job.queue):
        # The queue has a place again, and the slots that found it full sleep.
        bell.wake(job.queue.name)
    ring(job)
    return True


@transaction.atomic
def give_back(
    job_id: int, fence: int, outcome: str, reason: str, *, later: float = 0.0
) -> bool:
    """Put a held job back into its queue, to go on from its checkpoint elsewhere.

    What a person asked for meanwhile is obeyed instead, and a job that has lost its
    worker more often in a row than it is tried again has failed.

    Args:
        job_id: the job.
        fence: the number of the lease.
        outcome: how the attempt ended.
        reason: a sentence.
        later: seconds before which nobody may claim the job.

    Returns:
        False, and nothing changed, if the lease is no longer the caller's.
    """
    held = Job.objects.filter(pk=job_id, fence=fence, state__in=HELD)
    job = held.select_for_update(of=("self",)).first()
    if job is None:
        return False
    if job.cancel_requested:
        return end(job_id, fence, State.CANCELLED, outcome)
    if job.pause_requested or job.state == State.PAUSING:
        return end(job_id, fence, State.PAUSED, outcome)
    losses = _losses_with(job)
    if outcome == Outcome.LOST and losses > settings.NASWEB_RETRIES:
        sentence = (
            f"{reason} This happened {losses} times in a row without a new epoch, so "
            "the job itself may be the cause: look for a lack of memory, then queue "
            "it again."
        )
        return end(job_id, fence, State.FAILED, outcome, error=sentence)
    wait = {"not_before": Now() + timedelta(seconds=later)} if later else {}
    return end(job_id, fence, State.QUEUED, outcome, error=reason, **wait)


def _losses_with(job: Job) -> int:
    """Count the lost attempts in a row that brought no new epoch, the present one as
    the last of them; attempts that were put off have begun nothing, and do not count.
    """
    tried = job.attempts.filter(
        number__lte=job.fence, number__gte=job.first_attempt
    ).exclude(outcome=Outcome.BUSY)
    rows = tried.order_by("-number").values_list("number", "outcome", "epochs")
    losses = 0
    for number, outcome, epochs in rows.iterator():
        if epochs or (outcome != Outcome.LOST and number != job.fence):
            break
        losses += 1
    return losses


def release_own(slot: Slot) -> bool:
    """Give the job back that a killed process of this slot has left behind.

    Asked by the process that works for the slot now: nobody else can, so the job need
    not wait for the end of its lease.
    """
    left = Job.objects.filter(
        worker=slot.worker_id, slot=f"slot {slot.number}", state__in=HELD
    )
    found = left.values_list("pk", "fence").first()
    if found is None:
        return False
    reason = f"The process of {slot} was killed."
    return give_back(found[0], found[1], Outcome.LOST, reason)


def release_expired() -> int:
    """Give the jobs of workers that stopped answering back; return how many.

    Nobody could renew a lease while the database was away, so leases count from its
    start: their holders get the time to come back first.
    """
    if not _database_is_settled():
        return 0
    expired = list(
        Job.objects.filter(state__in=HELD, lease_expires__lt=Now())
        .order_by("lease_expires")
        .values_list("pk", "fence", "worker__name")
    )
    return sum(_release(job_id, fence, name) for job_id, fence, name in expired)


def _database_is_settled() -> bool:
    """Say whether PostgreSQL has been up for as long as a lease lasts."""
    seconds = settings.NASWEB_LEASE_SECONDS * LEASES_AFTER_START
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT now() >= pg_postmaster_start_time() + make_interval(secs => %s)",
            [seconds],
        )
        return bool(cursor.fetchone()[0])


@transaction.atomic
def _release(job_id: int, fence: int, worker: str | None) -> bool:
    """Give one job back, unless its lease was renewed in the meantime."""
    still = Job.objects.filter(pk=job_id, fence=fence, lease_expires__lt=Now())
    if still.select_for_update(skip_locked=True, of=("self",)).first() is None:
        return False
    reason = f"The worker {worker or '(unknown)'} stopped answering."
    return give_back(job_id, fence, Outcome.LOST, reason)


def wake_waiting() -> None:
    """Wake slots for the jobs that wait: a lost message delays a job, no more."""
    waiting = (
        Job.objects.filter(claimable(), queue__paused=False)
        .values_list("queue__name")
        .annotate(places=Sum("devices"))
        .order_by()
    )
    for name, places in waiting:
        bell.wake(name, places)
