"""Claim a job, hold it under a lease, give it back.

The queue lives in these rows (design section 4).  A slot takes the next job with
SELECT ... FOR UPDATE SKIP LOCKED, holds it under a lease with a fencing number, and
renews the lease by beat.  All times are the database's, so that machines whose
clocks differ agree on when a lease has run out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Now

from . import bell
from .lifecycle import RELEASED, move, transition
from .models import Attempt, Job, Queue, Worker
from .states import HELD, State

Outcome = Attempt.Outcome
#: A job that loses its worker this often in a row is taken for the cause of it.
MAX_LOSSES = 3


@dataclass(frozen=True)
class Claim:
    """A job that a slot has taken, and the fence that its writes must carry."""

    job_id: int
    job_uuid: UUID
    kind: str
    spec: dict[str, Any]
    fence: int


@dataclass(frozen=True)
class Orders:
    """What a supervisor is told: ``lost``, the lease is no longer its own."""

    lost: bool = False
    cancel: bool = False
    pause: bool = False


@transaction.atomic
def claim(worker: Worker, slot: str) -> Claim | None:
    """Take the next job that this worker's queues allow; None if there is none.

    Priority first, then position, then age.  Rows that another slot is just taking
    are skipped, so two slots never wait for each other and never get the same job.
    """
    job = (
        Job.objects.filter(state=State.QUEUED, queue__in=_open_queues(worker))
        .order_by("-priority", "position", "id")
        .select_for_update(skip_locked=True, of=("self",))
        .first()
    )
    if job is None:
        return None
    fence = job.fence + 1
    transition(
        job,
        {State.QUEUED: State.STARTING},
        fence=job.fence,
        updates={
            "fence": fence,
            "worker": worker,
            "slot": slot,
            "lease_expires": _lease_end(),
            "started": job.started or Now(),
        },
    )
    Attempt.objects.create(
        job=job, number=fence, worker_name=worker.name, started=Now()
    )
    return Claim(job.pk, job.uuid, job.kind, job.spec, fence)


def _open_queues(worker: Worker) -> list[int]:
    """Return the queues that may give this worker a job now.

    Queues with a limit stay locked until the claim is committed; otherwise two
    slots could both see one free place.
    """
    if Worker.objects.filter(pk=worker.pk, drain_requested=True).exists():
        return []
    queues = Queue.objects.filter(workers=worker, paused=False)
    unlimited = list(queues.filter(max_running=None).values_list("pk", flat=True))
    limited = dict(
        queues.exclude(max_running=None)
        .order_by("pk")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk", "max_running")
    )
    if not limited:
        return unlimited
    running = dict(
        Job.objects.filter(queue__in=limited, state__in=HELD)
        .values_list("queue")
        .annotate(count=Count("pk"))
    )
    return unlimited + [
        key for key, most in limited.items() if running.get(key, 0) < (most or 0)
    ]


def renew(job_id: int, fence: int) -> Orders:
    """Prolong the lease and read the orders, in one UPDATE ... RETURNING."""
    return _orders(
        "UPDATE searchjobs_job "
        "SET lease_expires = now() + make_interval(secs => %s), updated = now() "
        "WHERE id = %s AND fence = %s AND state = ANY(%s) "
        "RETURNING cancel_requested, pause_requested",
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
    return Orders(cancel=row[0], pause=row[1])


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
    if state not in {State.PAUSED, State.QUEUED}:
        updates = {"finished": Now(), "error": error, **updates}
    if not move(job_id, state, fence=fence, **{**RELEASED, **updates}):
        return False
    Attempt.objects.filter(job_id=job_id, number=fence).update(
        outcome=outcome, detail=error, ended=Now()
    )
    job = Job.objects.select_related("run", "queue").get(pk=job_id)
    # A queue with a limit has a place again, and the slots that found it full sleep.
    if job.state == State.QUEUED or job.queue.max_running is not None:
        bell.wake(job.queue.name)
    if hasattr(job, "run"):
        bell.ring(job.run.uuid)
    return True


@transaction.atomic
def give_back(job_id: int, fence: int, outcome: str, reason: str) -> bool:
    """Put a held job back into its queue, to go on from its checkpoint elsewhere.

    What a person asked for meanwhile is obeyed instead, and a job that has lost its
    worker ``MAX_LOSSES`` times in a row has failed.
    """
    held = Job.objects.filter(pk=job_id, fence=fence, state__in=HELD)
    job = held.select_for_update(of=("self",)).first()
    if job is None:
        return False
    if job.cancel_requested:
        return end(job_id, fence, State.CANCELLED, outcome)
    if job.state == State.PAUSING:
        return end(job_id, fence, State.PAUSED, outcome)
    if outcome == Outcome.LOST and _losses_before(job) + 1 >= MAX_LOSSES:
        sentence = (
            f"{reason} This happened {MAX_LOSSES} times in a row, so the job itself "
            "may be the cause: look for a lack of memory, then queue it again."
        )
        return end(job_id, fence, State.FAILED, outcome, error=sentence)
    return end(job_id, fence, State.QUEUED, outcome, error=reason)


def _losses_before(job: Job) -> int:
    """Count the lost attempts in a row since the job was last queued by a person."""
    recent = job.attempts.filter(number__lt=job.fence, started__gte=job.queued)
    outcomes = recent.order_by("-number").values_list("outcome", flat=True)
    losses = 0
    for outcome in outcomes[:MAX_LOSSES]:
        if outcome != Outcome.LOST:
            break
        losses += 1
    return losses


def release_expired() -> int:
    """Give the jobs of workers that stopped answering back; return how many."""
    expired = list(
        Job.objects.filter(state__in=HELD, lease_expires__lt=Now())
        .order_by("lease_expires")
        .values_list("pk", "fence", "worker__name")
    )
    return sum(_release(job_id, fence, name) for job_id, fence, name in expired)


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
    served = Worker.objects.filter(queues=OuterRef("pk"))
    waiting = (
        Queue.objects.filter(Exists(served), paused=False)
        .annotate(
            waiting=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
        )
        .filter(waiting__gt=0)
        .values_list("name", "waiting")
    )
    for name, count in waiting:
        bell.wake(name, count)


def _lease_end() -> Any:
    return Now() + timedelta(seconds=settings.NASWEB_LEASE_SECONDS)
