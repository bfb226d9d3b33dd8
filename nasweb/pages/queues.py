"""Queues: who waits for what, what each worker does; admins pause and resume."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from nasweb import access
from searchjobs import audit, bell
from searchjobs.models import Job, Queue, Worker
from searchjobs.states import HELD, State

app_name = "queues"

MOST_WAITING = 100
ANSWERING = timedelta(seconds=60)


@dataclass(frozen=True)
class Waiting:
    """A job in its place; ``mine``: of a team whose work the reader may see."""

    job: Job
    place: int
    mine: bool


@dataclass(frozen=True)
class Card:
    """A queue with what waits in it, in the order in which slots take it."""

    queue: Queue
    slots: int
    running: int
    waiting_count: int
    waiting: list[Waiting]


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All queues and workers of the installation."""
    workers = list(_workers())
    answering = timezone.now() - ANSWERING
    alive = [worker for worker in workers if worker.seen >= answering]
    teams = {team.pk for team in access.teams_of(request)}
    context = {
        "cards": _cards(alive, teams),
        "workers": [(worker, worker in alive) for worker in workers],
        "teams": teams,
        "most_waiting": MOST_WAITING,
        "may_pause": request.user.is_superuser,
    }
    part = "HX-Request" in request.headers
    template = "queues/_queues.html" if part else "queues/index.html"
    return render(request, template, context)


def _workers() -> list[Worker]:
    held = (
        Job.objects.filter(state__in=HELD)
        .select_related("run__experiment", "team")
        .order_by("slot", "pk")
    )
    return list(
        Worker.objects.prefetch_related("queues", Prefetch("jobs", queryset=held))
    )


def _cards(alive: list[Worker], teams: set[int]) -> list[Card]:
    queues = Queue.objects.annotate(
        running=Count("jobs", filter=Q(jobs__state__in=HELD)),
        waiting_count=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
    ).order_by("name")
    waiting: dict[int, list[Waiting]] = {}
    jobs = (
        Job.objects.filter(state=State.QUEUED)
        .select_related("run__experiment", "team", "author")
        .order_by("queue", "-priority", "position", "id")[:MOST_WAITING]
    )
    for job in jobs:
        line = waiting.setdefault(job.queue_id, [])
        line.append(Waiting(job, len(line) + 1, job.team_id in teams))
    return [
        Card(
            queue,
            sum(w.slots for w in alive if queue in w.queues.all()),
            queue.running,
            queue.waiting_count,
            waiting.get(queue.pk, []),
        )
        for queue in queues
    ]


@require_POST
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Let slots take nothing more from a queue; what runs goes on."""
    reason = request.POST.get("reason", "").strip()[:200]
    _change(request, name, paused=True, reason=reason)
    return redirect("queues:list")


@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Open a paused queue again and wake its slots."""
    _change(request, name, paused=False, reason="")
    return redirect("queues:list")


def _change(request: HttpRequest, name: str, *, paused: bool, reason: str) -> None:
    if not request.user.is_superuser:
        raise PermissionDenied("Only an administrator may pause or resume a queue.")
    queue = get_object_or_404(Queue, name=name)
    verb = "pause" if paused else "resume"
    with transaction.atomic():
        changed = Queue.objects.filter(pk=queue.pk, paused=not paused).update(
            paused=paused, pause_reason=reason
        )
        if changed:
            audit.record(request.user, verb, queue, None, {"reason": reason})
            if not paused:
                bell.wake(queue.name, queue.jobs.filter(state=State.QUEUED).count())
    words = "is paused; what runs goes on" if paused else "is open"
    messages.success(request, f"The queue {name} {words}.")


urlpatterns = [
    path("", index, name="list"),
    path("<slug:name>/pause/", pause, name="pause"),
    path("<slug:name>/resume/", resume, name="resume"),
]
