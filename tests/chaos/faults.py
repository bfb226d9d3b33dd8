"""The faults: each looks for its victim, hits it, and says whom it hit.

A fault that finds no victim at the moment returns None and is tried again later:
only what really hit counts.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import psutil
from celery import current_app
from django.conf import settings
from redis import Redis

from searchjobs.bell import WAKE, slots_queue
from tests.chaos.installation import (
    LEASE_SECONDS,
    WORKERS,
    Installation,
    Kept,
    is_engine,
)

#: Takes the installation, a choice and how long it lasts in seconds; returns whom it
#: hit, or None.
Fault = Callable[[Installation, int, float], str | None]
T = TypeVar("T")

PARKED = "parked"


def engine_killed(home: Installation, choice: int, lasts: float) -> str | None:
    """``kill -9`` of the engine alone."""
    worker = _one_of(_busy(home), choice)
    engine = worker.engine() if worker else None
    if worker is None or engine is None:
        return None
    if not _killed(engine):
        return None
    return f"engine {engine.pid} of {worker.name}"


def supervisor_killed(home: Installation, choice: int, lasts: float) -> str | None:
    """``kill -9`` of the pool process that works on a job."""
    worker = _one_of(_busy(home), choice)
    engine = worker.engine() if worker else None
    supervisor = engine.parent() if engine else None
    if worker is None or supervisor is None:
        return None
    if not _killed(supervisor):
        return None
    return f"pool process {supervisor.pid} of {worker.name}"


def worker_killed(home: Installation, choice: int, lasts: float) -> str | None:
    """``kill -9`` of a Celery worker that has a job; it comes back after a while."""
    worker = _one_of(_busy(home), choice)
    if worker is None:
        return None
    worker.end(signal.SIGKILL, lasts)
    return worker.name


def worker_frozen(home: Installation, choice: int, lasts: float) -> str | None:
    """SIGSTOP of a worker past its lease, with all its processes, then SIGCONT."""
    return _freeze(home, choice, lasts, with_engine=True)


def supervisor_frozen(home: Installation, choice: int, lasts: float) -> str | None:
    """The same, but the engine goes on: nobody reads what it says."""
    return _freeze(home, choice, lasts, with_engine=False)


def redis_stopped(home: Installation, choice: int, lasts: float) -> str | None:
    """Redis is stopped, and later started empty."""
    if not home.redis.is_running():
        return None
    home.redis.stop()
    home.mend_after(lasts, home.redis.start)
    return f"away for {lasts} s"


def redis_emptied(home: Installation, choice: int, lasts: float) -> str | None:
    """Redis forgets all that it holds."""
    if not home.redis.is_running():
        return None
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushall()
    return "all keys"


def postgres_restarted(home: Installation, choice: int, lasts: float) -> str | None:
    """PostgreSQL is shut down in order, which ends all connections."""
    if not home.postgres.is_running():
        return None
    home.postgres.stop()
    home.mend_after(lasts, home.postgres.start)
    return f"away for {lasts} s"


def postgres_crashed(home: Installation, choice: int, lasts: float) -> str | None:
    """PostgreSQL ends at once, as in a crash, and recovers from its log."""
    process = home.postgres.process
    if process is None or not home.postgres.is_running():
        return None
    process.send_signal(signal.SIGQUIT)
    process.wait()
    home.mend_after(lasts, home.postgres.start)
    return f"away for {lasts} s"


def site_restarted(home: Installation, choice: int, lasts: float) -> str | None:
    """The site ends, in order or at once, and comes back after a while."""
    if not home.site.is_running():
        return None
    number = (signal.SIGTERM, signal.SIGKILL)[choice % 2]
    home.site.end(number, lasts)
    return f"by {number.name}"


def clock_killed(home: Installation, choice: int, lasts: float) -> str | None:
    """``kill -9`` of the process that gives lost jobs back."""
    if not home.clock.is_running():
        return None
    home.clock.end(signal.SIGKILL, lasts)
    return "clock"


def message_doubled(home: Installation, choice: int, lasts: float) -> str | None:
    """One and the same message is delivered to every worker, several times."""
    message = _message(home)
    if message is None:
        return None
    times = 2 + choice % 3
    _deliver(message, times)
    return f"{times} times"


def message_late(home: Installation, choice: int, lasts: float) -> str | None:
    """A message arrives seconds after it was sent, when all has changed."""
    message = _message(home)
    if message is None:
        return None

    def deliver() -> None:
        if home.redis.is_running():
            _deliver(message, 1)

    home.mend_after(2 * lasts, deliver)
    return f"after {2 * lasts} s"


FAULTS: dict[str, Fault] = {
    each.__name__.replace("_", " "): each
    for each in (
        engine_killed,
        supervisor_killed,
        worker_killed,
        worker_frozen,
        supervisor_frozen,
        redis_stopped,
        redis_emptied,
        postgres_restarted,
        postgres_crashed,
        site_restarted,
        clock_killed,
        message_doubled,
        message_late,
    )
}


def _busy(home: Installation) -> list[Kept]:
    """Return the workers that run an engine and are not frozen."""
    return [each for each in home.workers if not each.frozen and each.engine()]


def _one_of(victims: Sequence[T], choice: int) -> T | None:
    return victims[choice % len(victims)] if victims else None


def _killed(victim: psutil.Process) -> bool:
    """Kill it; say no where it ended by itself between the look and the blow."""
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _freeze(
    home: Installation, choice: int, lasts: float, *, with_engine: bool
) -> str | None:
    worker = _one_of(_busy(home), choice)
    if worker is None:
        return None
    stopped = [each for each in worker.family() if with_engine or not is_engine(each)]
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.suspend()
    worker.frozen = True
    begun = worker.process

    def wake() -> None:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.resume()
        if worker.process is begun:
            worker.frozen = False

    seconds = LEASE_SECONDS + lasts
    home.mend_after(seconds, wake)
    return f"{worker.name}, {len(stopped)} processes, {seconds:.1f} s"


def _message(home: Installation) -> bytes | None:
    """Return a real message as it stands in Redis; None while Redis is away."""
    if not home.redis.is_running():
        return None
    with current_app.connection_for_write() as fresh:
        current_app.send_task(WAKE, queue=PARKED, connection=fresh, expires=60)
    with Redis.from_url(settings.REDIS_URL) as redis:
        found = redis.rpop(PARKED)
        redis.delete(*redis.keys(f"_kombu.*{PARKED}"))
    assert isinstance(found, bytes)
    return found


def _deliver(message: bytes, times: int) -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        for name in WORKERS:
            celery_queue = slots_queue(f"{name}@{socket.gethostname()}")
            redis.lpush(celery_queue, *[message] * times)
