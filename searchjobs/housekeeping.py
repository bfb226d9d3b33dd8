"""Housekeeping: what an installation does by the clock.

A process without Celery and without a broker, so that lost jobs go back to their
queue although Redis is away.  Each duty has a thread of its own: one that is slow, or
hangs, keeps no other from its time.  Every duty may be done twice at a time, so a
second process does no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import Error, connection
from django.db.backends.signals import connection_created

from . import queueing, retention, workers
from .fencing import limit_idle_transactions

logger = logging.getLogger(__name__)

#: Threads are given so many seconds to end when the process is told to.
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Duty:
    """Something to do every so many seconds.

    Attributes:
        name: for the log, as in "... could not be done".
        every: seconds from one end to the next begin.
        do: is called in a thread of its own; what it returns says nothing.
    """

    name: str
    every: float
    do: Callable[[], object]


def duties() -> list[Duty]:
    """Return what there is to do."""
    beat = settings.NASWEB_BEAT_SECONDS
    return [
        Duty("giving lost jobs back", beat, queueing.release_expired),
        Duty("waking slots for what waits", beat, queueing.wake_waiting),
        Duty("removing old samples of load", 3600, workers.forget_old_samples),
        Duty("removing checkpoints that need not be kept", 60, retention.retain),
        Duty("removing files that no row names", 60, retention.Sweep().go_on),
    ]


def keep_house(stop: threading.Event, chores: Sequence[Duty] | None = None) -> None:
    """Do every duty at its times until ``stop`` is set, whatever fails."""
    connection_created.connect(limit_idle_transactions)
    threads = [
        threading.Thread(target=_keep, args=[duty, stop], name=duty.name, daemon=True)
        for duty in (duties() if chores is None else chores)
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _keep(duty: Duty, stop: threading.Event) -> None:
    while True:
        try:
            duty.do()
        except Error as error:
            reason = str(error).strip().partition("\n")[0]
            logger.warning("No %s at this time: %s", duty.name, reason)
        except Exception:
            logger.exception("A fault in %s; it is tried again", duty.name)
        finally:
            connection.close()
        if stop.wait(duty.every):
            return
