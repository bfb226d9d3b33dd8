"""Ring: wake slots and live pages.  Redis carries no more than this.

Nothing is lost if nobody hears it: jobs and records stand in PostgreSQL, a beat
task wakes slots again, and a page asks for what it missed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import Error, transaction
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from .liveness import answering
from .models import Job, Queue, Slot

logger = logging.getLogger(__name__)

WAKE = "searchjobs.slot.wake"
#: A message that no slot took by then is stale: the beat task has sent others.
WAKE_SECONDS = 60
#: At most so many slots of a queue are woken at one time; the beat wakes the rest.
MOST_WAKES = 32

_SLOTS = "slots."


def slots_queue(worker: str) -> str:
    """Return the Celery queue on which the slots of a worker are woken."""
    return f"{_SLOTS}{worker}"


def wakes_slots(celery_queues: Iterable[str]) -> bool:
    """Say whether one of these Celery queues wakes slots."""
    return any(name.startswith(_SLOTS) for name in celery_queues)


def run_channel(run: UUID | str) -> str:
    """Return the pub/sub channel of a run; its messages carry the last epoch."""
    return f"nasweb:run:{run}"


def wake(queue: str, slots: int = 1) -> None:
    """Tell idle slots that serve a job queue to claim, at least ``slots`` of them if
    there are so many, after the commit."""
    transaction.on_commit(lambda: _wake(queue, min(slots, MOST_WAKES)))


def ring(run: UUID | str, message: str = "") -> None:
    """Tell live pages that something of a run is new, after the commit."""
    transaction.on_commit(lambda: _publish(run_channel(run), message))


def _wake(queue: str, slots: int) -> None:
    try:
        for worker, count in _idle_workers(queue, slots):
            for _ in range(count):
                current_app.send_task(
                    WAKE,
                    queue=slots_queue(worker),
                    expires=WAKE_SECONDS,
                    ignore_result=True,
                    retry=False,
                )
    except (OperationalError, OSError, RedisError, Error) as error:
        logger.warning("No slot was woken, the next beat will: %s", error)


def _idle_workers(name: str, slots: int) -> list[tuple[str, int]]:
    """Return workers with idle slots for a queue, and how many messages each needs.

    Every such worker is told: one that has just died looks alive until its beat is
    missed, and a message too many finds no job.

    The free processes of a worker take messages in turn.  Where one of them may do
    nothing for this queue (its slot fits another one, is drained, or is held by a job
    that another process runs), all are woken, so that one that may is among them.
    """
    queue = Queue.objects.filter(name=name, paused=False).first()
    if queue is None:
        return []
    rows = (
        Slot.objects.select_related("worker", "job")
        .defer(*(f"job__{column}" for column in Job.LONG))
        .filter(answering("worker"), worker__drain_requested=False)
    )
    members: dict[str, list[Slot]] = {}
    for slot in rows.order_by("pk"):
        members.setdefault(slot.worker.name, []).append(slot)
    found = []
    for worker, its in members.items():
        free = [slot for slot in its if not _is_at_work(slot)]
        fitting = sum(
            slot.fits(queue) and not slot.drain_requested and not slot.is_taken
            for slot in free
        )
        if fitting == len(free):
            found.append((worker, min(slots, fitting)))
        elif fitting:
            found.append((worker, len(free)))
    return found


def _is_at_work(slot: Slot) -> bool:
    """Say whether the process of a slot is busy; that of a slot which a job holds
    beside its first one is not."""
    job = slot.job if slot.is_taken else None
    return job is not None and job.slot == f"slot {slot.number}"


def _publish(channel: str, message: str) -> None:
    try:
        _redis(settings.REDIS_URL).publish(channel, message)
    except (OSError, RedisError) as error:
        logger.warning("Live pages were not told, they will ask: %s", error)


@cache
def _redis(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
