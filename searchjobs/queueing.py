"""Claim a job, hold it under a lease, give it back.

The queue lives in these rows (design section 4).  A slot takes the next job with
SELECT ... FOR UPDATE SKIP LOCKED, holds it under a lease with a fencing number, and
renews the lease by beat.  All times are the database's, so that machines whose
clocks differ agree on when a lease has run out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Now

from . import bell
from .lifecycle import RELEASED, move, transition
from .models import Attempt, Job, Queue, Slot
from .order import Waiting, device_seconds, heads, order_key
from .states import HELD, State

Outcome = Attempt.Outcome


@dataclass(frozen=True)
class Claim:
    """A job that a slot has taken, and the fence that its writes must carry.

    Attributes:
        devices: slots that it holds, one process of the engine each.
        gpus: UUIDs of the GPUs of these slots; empty on the CPU.
        threads: CPU threads of one of its processes.
        seconds_left: what its queue's time limit leaves; None: any time.
        most_bytes: files that it may keep; None: any.
        files_from: files of attempts before this one count no more.
    """

    job_id: int
    job_uuid: UUID
    kind: str
    spec: dict[str, Any]
    fence: int
    devices: int = 1
    gpus: tuple[str, ...] = ()
    threads: int = 1
    seconds_left: float | None = None
    most_bytes: int | None = None
    files_from: int = 1


@dataclass(frozen=True)
class Orders:
    """What a supervisor is told: ``lost``, the lease is no longer its own."""

    lost: bool = False
    cancel: bool = False
    pause: bool = False


@transaction.atomic
def claim(slot: Slot) -> Claim | None:
    """Take the next job that this slot may run; None if there is none.

    The order is that of ``order``.  The queues stay locked until the claim is
    committed: slots of the same queues claim one after the other, so order and
    limits are exact; a row that somebody is just cancelling is skipped.

    A job that needs several slots reserves those of one worker one by one, as they
    become free, and starts with the last.
    """
    own = _own_row(slot)
    if own is None:
        return None
    queues = _open_queues(own)
    if not queues:
        return None
    running = _running(queues)
    used = device_seconds(own.device)
    capacity = _capacity(own, queues)
    elsewhere = Slot.objects.filter(job__state=State.QUEUED)
    passed = set(elsewhere.exclude(worker=own.worker).values_list("job", flat=True))
    while True:
        found = [
            head
            for queue in queues
            for head in _heads(queue, running, capacity[queue.pk], passed)
        ]
        if not found:
            return None
        head = min(found, key=lambda each: order_key(each, used))
        job = (
            Job.objects.filter(pk=head.job_id, state=State.QUEUED, held=False)
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if job is None:
            passed.add(head.job_id)
            continue
        slots = [own, *Slot.objects.filter(job=job).exclude(pk=own.pk)]
        if len(slots) < job.devices:
            Slot.objects.filter(pk=own.pk).update(job=job)
            return None
        queue = next(each for each in queues if each.pk == job.queue_id)
        return _take(job, queue, slots[: job.devices])


def _own_row(slot: Slot) -> Slot | None:
    """Lock the slot and give up what it had reserved; None if it may take nothing."""
    rows = Slot.objects.select_related("worker", "job").filter(pk=slot.pk)
    own = rows.select_for_update(of=("self",)).first()
    if own is None:
        return None
    if own.job is not None:
        if own.job.state in HELD:
            return None
        Slot.objects.filter(pk=own.pk).update(job=None)
        own.job = None
    if own.drain_requested or own.worker.drain_requested:
        return None
    return own


def _open_queues(slot: Slot) -> list[Queue]:
    """Lock and return the queues in which something waits for this slot."""
    waits = Job.objects.filter(queue=OuterRef("pk"), state=State.QUEUED, held=False)
    opened = Queue.objects.filter(Exists(waits), paused=False, device=slot.device)
    fitting = [queue.pk for queue in opened if slot.fits(queue)]
    if not fitting:
        return []
    # Read again under the lock: a limit may just have been changed.
    locked = Queue.objects.filter(pk__in=fitting, paused=False).order_by("pk")
    return list(locked.select_for_update(no_key=True, of=("self",)))


@dataclass
class _Running:
    """Jobs that run in a queue: in all, by team, by user."""

    total: int = 0
    teams: Counter[int] = field(default_factory=Counter)
    users: Counter[int] = field(default_factory=Counter)


def _running(queues: list[Queue]) -> dict[int, _Running]:
    found = {queue.pk: _Running() for queue in queues}
    rows = (
        Job.objects.filter(queue__in=queues, state__in=HELD)
        .values_list("queue", "team", "author")
        .annotate(count=Count("pk"))
        .order_by()
    )
    for queue, team, author, count in rows:
        running = found[queue]
        running.total += count
        running.teams[team] += count
        running.users[author] += count
    return found


def _capacity(own: Slot, queues: list[Queue]) -> dict[int, int]:
    """Return how many slots of this worker a job of each queue could have."""
    slots = list(Slot.objects.filter(worker=own.worker, drain_requested=False))
    for slot in slots:
        slot.worker = own.worker
    return {queue.pk: sum(slot.fits(queue) for slot in slots) for queue in queues}


def _heads(
    queue: Queue, running: dict[int, _Running], most_devices: int, passed: set[int]
) -> list[Waiting]:
    now = running[queue.pk]
    if queue.max_running is not None and now.total >= queue.max_running:
        return []
    return heads(
        queue.pk,
        most_devices=most_devices,
        passed=passed,
        full_teams=_full(now.teams, queue.max_running_team),
        full_users=_full(now.users, queue.max_running_user),
    )


def _full(counts: Counter[int], most: int | None) -> list[int]:
    if most is None:
        return []
    return [key for key, count in counts.items() if count >= most]


def _take(job: Job, queue: Queue, slots: list[Slot]) -> Claim:
    """Give the job to the slots; the first one's process runs it."""
    own, fence = slots[0], job.fence + 1
    transition(
        job,
        {State.QUEUED: State.STARTING},
        fence=job.fence,
        updates={
            "fence": fence,
            "worker": own.worker,
            "slot": f"slot {own.number}",
            "lease_expires": _lease_end(),
            "started": job.started or Now(),
        },
    )
    Slot.objects.filter(pk__in=[slot.pk for slot in slots]).update(job=job)
    Attempt.objects.create(
        job=job,
        number=fence,
        worker_name=own.worker.name,
        slot_name=str(own),
        host=own.worker.host,
        queue_name=queue.name,
        device=own.device,
        device_name=own.device_name,
        devices=job.devices,
        started=Now(),
    )
    left = None
    if queue.max_hours is not None:
        left = max(0.0, queue.max_hours * 3600 - _seconds_used(job))
    most = queue.max_disk_gib
    return Claim(
        job.pk,
        job.uuid,
        job.kind,
        job.spec,
        fence,
        devices=job.devices,
        gpus=tuple(slot.gpu_uuid for slot in slots if slot.gpu_uuid),
        threads=own.threads,
        seconds_left=left,
        most_bytes=None if most is None else int(most * 2**30),
        files_from=job.files_from,
    )


