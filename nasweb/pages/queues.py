"""Queues: who waits for what, what each worker does.  What administrators do there
stands in ``installation``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Prefetch, Q, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_safe

from nasweb import access
from searchjobs.models import Job, Queue, Worker
from searchjobs.states import HELD, State
from searchjobs.workers import silent_after

app_name = "queues"

MOST_WAITING = 100


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
    answering = timezone.now() - silent_after()
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
        Worker.objects.prefetch_related(
            "slots__worker", Prefetch("jobs", queryset=held)
        )
    )


def _cards(alive: list[Worker], teams: set[int]) -> list[Card]:
    queues = Queue.objects.annotate(
        running=Count("jobs", filter=Q(jobs__state__in=HELD)),
        waiting_count=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
    ).order_by("name")
    waiting: dict[int, list[Waiting]] = {}
    for job in _waiting():
        line = waiting.setdefault(job.queue_id, [])
        line.append(Waiting(job, job.place, job.team_id in teams))
    return [
        Card(
            queue,
            sum(slot.fits(queue) for w in alive for slot in w.slots.all()),
            queue.running,
            queue.waiting_count,
            waiting.get(queue.pk, []),
        )
        for queue in queues
    ]


def _waiting() -> Any:
    """Return the first jobs of each queue with their ``place`` in it."""
    place = Window(
        RowNumber(),
        partition_by=F("queue"),
        order_by=(F("priority").desc(), F("position"), F("id")),
    )
    return (
        Job.objects.filter(state=State.QUEUED)
        .annotate(place=place)
        .filter(place__lte=MOST_WAITING)
        .select_related("run__experiment", "team", "author")
        .order_by("queue", "place")
    )


urlpatterns = [path("", index, name="list")]
