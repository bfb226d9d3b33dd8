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
from django.db import transaction
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

WAKE = "searchjobs.slot.wake"
#: A message that no slot took by then is stale: the beat task has sent others.
WAKE_SECONDS = 60
#: At most so many slots of a queue are woken at one time; the beat wakes the rest.
MOST_WAKES = 32

_SLOTS = "slots."


def slots_queue(queue: str) -> str:
    """Return the Celery queue on which the slots of a job queue are woken."""
    return f"{_SLOTS}{queue}"


def job_queues(celery_queues: Iterable[str]) -> set[str]:
    """Return the job queues whose slots are woken on these Celery queues."""
    return {
        name.removeprefix(_SLOTS) for name in celery_queues if name.startswith(_SLOTS)
    }


def run_channel(run: UUID | str) -> str:
    """Return the pub/sub channel of a run; its messages carry the last epoch."""
    return f"nasweb:run:{run}"


def wake(queue: str, slots: int = 1) -> None:
    """Tell up to ``slots`` slots of a job queue to claim, after the commit."""
    transaction.on_commit(lambda: _send(queue, min(slots, MOST_WAKES)))


def ring(run: UUID | str, message: str = "") -> None:
    """Tell live pages that something of a run is new, after the commit."""
    transaction.on_commit(lambda: _publish(run_channel(run), message))


def _send(queue: str, slots: int) -> None:
    try:
        for _ in range(slots):
            current_app.send_task(
                WAKE,
                queue=slots_queue(queue),
                expires=WAKE_SECONDS,
                ignore_result=True,
                retry=False,
            )
    except (OperationalError, OSError, RedisError) as error:
        logger.warning("No slot was woken, the next beat will: %s", error)


def _publish(channel: str, message: str) -> None:
    try:
        _redis(settings.REDIS_URL).publish(channel, message)
    except (OSError, RedisError) as error:
        logger.warning("Live pages were not told, they will ask: %s", error)


@cache
def _redis(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
