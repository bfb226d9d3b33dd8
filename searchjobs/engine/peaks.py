"""Where the magnitude of an operation peaks: selective stop and its derivation.

J. Zhang, Z. Ding, Delve into the Performance Degradation of Differentiable
Architecture Search, CIKM 2021 (EX-/SS-DARTS).  m(t, o) of Eq. 11 is ``magnitudes`` of
an epoch's report; Eq. 12 takes the epoch at which it is largest, Eq. 13 that at which
the sum of its leads over the other operations is.

Where the strengths of every row sum to 1, the M magnitudes do too, so Eq. 13 is
M m(t, o) - 1 and both name the same epoch.  They part where ``none`` is left out of
the sum, or where a method's strengths are no shares (VP-DARTS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .diagnostics.tables import NONE
from .problems import Problem
from .registry import setting
from .watching import counted, ending, first_epoch, offered, space_of

Criterion = Literal["magnitude", "residual"]
EQUATIONS: dict[str, str] = {"magnitude": "Eq. 12", "residual": "Eq. 13"}


def criterion_setting() -> Any:
    """The choice between the two equations, as rule and derivation offer it."""
    return setting(
        "residual",
        "Criterion",
        "magnitude (Eq. 12): the operation's mean strength over all edges; residual "
        "(Eq. 13): the sum of its leads over the other operations. Where strengths "
        "are shares, as after a softmax, both name the same epoch.",
        labels={"magnitude": "magnitude (Eq. 12)", "residual": "residual (Eq. 13)"},
    )


def exclude_none_setting() -> Any:
    """The switch that makes Eq. 13 differ from Eq. 12."""
    return setting(
        False,
        "Leave none out of the residual",
        "Sum the leads of Eq. 13 over the operations other than none only.",
    )


def value(
    magnitudes: Mapping[str, float],
    operation: str,
    criterion: Criterion,
    *,
    exclude_none: bool = False,
) -> float:
    """Return Eq. 12's m(t, o_i), or Eq. 13's sum over j != i of m(t, o_i) - m(t, o_j)
    (``exclude_none``: over j other than ``none`` too), for one epoch."""
    own = magnitudes[operation]
    if criterion == "magnitude":
        return own
    return sum(
        own - other
        for name, other in magnitudes.items()
        if name != operation and not (exclude_none and name == NONE)
    )


@dataclass(frozen=True)
class Peak:
    """The largest value of a series, the first of equal ones.

    Attributes:
        epoch, value: where it is and how large.
        first, last: the epochs at which the series begins and ends.
    """

    epoch: int
    value: float
    first: int
    last: int

    @property
    def inner(self) -> bool:
        """Whether the series rises to it and falls from it; else nothing is found."""
        return self.first < self.epoch < self.last


def peak(series: Sequence[tuple[int, float]]) -> Peak:
    """Return the peak of (epoch, value) pairs in the order of the epochs."""
    epoch, largest = max(series, key=lambda pair: pair[1])  # the first of equal ones
    return Peak(epoch, largest, series[0][0], series[-1][0])


def found_nothing(found: Peak, operation: str) -> str:
    """Say why a peak at the border of the series is none (methods spec 15.3)."""
    if found.first == found.last:
        return f"Found nothing: epoch {found.epoch} is the only one that counts."
    if found.epoch == found.first:
        return (
            f"Found nothing: {operation} is strongest at epoch {found.epoch}, the "
            "first that counts, and never rises above it later."
        )
    return (
        f"Found nothing: {operation} is strongest at epoch {found.epoch}, the last, "
        "and may still have been rising."
    )


def problems(operation: str, min_epoch: int, spec: Any, what: str) -> list[Problem]:
    """Return what keeps the peak of an operation from being found.

    ``min_epoch`` says which epochs count, ``what`` is the reader's name; problems at
    ``operation`` and ``min_epoch`` name the fields of the reader's own options.
    """
    found = []
    known = offered(space_of(spec))
    if operation not in known:
        found.append(
            Problem(
                "operation",
                f"{what} follows an operation of the search space, and there is no "
                f"{operation!r} in it; choose one of {', '.join(known)}.",
            )
        )
    if counted(min_epoch, spec) < 3:
        found.append(
            Problem(
                "min_epoch",
                f"{what} needs epochs before and after a peak, and {ending(spec)} "
                f"while epoch {first_epoch(min_epoch, spec)} is the first that counts; "
                "search longer or lower its first epoch.",
            )
        )
    return found
