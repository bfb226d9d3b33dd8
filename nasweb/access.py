"""Which team's work a request is about, and what its user may open.

An object of a team to which the user does not belong does not exist for them: the
answer is 404, never 403, so nothing can be learnt from an address.
"""

from __future__ import annotations

from importlib import import_module
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest

from searchjobs.models import (
    Dataset,
    Evaluation,
    Experiment,
    Membership,
    Run,
    Subset,
    Team,
)
from searchjobs.permissions import can_launch, visible

SESSION_KEY = "team"
M = TypeVar("M", bound=Model)


def teams_of(request: HttpRequest) -> list[Team]:
    """Return the user's teams, in order of name; read once a request."""
    if not hasattr(request, "_teams"):
        request._teams = list(visible(Team, request.user))  # type: ignore[attr-defined]
    return request._teams  # type: ignore[attr-defined, no-any-return]


def current_team(request: HttpRequest) -> Team | None:
    """Return the team chosen in this session, else the first one that the user is a
    member of (an administrator sees them all), else the first; None without any."""
    if not hasattr(request, "_team"):
        request._team = _choose(request)  # type: ignore[attr-defined]
    return request._team  # type: ignore[attr-defined, no-any-return]


def _choose(request: HttpRequest) -> Team | None:
    teams = teams_of(request)
    chosen = request.session.get(SESSION_KEY)
    for team in teams:
        if team.pk == chosen:
            return team
    own: set[int] = set()
    if request.user.is_authenticated:
        memberships = Membership.objects.filter(user=request.user)
        own = set(memberships.values_list("team_id", flat=True))
    return next((team for team in teams if team.pk in own), teams[0] if teams else None)


def launching_team(request: HttpRequest, to_do: str) -> Team:
    """Return the present team.  Raises PermissionDenied if the user may not launch for
    it; ``to_do`` says what they wanted."""
    team = current_team(request)
    if team is None or not can_launch(request.user, team):
        raise PermissionDenied(
            f"You may not {to_do} for this team. Ask one of its maintainers to make "
            "you a member."
        )
    return team


def experiment_or_404(request: HttpRequest, uuid: UUID) -> Experiment:
    """Return the experiment with its team and author."""
    rows = Experiment.objects.select_related("team", "author")
    return _one(request, rows, uuid, "experiment")


def run_or_404(request: HttpRequest, uuid: UUID) -> Run:
    """Return the run with its job, queue, worker, experiment and team."""
    rows = Run.objects.select_related(
        "job__queue", "job__worker", "experiment__team", "architecture"
    )
    return _one(request, rows, uuid, "run")


def dataset_or_404(request: HttpRequest, uuid: UUID) -> Dataset:
    """Return the data set with its team, author and newest check."""
    rows = Dataset.objects.select_related(
        "team", "author", "check_job__queue", "check_job__worker"
    )
    return _one(request, rows, uuid, "data set")


def subset_or_404(request: HttpRequest, uuid: UUID) -> Subset:
    """Return the subset with its job, team, author, queue and worker."""
    rows = Subset.objects.select_related(
        "job__team", "job__author", "job__queue", "job__worker"
    )
    return _one(request, rows, uuid, "subset")


def evaluation_or_404(request: HttpRequest, uuid: UUID) -> Evaluation:
    """Return the training with its cell, its search, and its job."""
    rows = Evaluation.objects.select_related(
        "architecture", "run__experiment", "job__team", "job__queue", "job__worker"
    )
    return _one(request, rows, uuid, "training")


def _one(request: HttpRequest, rows: QuerySet[M], uuid: UUID, what: str) -> M:
    found = visible(rows, request.user).filter(uuid=uuid).first()
    if found is None:
        raise Http404(f"There is no such {what} in your teams.")
    return found


def may_still_view(session: str | None, run: Run) -> bool:
    """Say whether whoever has this session may view the run now: no longer after a
    log-out, a new password, or when they have left the team."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
    user = get_user(request)
    return visible(Run, user).filter(pk=run.pk).exists()
