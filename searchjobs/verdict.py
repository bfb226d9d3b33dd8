"""How an attempt ended: what becomes of its job, and the sentence that people read.

Only what was lost is tried again by itself (``queueing.give_back``).  A fault of the
GPU or a lack of memory would meet the next attempt too, so a person decides.
"""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass

from .artefacts import StorageAwayError
from .engine import faults
from .engine.events import Failed
from .models import Attempt
from .runfolder import FolderBusyError
from .states import State

Outcome = Attempt.Outcome
#: Signals by which others end an engine: the machine goes down, somebody kills it.
#: The job is not to blame at once; it gets another attempt.
KILLED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})
OUTCOMES: dict[str, str] = {
    "memory": Outcome.MEMORY,
    "device": Outcome.DEVICE,
    "disk": Outcome.DISK,
}
#: An engine on another machine is given so long before the run is tried again.
LATER_SECONDS = 60.0
#: Without the checkpoint of another machine a run does not begin again: it waits.
STORAGE_SECONDS = 120.0


@dataclass(frozen=True)
class Verdict:
    """The end of an attempt.

    Attributes:
        state: what its job becomes; QUEUED gives it back to go on elsewhere.
        outcome: an ``Attempt.Outcome``.
        sentence: why, and what to do; empty if nothing is wrong.
        later: seconds before which the job is not tried again.
    """

    state: str
    outcome: str
    sentence: str = ""
    later: float = 0.0


SUCCEEDED = Verdict(State.SUCCEEDED, Outcome.SUCCEEDED)
CANCELLED = Verdict(State.CANCELLED, Outcome.CANCELLED)
PAUSED = Verdict(State.PAUSED, Outcome.PAUSED)
STOPPED = Verdict(State.QUEUED, Outcome.INTERRUPTED, "The worker was stopped.")


def of_engine(
    code: int,
    failure: Failed | None,
    *,
    last_words: str = "",
    starved: bool = False,
    full: bool = False,
) -> Verdict:
    """Judge an engine that ended without a result.

    Args:
        code: its exit code, negative for a signal, as ``Popen`` gives it.
        failure: what it told about itself.
        last_words: the last line of its log.
        starved: the kernel has just ended a process for lack of memory (``memory``).
        full: there is hardly any room left on its disk.
    """
    if code == faults.NO_SPACE or (failure and failure.kind == "disk"):
        said = failure.sentence if failure else last_words
        return out_of_space(said or _full())
    if failure is not None:
        outcome = OUTCOMES.get(failure.kind, Outcome.FAILED)
        return Verdict(State.FAILED, outcome, failure.sentence)
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL and starved:
        return Verdict(
            State.FAILED,
            Outcome.MEMORY,
            f"The machine {socket.gethostname()} ran out of memory and ended the "
            "engine. Lower the batch size or the images kept in memory, or run fewer "
            "jobs there at a time, then queue the run again.",
        )
    if number in KILLED_FROM_OUTSIDE:
        name = signal.Signals(number).name
        return Verdict(State.QUEUED, Outcome.LOST, f"The engine was killed by {name}.")
    if full:
        return out_of_space(_full())
    if code == faults.WRONG_INPUT and last_words:
        # A spec that no longer fits: it says so in a sentence.
        return Verdict(State.FAILED, Outcome.FAILED, last_words)
    how = f"ended with exit code {code} and without a result"
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    return Verdict(
        State.FAILED, Outcome.FAILED, f"The engine {how}; its log says more."
    )


def of_error(error: Exception) -> Verdict:
    """Judge what went wrong in the supervisor itself."""
    if isinstance(error, FolderBusyError):
        return Verdict(State.QUEUED, Outcome.BUSY, str(error), later=LATER_SECONDS)
    if isinstance(error, StorageAwayError):
        return Verdict(State.QUEUED, Outcome.BUSY, str(error), later=STORAGE_SECONDS)
    if faults.is_full(error):
        return out_of_space(_full())
    if isinstance(error, OSError):
        return Verdict(
            State.FAILED,
            Outcome.FAILED,
            f"The worker could not use the run's folder: {error.strerror}. Check its "
            "rights, and its disk, then queue the job again.",
        )
    return Verdict(
        State.FAILED,
        Outcome.FAILED,
        f"The worker could not record the search ({type(error).__name__}). Queue the "
        "job again; if it comes back, report it with the worker's log.",
    )


def out_of_space(sentence: str) -> Verdict:
    """Pause for want of room: everything is kept, and a person makes some."""
    return Verdict(State.PAUSED, Outcome.DISK, sentence)


def _full() -> str:
    return faults.full_sentence(f"the runs on {socket.gethostname()}")
