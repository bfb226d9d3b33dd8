"""Write down who did what to which object."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from .models import AuditEvent
from .permissions import TEAM_PATHS, User, team_id_of

_LONGEST: int = AuditEvent._meta.get_field("object_name").max_length or 0


def record(
    actor: User | None,
    verb: str,
    obj: Model,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEvent:
    """Add one event, in the transaction of the change that it tells of.

    Args:
        actor: None: the system itself.
        verb: what happened, as a plain verb: ``launch``, ``cancel``.
        obj: to what; named by its uuid where it has one, else by its key.
        before: JSON values of what changed, before.
        after: and after.
    """
    return AuditEvent.objects.create(
        actor_id=actor.pk if actor is not None else None,
        team_id=team_id_of(obj) if type(obj) in TEAM_PATHS else None,
        verb=verb,
        object_type=obj._meta.model_name or "",
        object_id=str(getattr(obj, "uuid", obj.pk)),
        object_name=name_of(obj)[:_LONGEST],
        before=before,
        after=after,
    )


def name_of(obj: Model) -> str:
    """Return what people call a row: a job by what it runs, others by themselves."""
    return str(getattr(obj, "title", obj))
