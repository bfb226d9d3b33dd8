"""What administrators do to queues: pause, resume.

As with jobs, each verb is one conditional UPDATE with its audit event: two
administrators may act at the same moment, and only what changed is written down.
"""

from __future__ import annotations

from django.db import transaction

from . import audit, bell
from .models import Queue
from .permissions import User, require_administrator
from .states import State


def pause(actor: User, queue: Queue, reason: str = "") -> bool:
    """Let slots take nothing more from a queue; what runs goes on.

    ``reason`` is for people, and cut to what the column holds.

    Returns:
        False if it was paused already: its first reason stays.

    Raises:
        PermissionDenied: the actor is no administrator.
    """
    longest = Queue._meta.get_field("pause_reason").max_length
    return _change(actor, "pause", queue, paused=True, reason=reason[:longest])


def resume(actor: User, queue: Queue) -> bool:
    """Open a paused queue again and wake slots for what waits; else as ``pause``."""
    return _change(actor, "resume", queue, paused=False, reason="")


@transaction.atomic
def _change(actor: User, verb: str, queue: Queue, *, paused: bool, reason: str) -> bool:
    require_administrator(actor, f"{verb} a queue")
    changed = Queue.objects.filter(pk=queue.pk, paused=not paused).update(
        paused=paused, pause_reason=reason
    )
    if not changed:
        return False
    audit.record(
        actor, verb, queue, {"paused": not paused}, {"paused": paused, "reason": reason}
    )
    if not paused:
        bell.wake(queue.name, queue.jobs.filter(state=State.QUEUED).count())
    return True
