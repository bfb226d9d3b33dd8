"""What one may do to a job that is no search; each verb leads back to its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST

from searchjobs import lifecycle
from searchjobs.models import Job
from searchjobs.permissions import require_act, visible
from searchjobs.restart import UNCONFIRMED, restart

app_name = "work"

#: Verb, what it does, and what the reader is told then.
VERBS: dict[str, tuple[Callable[[Any, Job], bool], str]] = {
    "cancel": (lifecycle.cancel, "It is being cancelled."),
    "pause": (lifecycle.request_pause, "It pauses at its next checkpoint."),
    "resume": (lifecycle.resume, "It is in its queue again."),
    "requeue": (lifecycle.requeue, "It gets another try from its checkpoint."),
    "restart": (restart, "It begins anew."),
}
#: By kind, the page of what the job makes: its address, and the relation to it.
PAGES = {
    Job.Kind.SUBSET: ("subsets:detail", "subset"),
    Job.Kind.TRAINING: ("evaluations:detail", "evaluation"),
    Job.Kind.CHECK: ("datasets:detail", "dataset"),
}


@require_POST
def act(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    """Act, say what happened, go back."""
    job = visible(Job, request.user).filter(uuid=uuid, kind__in=PAGES).first()
    if job is None or verb not in VERBS:
        raise Http404("There is no such job in your teams.")
    if verb == "restart" and request.POST.get("confirm") != "yes":
        require_act(request.user, job)
        messages.error(request, UNCONFIRMED)
    else:
        _do(request, job, verb)
    address, relation = PAGES[Job.Kind(job.kind)]
    made = getattr(job, relation, None)
    # A check of a data set has none any more once another check has begun.
    return redirect(address, made.uuid) if made is not None else redirect("home")


def _do(request: HttpRequest, job: Job, verb: str) -> None:
    do, done = VERBS[verb]
    try:
        do(request.user, job)
    except lifecycle.NotAllowedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, done)


urlpatterns = [path("<uuid:uuid>/<slug:verb>/", act, name="act")]
