"""What kinds of jobs there are: how the engine is told, who records what it tells.

Queue, lease, attempts, pause, cancel and progress know nothing of kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import (
    dataset_recording,
    evaluation_recording,
    searches,
    subset_recording,
)
from .claims import Claim
from .models import Job
from .recorder import Recorder
from .recording import Recording


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    Attributes:
        command: of the engine, which reads the job's spec.
        recorder: writes what the engine tells.
        bring: puts what the engine reads, and no spec holds, onto this machine.
        forget: drops what a job has found, because it begins anew, under its lock;
            returns the epochs that there were, ``1-20`` or ``none``; empty: it has none
            to speak of.
    """

    command: str
    recorder: Callable[[Claim], Recording]
    bring: Callable[[Claim], None]
    forget: Callable[[Job], str]


def _nothing(claim: Claim) -> None:
    """There is nothing to bring."""


KINDS: dict[str, Kind] = {
    Job.Kind.SEARCH: Kind("run", Recorder, searches.bring, searches.forget),
    Job.Kind.SUBSET: Kind(
        "proxy",
        subset_recording.SubsetRecording,
        _nothing,
        subset_recording.forget,
    ),
    Job.Kind.TRAINING: Kind(
        "train",
        evaluation_recording.EvaluationRecording,
        _nothing,
        evaluation_recording.forget,
    ),
    Job.Kind.CHECK: Kind(
        "check", dataset_recording.DatasetRecording, _nothing, dataset_recording.forget
    ),
}
