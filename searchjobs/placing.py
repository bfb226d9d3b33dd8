"""Which queue a new job goes to."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from .engine.problems import Problem, SpecError
from .job_control import misfit
from .models import Queue, Slot
from .workers import Device, queue_for

#: A worker that was not seen for so long offers no GPU to "auto".
WORKER_ALIVE = timedelta(minutes=5)


def queue_of(device: str, wanted: Queue | None) -> Queue:
    """Return the wanted queue if it fits the device of a spec, else one that does.

    Raises SpecError: the wanted one does not fit.
    """
    if wanted is not None:
        if sentence := misfit(device, wanted):
            raise SpecError([Problem("queue", sentence)])
        return wanted
    if device == Device.GPU:
        return queue_for(Device.GPU)
    if device == "auto":
        alive = Slot.objects.select_related("worker").filter(
            device=Device.GPU, worker__seen__gt=Now() - WORKER_ALIVE
        )
        slots = list(alive)
        for queue in Queue.objects.filter(device=Device.GPU).order_by("pk"):
            if any(slot.fits(queue) for slot in slots):
                return queue
    return queue_for(Device.CPU)
