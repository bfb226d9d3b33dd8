"""A queue for its administrators: make, edit, limit, pause, resume, delete."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from searchjobs import queue_control
from searchjobs.models import Job, Queue
from searchjobs.states import State

from .answers import WRONG, act, administrators_only, field
from .forms import KindForm, LimitsForm, NewQueueForm

MOST_WAITING = 200


@administrators_only
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Make a queue."""
    form = NewQueueForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            queue = queue_control.create(request.user, **form.cleaned_data)
        except ValidationError as error:  # somebody has just taken the name
            form.add_error(None, error)
        else:
            messages.success(request, f"The queue {queue} is open.")
            return redirect("installation:queue", queue.name)
    status = WRONG if form.errors else 200
    return render(request, "installation/queue_new.html", {"form": form}, status=status)


@administrators_only
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One queue with its forms and the line that waits in it."""
    return _page(request, get_object_or_404(Queue, name=name))


@administrators_only
@require_POST
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Change for which devices a queue is."""
    queue = get_object_or_404(Queue, name=name)
    form = KindForm(request.POST, instance=get_object_or_404(Queue, name=name))
    if not form.is_valid():
        return _page(request, queue, edit_form=form)
    values = form.cleaned_data
    return act(
        request,
        lambda: queue_control.edit(request.user, queue, **values),
        f"The queue {name} was changed.",
        f"Nothing of the queue {name} was changed.",
    )


@administrators_only
@require_POST
def limits(request: HttpRequest, name: str) -> HttpResponse:
    """Change the limits of a queue; an empty field is no limit."""
    queue = get_object_or_404(Queue, name=name)
    form = LimitsForm(request.POST, instance=get_object_or_404(Queue, name=name))
    if not form.is_valid():
        return _page(request, queue, limits_form=form)
    values = form.cleaned_data
    return act(
        request,
        lambda: queue_control.set_limits(request.user, queue, **values),
        f"The limits of {name} hold from now on.",
        f"The limits of {name} were so already.",
    )


@administrators_only
@require_POST
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Let slots take nothing more from a queue; what runs goes on."""
    queue = get_object_or_404(Queue, name=name)
    reason = field(request, "reason")
    return act(
        request,
        lambda: queue_control.pause(request.user, queue, reason),
        f"The queue {name} is paused; what runs goes on.",
        f"The queue {name} was paused already; its first reason stays.",
    )


@administrators_only
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Open a paused queue again and wake its slots."""
    queue = get_object_or_404(Queue, name=name)
    return act(
        request,
        lambda: queue_control.resume(request.user, queue),
        f"The queue {name} is open.",
        f"The queue {name} was open already.",
    )


@administrators_only
@require_POST
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Remove a queue in which no job ever was."""
    queue = get_object_or_404(Queue, name=name)
    return act(
        request,
        lambda: queue_control.delete(request.user, queue),
        f"The queue {name} is deleted.",
    )


def _page(
    request: HttpRequest,
    queue: Queue,
    edit_form: forms.ModelForm | None = None,
    limits_form: forms.ModelForm | None = None,
) -> HttpResponse:
    """Draw the page of a queue, with a form that holds wrong values if there is one."""
    line = Job.objects.filter(queue=queue, state=State.QUEUED)
    context: dict[str, Any] = {
        "queue": queue,
        "edit_form": edit_form or KindForm(instance=queue),
        "limits_form": limits_form or LimitsForm(instance=queue),
        "waiting": line.select_related("run__experiment", "team", "author").order_by(
            "-priority", "position", "pk"
        )[:MOST_WAITING],
        "others": Queue.objects.exclude(pk=queue.pk),
        "priorities": Job.Priority.choices,
    }
    status = WRONG if edit_form or limits_form else 200
    return render(request, "installation/queue.html", context, status=status)
