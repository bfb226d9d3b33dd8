"""The slots: device, what runs there now, load, heartbeat; lost ones in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.utils import timezone

from nasweb.runs.words import duration
from searchjobs.liveness import is_answering
from searchjobs.models import Attempt, Job, Queue, Slot
from searchjobs.slot_names import may_have_run_on, slots_of
from searchjobs.states import HELD, State

from .lines import HEAVY
from .load import Bars, last_hour

Outcome = Attempt.Outcome
#: What makers write before the name of every device of theirs.
_MAKERS = ("NVIDIA ", "GeForce ", "Tesla ")


@dataclass(frozen=True)
class Row:
    """A slot.

    Attributes:
        job: what it runs, or has reserved itself for.
        reserved: it waits for further slots for ``job``.
        mine: of a team whose work the reader may see.
        answers: its worker does.
        lost: what became of its run, if its worker does not answer.
        first: of the rows of its worker.
    """

    slot: Slot
    job: Job | None
    reserved: bool
    mine: bool
    answers: bool
    lost: str
    first: bool
    bars: Bars | None

    @property
    def device(self) -> str:
        return short_name(self.slot)

    @property
    def draining(self) -> bool:
        return self.slot.drain_requested or self.slot.worker.drain_requested

    @property
    def memory(self) -> str:
        """Used of all, ``4.1 / 80 GiB``; what is not known is left out."""
        used, total = self.slot.memory_used_mib, self.slot.memory_mib
        if used is None:
            return "–"
        whole = f" / {total / 1024:.0f}" if total else ""
        return f"{used / 1024:.1f}{whole} GiB"

    @property
    def disk_tone(self) -> str:
        """``danger`` where the worker's disk is nearly full."""
        worker = self.slot.worker
        if worker.disk_free is None or not worker.disk_total:
            return ""
        return "danger" if worker.disk_free < 0.05 * worker.disk_total else ""


def read() -> list[Slot]:
    """Return all slots with worker and job, in order of name; one query."""
    heavy = [f"job__{column}" for column in HEAVY]
    return list(
        Slot.objects.select_related("worker", "job__run__experiment")
        .defer(*heavy)
        .order_by("worker__name", "number")
    )


def answering(slots: Iterable[Slot]) -> list[Slot]:
    """Keep those whose worker answers."""
    now = timezone.now()
    return [slot for slot in slots if is_answering(now - slot.worker.seen)]


def rows(slots: list[Slot], teams: Collection[int]) -> list[Row]:
    """Return the slots as rows; two queries at most."""
    alive = {slot.pk for slot in answering(slots)}
    gone = [slot for slot in slots if slot.pk not in alive]
    last = _last_attempts(gone)
    drawn = last_hour([slot.pk for slot in slots])
    found, seen = [], set()
    for slot in slots:
        job = slot.job
        found.append(
            Row(
                slot,
                job,
                job is not None and job.state == State.QUEUED,
                job is not None and job.team_id in teams,
                slot.pk in alive,
                "" if slot.pk in alive else _fate(slot, last.get(str(slot)), teams),
                slot.worker_id not in seen,
                drawn.get(slot.pk),
            )
        )
        seen.add(slot.worker_id)
    return found


def short_name(slot: Slot) -> str:
    """Return the model of a device without its maker."""
    name = slot.device_name
    for maker in _MAKERS:
        name = name.removeprefix(maker)
    return name or str(Queue.Device(slot.device).label)


def _last_attempts(slots: list[Slot]) -> dict[str, Attempt]:
    """Return the last attempt on each of these slots, by their names."""
    if not slots:
        return {}
    newest = (
        Attempt.objects.filter(may_have_run_on(slots))
        .select_related("job__run")
        .defer(*(f"job__{column}" for column in HEAVY if "experiment" not in column))
        .order_by("slot_name", "-started")
        .distinct("slot_name")
    )
    ordered = sorted(newest, key=lambda attempt: attempt.started)
    return {name: attempt for attempt in ordered for name in slots_of(attempt)}


def _fate(slot: Slot, attempt: Attempt | None, teams: Collection[int]) -> str:
    """Say since when a slot is lost, and what became of the run on it, if it is one of
    these teams."""
    silent = (timezone.now() - slot.worker.seen).total_seconds()
    lost = f"lost {duration(60 * round(silent / 60) if silent >= 90 else silent)} ago"
    if slot.job is not None and slot.job.state in HELD:
        return f"{lost} · its run goes back to the queue when its lease has run out"
    ended = attempt.ended if attempt is not None else None
    if attempt is None or ended is None or ended < slot.worker.seen:
        return f"{lost} · nothing ran there"
    if attempt.job.team_id not in teams:
        return f"{lost} · it ran a run of another team"
    return f"{lost} · its run {_whereabouts(attempt.job)}"


def _whereabouts(job: Job) -> str:
    run = getattr(job, "run", None)
    epoch = f" at epoch {run.epoch}" if run is not None and run.epoch else ""
    if job.state == State.QUEUED:
        return f"went back to the queue{epoch}"
    if job.state in HELD:
        return f"goes on elsewhere, now{epoch}" if epoch else "goes on elsewhere"
    return {
        State.SUCCEEDED: "has succeeded elsewhere",
        State.FAILED: "has failed",
        State.CANCELLED: "was cancelled",
        State.PAUSED: f"is paused{epoch}",
    }[State(job.state)]
