"""The claim: which waiting job a slot takes next.

The queue lives in rows (design section 4).  A claim locks the rows of the queues that
its slot serves, always in the same order, then its worker, then slots, and only then
looks at what runs and what waits: order and limits are exact.  Whoever else locks
workers and slots (``workers.register``, ``worker_control.forget``) keeps to this order,
so nobody waits in a circle.  A job that somebody is just changing is skipped, not
waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from . import bell, slot_names
from .lifecycle import transition
from .liveness import answering
from .models import Attempt, Job, Queue, Slot
from .order import Waiting, device_seconds, heads, order_key
from .states import HELD, State

#: A process that is frozen in mid-claim keeps others from theirs for no longer: then
#: the database ends its session, and nothing was claimed.
FROZEN_SECONDS = 10


@dataclass(frozen=True)
class Claim:
    """A job that a slot has taken, and the fence that its writes must carry.

    Attributes:
        devices: slots that it holds, one process of the engine each.
        gpus: UUIDs of the GPUs of these slots; empty on the CPU.
        threads: CPU threads of one of its processes.
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
    files_from: int = 1


@transaction.atomic
def claim(slot: Slot) -> Claim | None:
    """Take the next job that this slot may run; None if there is none.

    The order is that of ``order``.  The queues stay locked until the claim is
    committed: slots of the same queues claim one after the other.

    A job that needs several slots starts if so many of this worker are free.  Else it
    reserves this one, and so each that becomes free, until the last one starts it: no
    job of a later place takes them away.  Slots of other workers go on meanwhile.
    """
    queues = _lock_queues(slot)
    own = _lock_own(slot) if queues else _lock_reserved(slot)
    if own is None:
        return None
    limits = _Limits(queues)
    passed: set[int] = set()
    while chosen := _choose(own, queues, limits, passed):
        head, slots = chosen
        job = _lock_job(head)
        if job is None:
            passed.add(head.job_id)
        elif len(slots) < job.devices:
            _reserve(own, job.pk)
            return None
        else:
            return _take(job, queues[job.queue_id], slots[: job.devices])
    _reserve(own, None)
    return None


def claimable() -> Q:
    """Return the condition on waiting jobs under which a slot may take them."""
    due = Q(not_before=None) | Q(not_before__lte=Now())
    return Q(state=State.QUEUED, held=False) & due


def _lock_queues(slot: Slot) -> dict[int, Queue]:
    """Lock and return, by key, the queues in which something waits for this slot."""
    rows = Queue.objects.raw(
        """
        SELECT id, name, device, gpu_pattern, min_memory_gib,
               set_config('idle_in_transaction_session_timeout', %s, true)
        FROM searchjobs_queue queue
        WHERE device = %s AND NOT paused AND EXISTS (
            SELECT FROM searchjobs_job job
            WHERE job.queue_id = queue.id AND job.state = 'queued' AND NOT job.held
              AND coalesce(job.not_before <= now(), true))
        """,
        [f"{FROZEN_SECONDS}s", slot.device],
    )
    fitting = [queue.pk for queue in rows if slot.fits(queue)]
    if not fitting:
        return {}
    # Read again under the lock: kind, pause or a limit may just have been changed.
    locked = Queue.objects.raw(
        """
        SELECT * FROM searchjobs_queue WHERE id = ANY(%s) AND NOT paused
        ORDER BY id FOR NO KEY UPDATE
        """,
        [fitting],
    )
    return {queue.pk: queue for queue in locked if slot.fits(queue)}


def _lock_own(slot: Slot) -> Slot | None:
    """Lock the slot's row; None if it may take nothing.

    What it had reserved is decided anew: the job may have been cancelled, moved or
    overtaken.
    """
    with connection.cursor() as cursor:
        # Locked first and read then: a row that was waited for is joined to old rows.
        # The worker too, before the slot: a job that names it shares its row at the
        # commit, when ``forget`` might have that row and wait for our slot.
        cursor.execute(
            """
            SELECT FROM searchjobs_worker WHERE id = %(worker)s FOR KEY SHARE;
            SELECT FROM searchjobs_slot WHERE id = %(slot)s FOR NO KEY UPDATE;
            SELECT slot.job_id, slot.drain_requested OR worker.drain_requested,
                   job.worker_id = slot.worker_id AND job.state = ANY(%(held)s)
            FROM searchjobs_slot slot
            JOIN searchjobs_worker worker ON worker.id = slot.worker_id
            LEFT JOIN searchjobs_job job ON job.id = slot.job_id
            WHERE slot.id = %(slot)s
            """,
            {
                "worker": slot.worker_id,
                "slot": slot.pk,
                "held": [str(state) for state in HELD],
            },
        )
        found = cursor.fetchone()
    if found is None:
        return None
    slot.job_id, drained, taken = found
    if taken:
        return None
    if drained:
        _reserve(slot, None)
        return None
    return slot


