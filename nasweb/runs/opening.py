"""The epoch at which the pages of a run open: that of its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from searchjobs.engine.events import ArchitectureFound
from searchjobs.models import Run
from searchjobs.states import TERMINAL

from .found import words
from .points import Point, with_architecture


class Opening(NamedTuple):
    """Where a page opens.

    Attributes:
        point: the epoch, with the architecture that the run gave in the place of the
            genotype if another one; None before the first.
        note: a sentence on why it is not the newest epoch, or not its genotype.
        held: whether the architecture is the genotype of that epoch.
    """

    point: Point | None
    note: str = ""
    held: bool = True


def opening(run: Run, points: Sequence[Point]) -> Opening:
    """Return the newest epoch, or of a run that has ended the one whose architecture it
    gave: a derivation or a stopping rule may have gone back.  One look-up.

    ``points`` are those of the whole run, in order.
    """
    last = points[-1] if points else None
    if last is None or run.job.state not in TERMINAL or not run.architectures:
        return Opening(last)
    if last["repeats"]:  # of a table search, each repeat has its own
        return Opening(last)
    given = ArchitectureFound.model_validate(run.architectures[0])
    at = next((each for each in points if each["epoch"] == given.epoch), last)
    if at["genotype"] != given.architecture:
        note = (
            f"The run gave an architecture that is not the genotype of an epoch: "
            f"{words(run, given)} found it after epoch {given.epoch}."
        )
        return Opening(with_architecture(run, at, given), note, held=False)
    if at is last:
        return Opening(last)
    note = (
        f"The run gave the architecture of epoch {at['epoch']}, to which "
        f"{words(run, given)} went back, and not that of its last epoch, "
        f"{last['epoch']}."
    )
    return Opening(at, note)
