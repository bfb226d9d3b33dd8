"""When a waiting run starts: a sentence on its page, asked for again and again."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from nasweb import access, starts
from nasweb.forecast import Start
from searchjobs.models import Run
from searchjobs.states import State


@require_safe
def part(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The sentence alone; nothing for a run that does not wait."""
    run = access.run_or_404(request, uuid)
    context = {"run": run, "outlook": outlook(run)}
    return render(request, "runs/_outlook.html", context)


def outlook(run: Run) -> str:
    """Say where a waiting run stands and when it starts; empty if it does not wait."""
    if run.job.state != State.QUEUED:
        return ""
    start = starts.starts().get(run.job_id)
    return f"{_place(run, start)}; {starts.words(start)}."


def _place(run: Run, start: Start | None) -> str:
    if start is None:
        return f"Far back in the queue {run.job.queue}"
    return f"Place {start.place} in the queue {run.job.queue}"