def _lock_reserved(slot: Slot) -> Slot | None:
    """Lock the slot's row if it has reserved something, which it is to give up."""
    reserved = Slot.objects.filter(pk=slot.pk, job__isnull=False)
    return _lock_own(slot) if reserved.exists() else None


def _reserve(own: Slot, job: int | None) -> None:
    """Reserve our slot for a job, or for none."""
    if own.job_id != job:
        Slot.objects.filter(pk=own.pk).update(job=job)


def _lock_job(head: Waiting) -> Job | None:
    """Lock a job that still waits where it did; None if somebody is changing it."""
    rows = Job.objects.raw(
        """
        SELECT * FROM searchjobs_job
        WHERE id = %s AND state = 'queued' AND NOT held
          AND (queue_id, priority, devices) = (%s, %s, %s)
        FOR NO KEY UPDATE SKIP LOCKED
        """,
        [head.job_id, head.queue_id, head.priority, head.devices],
    )
    return next(iter(rows), None)


def _choose(
    own: Slot, queues: dict[int, Queue], limits: _Limits, passed: Collection[int]
) -> tuple[Waiting, list[Slot]] | None:
    """Return the first job by order that this slot may run or reserve itself for, and
    the slots for it, ours first; fewer than it needs: the others are not free yet."""
    found = heads(queues, passed) if queues else []
    several = any(head.devices > 1 for head in found)
    # What teams used decides between teams only.
    teams = {head.team_id for head in found}
    used = device_seconds(own.device) if several or len(teams) > 1 else {}
    room = _Room(own) if several else None
    for head in sorted(found, key=lambda each: order_key(each, used)):
        queue = queues[head.queue_id]
        if room is not None and room.largest(queue) < head.devices:
            continue
        if not limits.allow(head):
            continue
        if room is None or head.devices == 1:
            return head, [own]
        if room.capacity(own.worker_id, queue) < head.devices:
            limits.book(head)
            continue
        slots = [own, *room.free(queue, head, used)]
        if len(slots) >= head.devices or not room.is_reserved_elsewhere(queue, head):
            return head, slots
        # Another worker gathers slots for it: the one behind it may be next here.
        limits.book(head)
        return _choose(own, queues, limits, {*passed, head.job_id})
    return None


