"""The fence of an attempt: what is written under it is refused once it is stale."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .models import Job
from .states import HELD


class StaleAttemptError(RuntimeError):
    """Another attempt holds the job now: this one may write nothing more."""


@contextmanager
def fenced(job_id: int, fence: int, states: Collection[str] = HELD) -> Iterator[str]:
    """Open a transaction that holds the job's row; give its state.

    Raises StaleAttemptError if the job has another fence or is in no such state.
    """
    with transaction.atomic():
        rows = Job.objects.filter(pk=job_id, fence=fence, state__in=list(states))
        found = rows.select_for_update(no_key=True).values_list("state", flat=True)
        state = next(iter(found), None)
        if state is None:
            raise StaleAttemptError
        yield state


def holds(job_id: int, fence: int, states: Collection[str] = HELD) -> bool:
    """Say, without a lock, whether the attempt of this fence still has the job."""
    rows = Job.objects.filter(pk=job_id, fence=fence, state__in=list(states))
    return rows.exists()


def limit_idle_transactions(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Let the server end a session that does nothing in mid-transaction for a lease.

    A process that is frozen there would keep the rows of jobs or slots locked, and
    nobody could give a job back.  For ``connection_created``, in the processes of
    workers and in housekeeping.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
            [f"{settings.NASWEB_LEASE_SECONDS}s"],
        )
