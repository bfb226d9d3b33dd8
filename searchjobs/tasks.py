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
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from billiard import current_process
from celery import Task, shared_task
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from django.conf import settings
from django.db import Error, connection
from django.db.backends.signals import connection_created
from structlog.contextvars import bind_contextvars

from . import bell, queueing, retention, workers
from .fencing import limit_idle_transactions

logger = logging.getLogger(__name__)

# Bytes that the worker's pool processes share with it (they are forked from it): the
# first is set by a signal handler, so it may need no lock.
_shared = mmap.mmap(-1, 2)
STOPPING, REGISTERED = range(2)
_parent = 0
_name = ""
_at_work = threading.Lock()  # of a pool process: held while its slot has work


@shared_task(name=bell.WAKE, bind=True, ignore_result=True)
def wake(self: Task) -> None:
    """Claim and run jobs until none is left; a message too many finds none.

    Nothing is claimed before this worker is registered: until then the rows of its
    slots tell of its last start, and so perhaps of other GPUs and threads.  Who waits
    is woken again once it is.
    """
    if not _shared[REGISTERED]:
        return
    with _at_work:
        workers.work(self.request.hostname, _number(), is_stopping)


def is_stopping() -> bool:
    """Say whether this worker is to end: it was told to, or its parent is gone."""
    return _shared[STOPPING] == 1 or (_parent != 0 and os.getppid() != _parent)


@worker_init.connect
def _remember_name(sender: Any, **_: Any) -> None:
    global _name
    _name = sender.hostname
    bind_contextvars(worker=_name)
    # Its beat locks slots, its pool processes (forked from it) lock jobs.
    connection_created.connect(limit_idle_transactions)


@worker_process_init.connect
def _begin_process(**_: Any) -> None:
    """Give back what a killed predecessor held: its slot is not idle for the bell.

    In a thread: Celery kills a process that is not up within four seconds, and the
    database may be away.
    """
    global _parent
    _parent = os.getppid()
    threading.Thread(target=_give_back_at_start, name="start", daemon=True).start()


def _give_back_at_start() -> None:
    if not _at_work.acquire(blocking=False):
        return  # ``work`` begins with the same
    try:
        workers.give_back_own(_name, _number())
    except Error as error:
        logger.warning("A lost job waits for the end of its lease: %s", error)
    finally:
        connection.close()
        _at_work.release()


def _number() -> int:
    return int(getattr(current_process(), "index", 0))


@worker_shutting_down.connect
def _tell_slots(**_: Any) -> None:
    _shared[STOPPING] = 1


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    """Begin the beat of a worker that has slots.

    In threads, because its pool processes may all be taken for hours by their jobs;
    and in some, because the driver of a sick GPU or a storage may never answer.
    """
    if not bell.wakes_slots(sender.app.amqp.queues.consume_from):
        return
    name = sender.hostname
    # Once: the numbers of slots must not change while their jobs run.
    offered = workers.slots_offered()[: sender.pool.num_processes]

    def beat() -> None:
        if not (_shared[REGISTERED] and workers.seen(name)):
            workers.register(name, offered)
            _shared[REGISTERED] = 1
            queueing.wake_waiting()

    def sample() -> None:
        if _shared[REGISTERED]:
            workers.record_load(name, len(offered))

    tidy = retention.Tidying().go_on

    for do in (beat, sample, tidy):
        title = do.__name__
        told = copy_context()  # a log line of this worker says which it is
        threading.Thread(
            target=told.run, args=[_repeat, do], name=title, daemon=True
        ).start()


def _repeat(do: Callable[[], None]) -> None:
    """Do it at every beat for as long as this worker lives, whatever fails."""
    while not is_stopping():
        try:
            do()
        except Error as error:
            logger.warning("The database does not answer, until later: %s", error)
        except Exception:
            logger.exception("The beat of this worker has a fault; it goes on")
        finally:
            # Pool processes are forked from this one: leave no connection to them.
            connection.close()
        time.sleep(settings.NASWEB_BEAT_SECONDS)
