"""What every reader yields, and the checks that a row must pass.

The splits follow the reporting protocol of NAS-Bench-201 (Dong & Yang, ICLR 2020,
section 3): CIFAR-10 ``valid`` is trained on half of the training images, ``test``
on all of them; the other two data sets are trained once and evaluated on both
halves of their evaluation images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from searchjobs.engine.contracts import Space

SPACE = "nas-bench-201"
ARCHITECTURES = 5**6
"""Six edges, five operations each."""

SPLITS = (
    ("cifar10", "valid"),
    ("cifar10", "test"),
    ("cifar100", "valid"),
    ("cifar100", "test"),
    ("imagenet16", "valid"),
    ("imagenet16", "test"),
)
PROTOCOLS = ("200", "12")
"""Epochs of training; each protocol has a learning-rate schedule of its own."""


class TableError(ValueError):
    """One sentence that says what is wrong with a file and what to do."""


class Accuracy(NamedTuple):
    """Top-1 accuracy in per cent after the last epoch, mean over the trials."""

    dataset: str
    split: str
    protocol: str
    value: float
    trials: int | None
    by_trial: tuple[float, ...] | None = None
    """The single trials, where the file tells them."""


class Seconds(NamedTuple):
    """What training and looking took, as the benchmark recorded it.

    Attributes:
        train: 200 training epochs on half of CIFAR-10.
        valid: one pass over the other half; None where the file does not tell it.
    """

    train: float
    valid: float | None = None


@dataclass(frozen=True)
class TableRow:
    """An architecture as a file writes it.

    ``where`` names the place in the file, for the sentence about a wrong one.
    """

    where: str
    index: int
    encoding: str
    accuracies: tuple[Accuracy, ...]
    seconds: Seconds | None = None


@dataclass(frozen=True)
class Table:
    """An opened source: a name for people, how many rows it has, and the rows."""

    name: str
    total: int
    rows: Iterator[TableRow]


@dataclass(frozen=True)
class CheckedRow:
    """A row that belongs to the space, with what the space says of it."""

    encoding: str
    description: dict[str, Any]
    accuracies: tuple[Accuracy, ...]
    seconds: Seconds | None = None


def checked(rows: Iterable[TableRow], space: Space) -> Iterator[CheckedRow]:
    """Yield the rows that pass; raise TableError at the first that does not."""
    seen: set[int] = set()
    for row in rows:
        try:
            description = space.describe(row.encoding)
        except ValueError as error:
            raise TableError(
                f"{row.where} names {row.encoding!r}, which is not an architecture of "
                f"{space.name}; give the table of that space."
            ) from error
        index = description["index"]
        if index != row.index:
            raise TableError(
                f"{row.where} gives {row.encoding} the index {row.index}, but its "
                f"official index is {index}; the columns or rows of this file are "
                "mixed up, so take a fresh copy."
            )
        if index in seen:
            raise TableError(
                f"{row.where} repeats the architecture {index}; "
                "keep one row for each architecture."
            )
        seen.add(index)
        for accuracy in row.accuracies:
            _check_accuracy(row, accuracy)
        _check_seconds(row)
        yield CheckedRow(row.encoding, description, row.accuracies, row.seconds)


def _check_accuracy(row: TableRow, accuracy: Accuracy) -> None:
    wrong = next(
        (
            v
            for v in (accuracy.value, *(accuracy.by_trial or ()))
            if not (math.isfinite(v) and 0 <= v <= 100)
        ),
        None,
    )
    if wrong is not None:
        raise TableError(
            f"{row.where} gives {wrong:g} as {accuracy.dataset} "
            f"{accuracy.split} accuracy of {accuracy.protocol} epochs; accuracies are "
            "per cent from 0 to 100, so correct the file."
        )


def _check_seconds(row: TableRow) -> None:
    for seconds in row.seconds or ():
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            raise TableError(
                f"{row.where} gives {seconds:g} seconds of training or validation; "
                "they must be above 0, so correct the file."
            )
