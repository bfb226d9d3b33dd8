"""What administrators do to queues: make, edit, limit, pause, resume, delete.

Each verb locks the queue's row, changes what differs, and writes one audit event of
it: two administrators may act at the same moment, and only what changed is told.
A slot that claims holds the same lock, so a verb holds from the next claim on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from . import audit, bell
from .claims import claimable
from .lifecycle import NotAllowedError
from .models import Job, Queue
from .permissions import User, require_administrator
from .states import TERMINAL

#: For which devices a queue is, and what it is for.
KIND = ("device", "gpu_pattern", "min_memory_gib", "description")
LIMITS = (
    "max_running",
    "max_running_team",
    "max_running_user",
    "max_hours",
    "max_disk_gib",
)


@transaction.atomic
def create(actor: User, name: str, **kind: Any) -> Queue:
    """Make a queue; ``kind`` are columns of ``KIND``.

    Raises:
        PermissionDenied: the actor is no administrator.
        ValidationError: a value is wrong or the name is taken; no row was made.
    """
    require_administrator(actor, "make a queue")
    queue = Queue(name=name, **_only(kind, KIND))
    queue.full_clean()
    queue.save()
    audit.record(actor, "create", queue, after={"name": name, **_columns(queue, KIND)})
    return queue


@transaction.atomic
def edit(actor: User, queue: Queue, **kind: Any) -> bool:
    """Change for which devices a queue is, and what people read of it.

    Returns:
        False if all was so already.

    Raises:
        PermissionDenied, ValidationError: as ``create``.
        NotAllowedError: jobs here ask for the kind of device that it is for now.
    """
    require_administrator(actor, "edit a queue")
    row = _locked(queue)
    device = kind.get("device", row.device)
    insist = Job.objects.filter(queue=row, spec__compute__device=row.device)
    if device != row.device and insist.exists():
        raise NotAllowedError(
            f"Jobs of {row} ask for the {row.get_device_display()}, and one that has "
            "ended may be queued again: make another queue for the other device."
        )
    return _set(actor, "edit", row, _only(kind, KIND))


@transaction.atomic
def set_limits(actor: User, queue: Queue, **limits: Any) -> bool:
    """Change limits (columns of ``LIMITS``; None: no limit); else as ``edit``.

    Limits on how many run end nothing that runs; those on time and disk hold for what
    runs too, from the next beat of its worker on.
    """
    require_administrator(actor, "limit a queue")
    return _set(actor, "limit", _locked(queue), _only(limits, LIMITS))


@transaction.atomic
def pause(actor: User, queue: Queue, reason: str = "") -> bool:
    """Let slots take nothing more from a queue; what runs goes on.

    ``reason`` is for people, and cut to what the column holds.

    Returns:
        False if it was paused already: its first reason stays.

    Raises:
        PermissionDenied: the actor is no administrator.
    """
    require_administrator(actor, "pause a queue")
    longest = Queue._meta.get_field("pause_reason").max_length
    row = _locked(queue)
    if row.paused:
        return False
    Queue.objects.filter(pk=row.pk).update(
        paused=True,
        pause_reason=reason[:longest],
        paused_at=Now(),
        paused_by_id=actor.pk,
    )
    after = {"paused": True, "reason": reason[:longest]}
    audit.record(actor, "pause", row, {"paused": False, "reason": ""}, after)
    return True


@transaction.atomic
def resume(actor: User, queue: Queue) -> bool:
    """Open a paused queue again and wake slots for what waits; else as ``pause``."""
    require_administrator(actor, "resume a queue")
    row = _locked(queue)
    if not row.paused:
        return False
    Queue.objects.filter(pk=row.pk).update(
        paused=False, pause_reason="", paused_at=None, paused_by=None
    )
    before = {"paused": True, "reason": row.pause_reason}
    audit.record(actor, "resume", row, before, {"paused": False, "reason": ""})
    _wake(row)
    return True


@transaction.atomic
def delete(actor: User, queue: Queue) -> None:
    """Remove a queue in which no job is or ever was.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: jobs are in it, or the history of jobs names it.
    """
    require_administrator(actor, "delete a queue")
    # Against a launch at this moment: its rows lock the key of their queue.
    row = Queue.objects.select_for_update().filter(pk=queue.pk).first()
    if row is None:
        return
    unfinished = Job.objects.filter(queue=row).exclude(state__in=TERMINAL).count()
    if unfinished:
        noun = "job waits, runs or pauses" if unfinished == 1 else "jobs wait or run"
        raise NotAllowedError(
            f"{unfinished} {noun} in {row}: move or cancel what is in it first."
        )
    if Job.objects.filter(queue=row).exists():
        raise NotAllowedError(
            f"Jobs that have ended keep {row} in their history: pause it instead, so "
            "that nothing more starts in it."
        )
    before = {"name": row.name, **_columns(row, (*KIND, *LIMITS))}
    audit.record(actor, "delete", row, before)
    row.delete()


def _locked(queue: Queue) -> Queue:
    found = Queue.objects.select_for_update(no_key=True).filter(pk=queue.pk).first()
    if found is None:
        raise NotAllowedError(f"The queue {queue} is gone; reload the page.")
    return found


def _only(values: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    if unknown := set(values) - set(columns):
        raise TypeError(f"not among {columns}: {sorted(unknown)}")
    return dict(values)


def _columns(queue: Queue, columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(queue, name) for name in columns}


def _set(actor: User, verb: str, row: Queue, values: dict[str, Any]) -> bool:
    """Set columns of the locked row, if any differs, and tell of those that do."""
    before = _columns(row, tuple(values))
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()
    changed = [name for name in values if getattr(row, name) != before[name]]
    if not changed:
        return False
    row.save(update_fields=changed)
    audit.record(
        actor,
        verb,
        row,
        {name: before[name] for name in changed},
        {name: getattr(row, name) for name in changed},
    )
    _wake(row)  # what did not fit may fit now
    return True


def _wake(queue: Queue) -> None:
    if waiting := queue.jobs.filter(claimable()).count():
        bell.wake(queue.name, waiting)
