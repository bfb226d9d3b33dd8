"""The queues: a card each, and the jobs that wait, in the order in which they start."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from nasweb import starts
from nasweb.forecast import Start, Why
from nasweb.runs.words import duration
from searchjobs.models import Job, Queue, Slot
from searchjobs.states import HELD, State

from . import waits

#: Waiting jobs of a queue that a page lists.
MOST_WAITING = 100
#: Long columns that no list reads.
HEAVY = (
    *Job.LONG,
    "run__plan",
    "run__structure",
    "run__architectures",
    "run__experiment__spec",
    "run__experiment__notes",
)


@dataclass(frozen=True)
class Waiting:
    """A job in its place; ``mine``: of a team whose work the reader may see."""

    job: Job
    start: Start
    mine: bool

    @property
    def place(self) -> int:
        return self.start.place

    @property
    def about(self) -> str:
        """When it starts, ``24 min``; empty if that cannot be told."""
        seconds = self.start.seconds
        return "" if seconds is None else starts.about(seconds)

    @property
    def spread(self) -> str:
        return starts.give_or_take(self.start)

    @property
    def why(self) -> str:
        return str(self.start.why or "")

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it, which its line or its queue says already."""
        return self.start.why in {Why.HELD, Why.PAUSED}

    @property
    def group(self) -> str:
        """Jobs with the same one can change places: elsewhere the rule decides."""
        return f"{self.job.team_id}/{self.job.priority}"


@dataclass(frozen=True)
class Card:
    """A queue with what waits in it, in the order in which slots take it.

    Attributes:
        slots: of workers that answer, and fit.
        open_slots: those that are not draining.
        busy: slots that work for this queue.
        elsewhere: slots that work for another queue just now.
        wait: median seconds that attempts of the last 24 hours waited; None: no such.
    """

    queue: Queue
    slots: int
    open_slots: int
    busy: int
    elsewhere: int
    waiting_count: int
    wait: float | None
    waiting: list[Waiting]

    @property
    def limits(self) -> str:
        return limit_words(self.queue)

    @property
    def devices(self) -> str:
        return device_words(self.queue)

    @property
    def paused_when(self) -> str:
        return moment_words(self.queue.paused_at)


def cards(slots: Sequence[Slot], teams: Collection[int]) -> list[Card]:
    """Return a card for every queue; a fixed number of queries.

    Args:
        slots: of workers that answer, with their jobs.
        teams: whose work the reader may see.
    """
    queues = (
        Queue.objects.select_related("paused_by")
        .annotate(
            waiting_count=Count("jobs", filter=Q(jobs__state=State.QUEUED)),
        )
        .order_by("name")
    )
    waiting, medians = _waiting(teams), waits.medians()
    return [
        _card(queue, slots, medians.get(queue.name), waiting.get(queue.pk, []))
        for queue in queues
    ]


def _card(
    queue: Any, slots: Sequence[Slot], wait: float | None, waiting: list[Waiting]
) -> Card:
    fitting = [slot for slot in slots if slot.fits(queue)]
    at_work = [slot for slot in fitting if slot.job and slot.job.state in HELD]
    busy = sum(
        slot.job is not None and slot.job.queue_id == queue.pk for slot in at_work
    )
    return Card(
        queue,
        len(fitting),
        sum(
            not (slot.drain_requested or slot.worker.drain_requested)
            for slot in fitting
        ),
        busy,
        len(at_work) - busy,
        queue.waiting_count,
        wait,
        waiting,
    )


def _waiting(teams: Collection[int]) -> dict[int, list[Waiting]]:
    shown = {
        key: start
        for key, start in starts.starts().items()
        if start.place <= MOST_WAITING
    }
    if not shown:
        return {}
    jobs = (
        Job.objects.filter(pk__in=shown)
        .select_related("run__experiment", "team", "author")
        .defer(*HEAVY)
    )
    found: dict[int, list[Waiting]] = {}
    for job in sorted(jobs, key=lambda job: shown[job.pk].place):
        line = found.setdefault(job.queue_id, [])
        line.append(Waiting(job, shown[job.pk], job.team_id in teams))
    return found


def limit_words(queue: Queue) -> str:
    """Write the limits of a queue in one line; empty without any."""
    counts: Mapping[tuple[str, str], int | None] = {
        ("slot", "in all"): queue.max_running,
        ("running run", "per team"): queue.max_running_team,
        ("running run", "per user"): queue.max_running_user,
    }
    parts = [
        f"{most} {what}{'' if most == 1 else 's'} {of}"
        for (what, of), most in counts.items()
        if most is not None
    ]
    if queue.max_hours is not None:
        parts.append(f"{duration(queue.max_hours * 3600)} per run")
    if queue.max_disk_gib is not None:
        parts.append(f"{queue.max_disk_gib:g} GiB per run")
    return ", ".join(parts)


def device_words(queue: Queue) -> str:
    """Write for which devices a queue is: ``GPUs *A100*, from 40 GiB``."""
    if queue.device == Queue.Device.CPU:
        return "CPU"
    words = f"GPUs {queue.gpu_pattern}" if queue.gpu_pattern else "any GPU"
    return (
        f"{words}, from {queue.min_memory_gib:g} GiB" if queue.min_memory_gib else words
    )


def moment_words(moment: datetime | None) -> str:
    """Write a moment: the time if it was today, else the day too."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    today = local.date() == timezone.localdate()
    return f"{local:%H:%M}" if today else f"{local.day} {local:%b %H:%M}"
