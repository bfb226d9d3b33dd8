"""Home: what runs now, what waits, what came out last."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from nasweb import access, summaries
from searchjobs import benchmark
from searchjobs.liveness import answering
from searchjobs.models import Queue, Run, Team, Worker
from searchjobs.permissions import can_launch
from searchjobs.states import HELD, TERMINAL, State

RECENT = 8
MOST_ACTIVE = 20


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The first page after log-in."""
    team = access.current_team(request)
    recent = (
        Run.objects.filter(experiment__team=team, job__state__in=TERMINAL)
        .select_related("job", "architecture", "experiment")
        .order_by("-job__finished", "-pk")[:RECENT]
    )
    context = {
        "team": team,
        "recent": summaries.rows(recent),
        "table_loaded": benchmark.table_loaded("nas-bench-201"),
        "can_launch": team is not None and can_launch(request.user, team),
        **_now(team),
    }
    return render(request, "home/index.html", context)


@require_safe
def now(request: HttpRequest) -> HttpResponse:
    """The part that is asked for again every five seconds."""
    return render(request, "home/_now.html", _now(access.current_team(request)))


def _now(team: Team | None) -> dict[str, Any]:
    active = (
        Run.objects.filter(experiment__team=team, job__state__in=HELD)
        .select_related("job__queue", "architecture", "experiment")
        .order_by("-job__started", "-pk")
    )
    counted = Queue.objects.annotate(
        waiting=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
        running=Count("jobs", filter=Q(jobs__state__in=HELD)),
    ).order_by("name")
    queues = list(counted)
    return {
        "active": summaries.rows(active[:MOST_ACTIVE]),
        "queues": queues,
        "waiting": sum(queue.waiting for queue in queues),
        "workers": Worker.objects.filter(answering()).count(),
    }
