"""Which workers answer: one rule for claims, the bell, pages, metrics and doctor."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now


def silent_after() -> timedelta:
    """Return for how long a worker may say nothing before it is taken to be gone:
    as long as its leases last."""
    return timedelta(seconds=settings.NASWEB_LEASE_SECONDS)


def is_answering(silent: timedelta) -> bool:
    """Say whether a worker answers whose last beat was so long ago."""
    return silent <= silent_after()


def answering(worker: str = "") -> Q:
    """Return the condition on rows under which their worker answers, by the clock of
    the database.

    Args:
        worker: the path from the rows to their worker; empty: they are workers.
    """
    seen = f"{worker}__seen" if worker else "seen"
    return Q(**{f"{seen}__gte": Now() - silent_after()})
