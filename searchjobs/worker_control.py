"""What administrators do to workers and slots: drain, undrain, forget.

A drained slot finishes what it runs and takes nothing new.
"""

from __future__ import annotations

from django.db import transaction

from . import audit
from .lifecycle import NotAllowedError
from .liveness import answering
from .models import Job, Slot, Worker
from .permissions import User, require_administrator
from .queueing import wake_waiting
from .states import HELD


def drain(actor: User, row: Worker | Slot) -> bool:
    """Let a worker, or one slot, finish what it runs and take nothing new.

    Returns:
        False if that was asked for already.

    Raises:
        PermissionDenied: the actor is no administrator.
    """
    return _set_drain(actor, "drain", row, wanted=True)


def undrain(actor: User, row: Worker | Slot) -> bool:
    """Let it take jobs again, and wake slots for what waits; else as ``drain``."""
    return _set_drain(actor, "undrain", row, wanted=False)


@transaction.atomic
def forget(actor: User, worker: Worker) -> None:
    """Delete the row of a worker that no longer answers, and its slots.

    One that starts again makes its row anew.  A claim of that worker at this moment
    comes before, and its job is held then; or after, and finds no slot.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: it answers, or holds jobs whose lease has not run out yet.
    """
    require_administrator(actor, "forget a worker")
    rows = Worker.objects.select_for_update(of=("self",)).filter(pk=worker.pk)
    row = rows.first()
    if row is None:
        return
    if rows.filter(answering()).exists():
        raise NotAllowedError(
            f"The worker {row} answers: drain it and stop it first, then forget it."
        )
    if Job.objects.filter(worker=row, state__in=HELD).exists():
        raise NotAllowedError(
            f"The worker {row} still holds jobs: they go back to their queue when "
            "their lease has run out; forget it then."
        )
    before = {"name": row.name, "host": row.host, "seen": row.seen.isoformat()}
    audit.record(actor, "forget", row, before)
    row.delete()


@transaction.atomic
def _set_drain(actor: User, verb: str, row: Worker | Slot, *, wanted: bool) -> bool:
    require_administrator(actor, f"{verb} a {row._meta.verbose_name}")
    rows = type(row)._default_manager.filter(pk=row.pk, drain_requested=not wanted)
    if not rows.update(drain_requested=wanted):
        return False
    audit.record(
        actor, verb, row, {"drain_requested": not wanted}, {"drain_requested": wanted}
    )
    if not wanted:
        wake_waiting()
    return True
