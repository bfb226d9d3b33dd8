"""The state of a run in words: chip, place, progress, time left, error, log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasweb.figures.theme import operation_words
from searchjobs.models import EpochRecord, Run
from searchjobs.states import APPEARANCE, HELD, HOLDING, TERMINAL, State

from . import points as rows
from .tiles import samples
from .words import duration, phase_words

SEARCH = "search"
"""The phase of a run that goes through its epochs."""


def status(run: Run) -> dict[str, Any]:
    """Return what the head of the page shows; ``run.job`` must be fresh."""
    job = run.job
    held = job.held and job.state == State.QUEUED
    tone, sign = HOLDING if held else APPEARANCE[job.state]
    return {
        "state": job.state,
        "label": _label(run),
        "tone": tone,
        "sign": sign,
        "terminal": job.state in TERMINAL,
        "where": _where(run),
        "share": share_done(run),
        "summary": _summary(run),
        "error": job.error,
        "waiting": waiting(run),
        "epoch": run.epoch,
        "log_tail": job.log_tail,
        "found": len(run.architectures),
        **_chosen(run),
    }


def _chosen(run: Run) -> dict[str, Any]:
    """Return of how many sets the samples were chosen before the first epoch, and the
    tile that tells it; asked only until that epoch is finished."""
    counts = rows.chosen(run) if run.job.state in HELD else {}
    sizes = (run.plan or {}).get("sizes", {})
    return {"chosen": len(counts), "tile": samples(sizes, counts) if counts else None}


def share_done(run: Run) -> float:
    """Return the share of the search that is done, 0 to 1."""
    if run.job.state == State.SUCCEEDED:
        return 1.0
    progress = within(run)
    inside = 0.0
    if progress.get("epoch") == run.epoch + 1 and progress.get("steps"):
        inside = min(1.0, progress.get("step", 0) / progress["steps"])
    return min(1.0, (run.epoch + inside) / run.epochs) if run.epochs else 0.0


def within(run: Run) -> Mapping[str, Any]:
    """Return where a run is in its epochs; empty while it does something else, such as
    choosing samples or deriving, whose steps and seconds are no epoch's."""
    progress = run.job.progress or {}
    return progress if progress.get("phase", SEARCH) == SEARCH else {}


def waiting(run: Run) -> str:
    """Say why there is nothing to draw before the first epoch is finished, or in a
    search on a benchmark table the first point of its budget."""
    job, word = run.job, _word(run)
    if job.state == State.QUEUED and job.held:
        why = f" (“{job.hold_reason}”)" if job.hold_reason else ""
        return (
            f"An administrator holds the run back{why}: no slot takes it until it is "
            "released."
        )
    if job.state == State.QUEUED:
        return (
            f"The run waits in queue {job.queue.name}. The charts begin when its first "
            f"{word} is finished."
        )
    if job.state in TERMINAL:
        return f"The run ended before its first {word} was finished; its log says why."
    if job.state not in HELD:
        return f"The run is paused. The charts begin when its first {word} is finished."
    left = within(run).get("seconds_left")
    if left and run.epochs:
        first = duration(left / run.epochs)
        return f"No {word} has finished yet; the first takes about {first}."
    return f"No {word} has finished yet; the charts begin with the first."


def _word(run: Run) -> str:
    """What a search is counted in: a table search trains no epochs."""
    return "point" if (run.plan or {}).get("table") else "epoch"


def _label(run: Run) -> str:
    job = run.job
    if job.cancel_requested and job.state in HELD:
        return "cancelling"
    if job.held and job.state == State.QUEUED:
        return "held"
    return str(State(job.state).label)


def _where(run: Run) -> str:
    job = run.job
    parts = [f"queue {job.queue.name}"]
    if job.worker is not None and job.state in HELD:
        parts.append(f"{job.worker.name} {job.slot}".strip())
    if job.fence:
        parts.append(f"attempt {job.fence}")
    return " · ".join(parts)


def _stopped(run: Run) -> str:
    """Say which rule ended a search before its last epoch, and what it took."""
    record = EpochRecord.objects.filter(run=run, epoch=run.epoch).first()
    told = record.report.get("stop_suggestions") or [] if record else []
    for said in told:
        if said["stopped"]:
            name = operation_words(said.get("title") or said["rule"])
            taken = said["architecture_epoch"]
            return f"stopped by {name}, which takes the cell of epoch {taken}"
    return "stopped by a rule"


def _summary(run: Run) -> str:
    job = run.job
    progress = job.progress or {}
    parts = [f"{_word(run)} {run.epoch} of {run.epochs}"]
    if job.state in HELD:
        if progress and not within(run):
            parts.append(phase_words(progress, by_epochs=not run.epoch))
        elif progress.get("seconds_left") is not None:
            parts.append(f"{duration(progress['seconds_left'])} left")
        if progress.get("samples_per_second"):
            parts.append(f"{progress['samples_per_second']:,.0f} samples/s")
    elif run.seconds_search:
        parts.append(
            f"{duration(run.seconds_search)} of search, "
            f"{duration(run.seconds_evaluation)} of evaluation"
        )
    if job.state == State.SUCCEEDED and run.epoch < run.epochs:
        parts.append(_stopped(run))
    return " · ".join(parts)
