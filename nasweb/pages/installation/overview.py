"""Where the administrators' pages begin."""

from __future__ import annotations

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from searchjobs.models import AuditEvent, Queue
from searchjobs.states import HELD, State

from .answers import administrators_only

RECENT = 10


@administrators_only
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The queues with their counts, and what was done last."""
    context = {
        "queues": Queue.objects.annotate(
            waiting=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
            running=Count("jobs", filter=Q(jobs__state__in=HELD)),
        ).order_by("name"),
        "recent": AuditEvent.objects.select_related("actor")[:RECENT],
    }
    return render(request, "installation/index.html", context)
