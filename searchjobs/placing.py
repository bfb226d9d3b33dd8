"""Which queue a new job goes to, and at which priority."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from .engine.problems import Problem, SpecError
from .job_control import misfit
from .models import Job, Queue, Slot, Team
from .permissions import User, can_hurry
from .workers import Device, queue_for

#: A worker that was not seen for so long offers no GPU to "auto".
WORKER_ALIVE = timedelta(minutes=5)


def asked(queue: str, priority: str) -> tuple[Queue | None, Job.Priority]:
    """Return what a form says of a job's place: the name of a queue, empty for one that
    fits, and a priority.

    Raises SpecError: there is no such queue or priority.
    """
    found = Queue.objects.filter(name=queue).first() if queue else None
    if queue and found is None:
        raise SpecError([Problem("queue", "This queue is gone; choose another.")])
    try:
        return found, Job.Priority(int(priority))
    except ValueError:
        sentence = "Priority must be low, normal or high; choose one."
        raise SpecError([Problem("priority", sentence)]) from None


def require_priority(actor: User, team: Team, priority: int) -> None:
    """Raise SpecError unless the actor may launch at this priority."""
    if priority > Job.Priority.NORMAL and not can_hurry(actor, team):
        sentence = (
            "Only maintainers of the team launch at high priority: choose normal, or "
            "ask one of them."
        )
        raise SpecError([Problem("priority", sentence)])


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
