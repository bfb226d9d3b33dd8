"""A job that is no search, as its page shows it: state, progress, verbs, log."""

from __future__ import annotations

from dataclasses import dataclass

from nasweb.runs.words import phase_words
from searchjobs.models import Job
from searchjobs.states import HELD, TERMINAL, State

#: Verbs that make sense in a state, with their labels.
VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    State.QUEUED: (("pause", "Pause"), ("cancel", "Cancel")),
    State.STARTING: (("pause", "Pause"), ("cancel", "Cancel")),
    State.RUNNING: (("pause", "Pause"), ("cancel", "Cancel")),
    State.PAUSING: (("cancel", "Cancel"),),
    State.PAUSED: (("resume", "Resume"), ("cancel", "Cancel")),
    State.FAILED: (("requeue", "Go on from the checkpoint"), ("restart", "Begin anew")),
    State.CANCELLED: (
        ("requeue", "Go on from the checkpoint"),
        ("restart", "Begin anew"),
    ),
}


@dataclass(frozen=True)
class Work:
    """What ``work/_status.html`` draws.

    Attributes:
        share: what is done, 0 to 1; None while that is not known.
        words: where it stands, in words.
        verbs: what its reader may do, as pairs of verb and label.
        is_over: no news will come.
    """

    job: Job
    share: float | None
    words: str
    verbs: tuple[tuple[str, str], ...]
    is_over: bool


def work(job: Job, *, may_act: bool) -> Work:
    """Return what a page shows of a job, read with its queue and worker."""
    return Work(
        job=job,
        share=_share(job),
        words=" · ".join(_words(job)),
        verbs=VERBS.get(job.state, ()) if may_act else (),
        is_over=job.state in TERMINAL,
    )


def _share(job: Job) -> float | None:
    if job.state == State.SUCCEEDED:
        return 1.0
    progress = job.progress or {}
    epochs, steps = progress.get("epochs"), progress.get("steps")
    if not steps:
        return None
    if not epochs:
        return float(min(1.0, progress.get("step", 0) / steps))
    done = max(progress.get("epoch", 1) - 1, 0) + progress.get("step", 0) / steps
    return float(min(1.0, done / epochs))


def _words(job: Job) -> list[str]:
    if job.state == State.QUEUED:
        return [f"waits in queue {job.queue.name}"]
    if job.state not in HELD:
        return []
    progress = job.progress or {}
    words = [f"{job.worker.name} {job.slot}".strip()] if job.worker else []
    if progress.get("phase"):
        words.append(phase_words(progress, by_epochs=True))
    return words
