"""Which team's work a request is about, and what its user may open.

An object of a team to which the user does not belong does not exist for them: the
answer is 404, never 403, so nothing can be learnt from an address.
"""

from __future__ import annotations

from importlib import import_module
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.http import Http404, HttpRequest

from searchjobs.models import Experiment, Membership, Run, Team
from searchjobs.permissions import visible

SESSION_KEY = "team"


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


def experiment_or_404(request: HttpRequest, uuid: UUID) -> Experiment:
    """Return the experiment with its team and author."""
    found = (
        visible(Experiment, request.user)
        .select_related("team", "author")
        .filter(uuid=uuid)
        .first()
    )
    if found is None:
        raise Http404("There is no such experiment in your teams.")
    return found


def run_or_404(request: HttpRequest, uuid: UUID) -> Run:
    """Return the run with its job, queue, worker, experiment and team."""
    found = (
        visible(Run, request.user)
        .select_related("job__queue", "job__worker", "experiment__team", "architecture")
        .filter(uuid=uuid)
        .first()
    )
    if found is None:
        raise Http404("There is no such run in your teams.")
    return found


def may_still_view(session: str | None, run: Run) -> bool:
    """Say whether whoever has this session may view the run now: no longer after a
    log-out, a new password, or when they have left the team."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
    user = get_user(request)
    return visible(Run, user).filter(pk=run.pk).exists()
