"""Workers and slots for administrators: drain, undrain, forget."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from searchjobs import worker_control
from searchjobs.liveness import is_answering
from searchjobs.models import Slot, Worker

from .answers import act, administrators_only


@administrators_only
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All workers with their slots and what these run."""
    now = timezone.now()
    found = Worker.objects.prefetch_related("slots__job__run__experiment")
    workers = [(worker, is_answering(now - worker.seen)) for worker in found]
    return render(request, "installation/workers.html", {"workers": workers})


@administrators_only
@require_POST
def drain(request: HttpRequest, key: int) -> HttpResponse:
    """Let a worker finish what it runs and take nothing new."""
    return _drain(request, get_object_or_404(Worker, pk=key))


@administrators_only
@require_POST
def undrain(request: HttpRequest, key: int) -> HttpResponse:
    """Let a worker take jobs again."""
    return _undrain(request, get_object_or_404(Worker, pk=key))


@administrators_only
@require_POST
def drain_slot(request: HttpRequest, key: int) -> HttpResponse:
    """Let one slot finish what it runs and take nothing new."""
    return _drain(request, _slot(key))


@administrators_only
@require_POST
def undrain_slot(request: HttpRequest, key: int) -> HttpResponse:
    """Let one slot take jobs again."""
    return _undrain(request, _slot(key))


@administrators_only
@require_POST
def forget(request: HttpRequest, key: int) -> HttpResponse:
    """Delete the row of a worker that no longer answers."""
    worker = get_object_or_404(Worker, pk=key)
    return act(
        request,
        lambda: worker_control.forget(request.user, worker),
        f"The worker {worker} is forgotten.",
    )


def _slot(key: int) -> Slot:
    return get_object_or_404(Slot.objects.select_related("worker"), pk=key)


def _drain(request: HttpRequest, row: Worker | Slot) -> HttpResponse:
    return act(
        request,
        lambda: worker_control.drain(request.user, row),
        f"{row} finishes what it runs and takes nothing new.",
        f"{row} was draining already.",
    )


def _undrain(request: HttpRequest, row: Worker | Slot) -> HttpResponse:
    return act(
        request,
        lambda: worker_control.undrain(request.user, row),
        f"{row} takes jobs again.",
        f"{row} was not draining.",
    )