class _Limits:
    """The limits of queues, and what counts towards them: what runs there now."""

    def __init__(self, queues: Mapping[int, Queue]) -> None:
        self.queues = queues
        self.slots: Counter[int] = Counter()
        self.teams: Counter[tuple[int, int]] = Counter()
        self.users: Counter[tuple[int, int]] = Counter()
        self.closed: set[int] = set()
        self.booked: set[int] = set()
        limited = [key for key, queue in queues.items() if is_limited(queue)]
        if not limited:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT queue_id, team_id, author_id, count(*), sum(devices)
                FROM searchjobs_job
                WHERE queue_id = ANY(%s) AND state IN ('starting', 'running', 'pausing')
                GROUP BY queue_id, team_id, author_id
                """,
                [limited],
            )
            rows = cursor.fetchall()
        for queue, team, author, jobs, places in rows:
            self.slots[queue] += places
            self.teams[queue, team] += jobs
            self.users[queue, author] += jobs

    def allow(self, job: Waiting) -> bool:
        """Say whether the limits let this job start; asked in the order of claims.

        A job for which the queue has too few slots left keeps later ones from taking
        them, unless it could never start.
        """
        queue = self.queues[job.queue_id]
        if queue.pk in self.closed or (
            _full(self.teams[queue.pk, job.team_id], queue.max_running_team)
            or _full(self.users[queue.pk, job.author_id], queue.max_running_user)
        ):
            return False
        most = queue.max_running
        more = 0 if job.job_id in self.booked else job.devices
        if most is None or self.slots[queue.pk] + more <= most:
            return True
        if job.devices <= most:
            self.closed.add(queue.pk)
        return False

    def book(self, job: Waiting) -> None:
        """Keep the place of a job that waits for another worker from later ones."""
        if job.job_id not in self.booked:
            self.booked.add(job.job_id)
            self.slots[job.queue_id] += job.devices


def is_limited(queue: Queue) -> bool:
    """Say whether what runs in a queue may keep other jobs of it from a free slot."""
    limits = (queue.max_running, queue.max_running_team, queue.max_running_user)
    return any(limit is not None for limit in limits)


def _full(count: int, most: int | None) -> bool:
    return most is not None and count >= most


class _Room:
    """The slots of a kind of device, for jobs that need several of one worker.

    Those of our worker that are free are locked; one that somebody else has locked is
    not waited for, so that no two claims wait for each other.
    """

    def __init__(self, own: Slot) -> None:
        self.own = own
        mine = Slot.objects.filter(worker=own.worker, device=own.device)
        others = mine.exclude(pk=own.pk).order_by("pk")
        locked = others.select_for_update(no_key=True, skip_locked=True)
        self.locked = set(locked.values_list("pk", flat=True))
        self.slots = list(
            Slot.objects.select_related("worker", "job")
            .defer(*(f"job__{column}" for column in Job.LONG))
            .filter(
                Q(worker=own.worker) | answering("worker"),
                device=own.device,
                drain_requested=False,
                worker__drain_requested=False,
            )
        )

    def capacity(self, worker: int, queue: Queue) -> int:
        """Return how many slots of a worker a job of this queue could have."""
        mine = (slot for slot in self.slots if slot.worker_id == worker)
        return sum(slot.fits(queue) for slot in mine)

    def largest(self, queue: Queue) -> int:
        """Return how many slots the largest worker has for a job of this queue."""
        workers = {slot.worker_id for slot in self.slots}
        return max(self.capacity(worker, queue) for worker in workers)

    def free(self, queue: Queue, job: Waiting, used: Mapping[int, float]) -> list[Slot]:
        """Return the other slots of our worker that the job may take at once: those
        that it has reserved, then those that nobody, or a later job, has reserved."""
        found = []
        for slot in self.slots:
            mine = slot.worker_id == self.own.worker_id and slot.pk != self.own.pk
            if not mine or not slot.fits(queue) or slot.is_taken:
                continue
            if slot.job_id == job.job_id and slot.pk not in self.locked:
                return []  # it would stay behind, reserved for a job that runs
            if slot.pk in self.locked and not _goes_first(slot.job, job, used):
                found.append(slot)
        return sorted(found, key=lambda slot: slot.job_id != job.job_id)

    def is_reserved_elsewhere(self, queue: Queue, job: Waiting) -> bool:
        """Say whether another worker gathers slots for this job, and has enough."""
        workers = {
            slot.worker_id
            for slot in self.slots
            if slot.job_id == job.job_id and slot.fits(queue)
        }
        return any(
            self.capacity(worker, queue) >= job.devices
            for worker in workers - {self.own.worker_id}
        )


def _goes_first(reserved: Job | None, job: Waiting, used: Mapping[int, float]) -> bool:
    """Say whether the job for which a slot is reserved goes before another one."""
    if reserved is None or reserved.state != State.QUEUED or reserved.held:
        return False
    first = Waiting(
        *(reserved.pk, reserved.queue_id, reserved.team_id, reserved.author_id),
        *(reserved.priority, reserved.position, reserved.devices),
    )
    return order_key(first, used) < order_key(job, used)


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
            "lease_expires": Now() + timedelta(seconds=settings.NASWEB_LEASE_SECONDS),
            "started": job.started or Now(),
        },
    )
    taken = [slot.pk for slot in slots]
    if job.devices > 1:
        _give_up_elsewhere(job, queue, taken)
    Slot.objects.filter(pk__in=taken).update(job=job)
    Attempt.objects.create(
        job=job,
        team_id=job.team_id,
        number=fence,
        worker_name=own.worker.name,
        slot_name=slot_names.name_of(slots),
        host=own.worker.host,
        queue_name=queue.name,
        device=own.device,
        device_name=own.device_name,
        devices=job.devices,
        started=Now(),
    )
    return Claim(
        job.pk,
        job.uuid,
        job.kind,
        job.spec,
        fence,
        devices=job.devices,
        gpus=tuple(slot.gpu_uuid for slot in slots if slot.gpu_uuid),
        threads=own.threads,
        files_from=job.files_from,
    )


def _give_up_elsewhere(job: Job, queue: Queue, taken: Collection[int]) -> None:
    """Free the slots that were reserved for a job and that it does not take, but for
    those that somebody else has locked: what they claim next replaces it."""
    rows = Slot.objects.filter(job=job).exclude(pk__in=taken)
    locked = rows.select_for_update(no_key=True, skip_locked=True)
    if left := list(locked.values_list("pk", flat=True)):
        Slot.objects.filter(pk__in=left).update(job=None)
        bell.wake(queue.name, len(left))