def _seconds_used(job: Job) -> float:
    """Return the seconds of a job's attempts since a person last queued it."""
    spent = job.attempts.filter(number__gte=job.first_attempt, ended__isnull=False)
    total = spent.aggregate(total=Sum(F("ended") - F("started")))["total"]
    return float(total.total_seconds()) if total else 0.0


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
    Slot.objects.filter(job_id=job_id).update(job=None)
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
    worker more often in a row than it is tried again has failed.
    """
    held = Job.objects.filter(pk=job_id, fence=fence, state__in=HELD)
    job = held.select_for_update(of=("self",)).first()
    if job is None:
        return False
    if job.cancel_requested:
        return end(job_id, fence, State.CANCELLED, outcome)
    if job.state == State.PAUSING:
        return end(job_id, fence, State.PAUSED, outcome)
    losses = _losses_before(job) + 1
    if outcome == Outcome.LOST and losses > settings.NASWEB_RETRIES:
        sentence = (
            f"{reason} This happened {losses} times in a row without a new epoch, so "
            "the job itself may be the cause: look for a lack of memory, then queue "
            "it again."
        )
        return end(job_id, fence, State.FAILED, outcome, error=sentence)
    return end(job_id, fence, State.QUEUED, outcome, error=reason)


def _losses_before(job: Job) -> int:
    """Count the lost attempts in a row that brought no new epoch, before this one."""
    recent = job.attempts.filter(
        number__lt=job.fence, number__gte=job.first_attempt
    ).order_by("-number")
    losses = 0
    for outcome, epochs in recent.values_list("outcome", "epochs").iterator():
        if outcome != Outcome.LOST or epochs:
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
    claimable = Q(jobs__state=State.QUEUED, jobs__held=False)
    waiting = (
        Queue.objects.filter(paused=False)
        .annotate(waiting=Count("jobs", filter=claimable))
        .filter(waiting__gt=0)
        .values_list("name", "waiting")
    )
    for name, count in waiting:
        bell.wake(name, count)


def _lease_end() -> Any:
    return Now() + timedelta(seconds=settings.NASWEB_LEASE_SECONDS)
