"""Jobs of every kind for administrators: attempts, and what one may do to a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from searchjobs import job_control, lifecycle
from searchjobs.models import Job, Queue
from searchjobs.restart import UNCONFIRMED
from searchjobs.restart import restart as start_again

from .answers import View, act, administrators_only, field, refuse


@administrators_only
@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A job and its attempts: where and when each ran, and how it ended."""
    job = _job(uuid)
    context = {
        "job": job,
        "run": getattr(job, "run", None),
        "attempts": job.attempts.order_by("-number"),
        "queues": Queue.objects.exclude(pk=job.queue_id),
        "priorities": Job.Priority.choices,
    }
    return render(request, "installation/job.html", context)


def _verb(
    verb: Callable[[Any, Job], bool], done: str, already: str = "Nothing was changed."
) -> View:
    """Make the view of a verb that needs no more than the job."""

    @administrators_only
    @require_POST
    def view(request: HttpRequest, uuid: UUID) -> HttpResponse:
        job = _job(uuid)
        return act(request, lambda: verb(request.user, job), done, already)

    return view


cancel = _verb(
    lifecycle.cancel,
    "The job is being cancelled; what it found stays.",
    "The job is being cancelled already.",
)
pause = _verb(
    lifecycle.request_pause,
    "The job pauses at its next checkpoint.",
    "The job pauses already.",
)
resume = _verb(lifecycle.resume, "The job is in its queue again.")
requeue = _verb(lifecycle.requeue, "The job gets another try from its checkpoint.")
release = _verb(
    job_control.release, "Slots may take the job again.", "The job was not held."
)
up = _verb(
    job_control.move_up,
    "The job is one place further ahead.",
    "The job is the first of its team and priority.",
)
down = _verb(
    job_control.move_down,
    "The job is one place further back.",
    "The job is the last of its team and priority.",
)


@administrators_only
@require_POST
def restart(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Queue a job again from the start, once its person has said that they mean it."""
    job = _job(uuid)
    if request.POST.get("confirm") != "yes":
        return refuse(request, UNCONFIRMED)
    return act(
        request,
        lambda: start_again(request.user, job),
        "The job starts again from the beginning.",
    )


@administrators_only
@require_POST
def hold(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let no slot take a job until it is released."""
    job, reason = _job(uuid), field(request, "reason")
    return act(
        request,
        lambda: job_control.hold(request.user, job, reason),
        "No slot takes the job until it is released.",
        "The job was held already; its first reason stays.",
    )


@administrators_only
@require_POST
def priority(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change the priority of a job."""
    job = _job(uuid)
    try:
        wanted = Job.Priority(int(request.POST.get("priority", "")))
    except ValueError:
        return refuse(request, "Priority must be low, normal or high; choose one.")
    return act(
        request,
        lambda: job_control.set_priority(request.user, job, wanted),
        f"The job has {wanted.label} priority.",
        f"The job had {wanted.label} priority already.",
    )


@administrators_only
@require_POST
def move(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Put a job at the end of another queue."""
    job = _job(uuid)
    queue = Queue.objects.filter(name=field(request, "queue")).first()
    if queue is None:
        return refuse(request, "This queue is gone; choose another.")
    return act(
        request,
        lambda: job_control.move_to(request.user, job, queue),
        f"The job waits at the end of {queue}.",
        f"The job was in {queue} already.",
    )


@administrators_only
@require_POST
def place(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Put a job before another one (``before``), or at the end."""
    job, other = _job(uuid), None
    if before := request.POST.get("before", ""):
        try:
            other = Job.objects.filter(uuid=before).first()
        except ValidationError:
            other = None
        if other is None:
            return refuse(request, "The job at that place is gone; reload the page.")
    return act(
        request,
        lambda: job_control.place_before(request.user, job, other),
        "The job has its new place.",
        "The job was at that place already.",
    )


def _job(uuid: UUID) -> Job:
    rows = Job.objects.select_related("queue", "team", "author", "run__experiment")
    return get_object_or_404(rows, uuid=uuid)
