"""Who may see and do what: the only place that knows.

A viewer sees everything of the team; a member launches and acts on what they
launched; a maintainer acts on everything of the team; a superuser on everything.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet

from .models import (
    Artefact,
    Attempt,
    AuditEvent,
    Dataset,
    DatasetStatistics,
    EpochRecord,
    Evaluation,
    Experiment,
    Job,
    Membership,
    Run,
    Subset,
    Team,
)

User = AbstractBaseUser | AnonymousUser
M = TypeVar("M", bound=Model)
Role = Membership.Role

#: From a row to its team, as a path of fields; empty: the row is the team.
TEAM_PATHS: dict[type[Model], str] = {
    Team: "",
    Membership: "team",
    Experiment: "team",
    Job: "team",
    AuditEvent: "team",
    Dataset: "team",
    Subset: "job__team",
    Evaluation: "job__team",
    Attempt: "job__team",
    Artefact: "job__team",
    Run: "experiment__team",
    EpochRecord: "run__experiment__team",
    DatasetStatistics: "run__experiment__team",
}


def team_id_of(obj: Model) -> int | None:
    """Return the key of the team that owns a row; TypeError if rows have none."""
    path = TEAM_PATHS.get(type(obj))
    if path is None:
        raise TypeError(f"{type(obj).__name__} belongs to no team")
    found: Any = obj
    *way, last = path.split("__") if path else [""]
    for step in way:
        found = getattr(found, step)
    return getattr(found, f"{last}_id") if last else found.pk


def role_in(user: User, team: Team | int | None) -> str | None:
    """Return the user's role in the team, None for a stranger."""
    if not user.is_authenticated or not user.is_active or team is None:
        return None
    key = team.pk if isinstance(team, Team) else team
    memberships = Membership.objects.filter(user_id=user.pk, team_id=key)
    return memberships.values_list("role", flat=True).first()


def can_view(user: User, obj: Model) -> bool:
    """Say whether the user may see a team or a row of a team."""
    return _is_superuser(user) or role_in(user, team_id_of(obj)) is not None


def can_launch(user: User, team: Team) -> bool:
    """Say whether the user may launch experiments for the team."""
    return _is_superuser(user) or role_in(user, team) in {Role.MEMBER, Role.MAINTAINER}


def can_hurry(user: User, team: Team) -> bool:
    """Say whether the user may launch at more than normal priority for the team."""
    return _is_superuser(user) or role_in(user, team) == Role.MAINTAINER


def can_name_any_file(user: User, team: Team) -> bool:
    """Say whether a spec of the user's may name files outside of the data folder."""
    return _is_superuser(user) or role_in(user, team) == Role.MAINTAINER


def can_act(user: User, obj: Job | Experiment | Dataset) -> bool:
    """Say whether the user may cancel, pause, resume, requeue or change it."""
    if _is_superuser(user):
        return True
    role = role_in(user, team_id_of(obj))
    own = obj.author_id == user.pk
    return role == Role.MAINTAINER or (role == Role.MEMBER and own)


def visible(rows: QuerySet[M] | type[M], user: User) -> QuerySet[M]:
    """Keep the rows of the user's teams; no row twice, one query."""
    found = rows if isinstance(rows, QuerySet) else rows._default_manager.all()
    path = TEAM_PATHS.get(found.model)
    if path is None:
        raise TypeError(f"{found.model.__name__} belongs to no team")
    if not user.is_authenticated or not user.is_active:
        return found.none()
    if _is_superuser(user):
        return found
    teams = Membership.objects.filter(user_id=user.pk).values("team_id")
    return found.filter(Q(**{f"{path or 'pk'}__in": teams}))


def require_launch(user: User, team: Team) -> None:
    """Raise PermissionDenied, with a sentence, unless the user may launch."""
    if not can_launch(user, team):
        raise PermissionDenied(
            f"You may not launch experiments for {team}; ask a maintainer of the team "
            "to make you a member."
        )


def require_act(user: User, obj: Job | Experiment | Dataset) -> None:
    """Raise PermissionDenied, with a sentence, unless the user may act on it."""
    if not can_act(user, obj):
        raise PermissionDenied(
            "Only its author and the maintainers of its team may do this; ask one of "
            "them."
        )


def is_administrator(user: User) -> bool:
    """Say whether the user maintains the installation."""
    return _is_superuser(user)


def require_administrator(user: User, to_do: str) -> None:
    """Raise PermissionDenied, with a sentence, unless the user is a superuser."""
    if not is_administrator(user):
        raise PermissionDenied(f"Only an administrator may {to_do}; ask one of them.")


def _is_superuser(user: User) -> bool:
    return bool(user.is_active and getattr(user, "is_superuser", False))
