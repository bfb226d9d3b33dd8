"""The Celery tasks.  A message only says "a slot may claim"; rows say the rest.

Each worker listens to a Celery queue of its own, ``slots.<worker>``, with one slot a
pool process; who is woken for which job queue is decided from the rows (``bell``).
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from typing import Any

from billiard import current_process
from celery import Task, shared_task
from celery.signals import worker_process_init, worker_ready, worker_shutting_down
from django.conf import settings
from django.db import Error, connection

from . import bell, queueing, workers

logger = logging.getLogger(__name__)

HOUSEKEEPING = "housekeeping"

# One byte that the worker's pool processes share with it (they are forked from it):
# set by a signal handler, so it may need no lock.
_stopping = mmap.mmap(-1, 1)
_parent = 0


@shared_task(name=bell.WAKE, bind=True, ignore_result=True)
def wake(self: Task) -> None:
    """Claim and run jobs until none is left; a message too many finds none."""
    slot = getattr(current_process(), "index", 0)
    workers.work(self.request.hostname, slot, is_stopping)


@shared_task(name="searchjobs.leases.reap", ignore_result=True, queue=HOUSEKEEPING)
def reap() -> None:
    """Give the jobs of dead workers back, and wake slots for what waits."""
    queueing.release_expired()
    queueing.wake_waiting()


def is_stopping() -> bool:
    """Say whether this worker is to end: it was told to, or its parent is gone."""
    return _stopping[0] == 1 or (_parent != 0 and os.getppid() != _parent)


@worker_process_init.connect
def _remember_parent(**_: Any) -> None:
    global _parent
    _parent = os.getppid()


@worker_shutting_down.connect
def _tell_slots(**_: Any) -> None:
    _stopping[0] = 1


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    if bell.wakes_slots(sender.app.amqp.queues.consume_from):
        arguments = (sender.hostname,)
        threading.Thread(target=_beat, args=arguments, name="beat", daemon=True).start()


def _beat(name: str) -> None:
    """Keep the worker's row fresh for as long as the worker lives.

    A thread, because the pool processes may all be taken for hours by their jobs.
    """
    registered = False
    while not is_stopping():
        try:
            if not (registered and workers.seen(name)):
                workers.register(name)
                registered = True
                queueing.wake_waiting()
        except Error as error:
            logger.warning("The worker's row could not be renewed: %s", error)
        finally:
            # Pool processes are forked from this one: leave no connection to them.
            connection.close()
        time.sleep(settings.NASWEB_BEAT_SECONDS)
