"""The command lines of the processes that make an installation."""

from __future__ import annotations

import sys

from django.conf import settings

HOUSEKEEPING = "housekeeping"


def worker_command(*, name: str, slots: int = 0, queues: str = "") -> list[str]:
    """Return the worker that runs jobs: one slot a process of its pool.

    ``queues`` are names of Queue rows, comma-separated: a slot is woken by messages
    of the Celery queues of these names.
    """
    return [
        *(sys.executable, "-W", "ignore::celery.platforms.SecurityWarning"),
        *("-m", "celery", "-A", "nasweb", "worker"),
        *("--hostname", f"{name}@%h", "--pool", "prefork"),
        *("--concurrency", str(slots or settings.NASWEB_SLOTS)),
        *("--queues", queues or ",".join(settings.NASWEB_QUEUES)),
        *("--loglevel", "INFO", "--without-mingle", "--without-gossip"),
    ]


def housekeeping_command() -> list[str]:
    """Return the process that keeps time and frees lost jobs.

    It is apart from the workers, whose slots are taken for hours by their jobs.
    """
    return [
        *(sys.executable, "-W", "ignore::celery.platforms.SecurityWarning"),
        *("-m", "celery", "-A", "nasweb", "worker"),
        *("--hostname", f"{HOUSEKEEPING}@%h", "--pool", "solo", "--beat"),
        *("--queues", HOUSEKEEPING, "--loglevel", "WARNING"),
        *("--without-mingle", "--without-gossip", "--without-heartbeat"),
    ]


def site_command(host: str, port: int) -> list[str]:
    """Return the ASGI server of the site."""
    return [
        *(sys.executable, "-m", "uvicorn", "nasweb.asgi:application"),
        *("--host", host, "--port", str(port), "--log-level", "warning"),
        *("--no-access-log", "--lifespan", "off"),
        *("--timeout-graceful-shutdown", "2"),  # live streams never end by themselves
    ]
