"""How far two runs kept the same samples, and what chance alone would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sets import Ids


@dataclass(frozen=True)
class Common:
    """Two subsets of two sets.

    Attributes:
        first, second: samples of either.
        common: samples of both.
        expected: mean of ``common`` if each run had drawn as many samples by chance
            from what it began with.
        deviation: its standard deviation; None if the two began with different sets.
    """

    first: int
    second: int
    common: int
    expected: float
    deviation: float | None

    @property
    def jaccard(self) -> float | None:
        """|A and B| / |A or B|; None of two empty sets."""
        union = self.first + self.second - self.common
        return self.common / union if union else None

    @property
    def jaccard_expected(self) -> float | None:
        """The Jaccard index at the expected overlap."""
        union = self.first + self.second - self.expected
        return self.expected / union if union else None

    @property
    def surprise(self) -> float | None:
        """How many standard deviations more samples are common than by chance."""
        if not self.deviation:
            return None
        return (self.common - self.expected) / self.deviation


@dataclass(frozen=True)
class Began:
    """The sets with which two runs began, as counts by class, int64 (M,).

    Attributes:
        first, second, shared: samples of either, and of both.
        same: the two began with the same samples.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared: NDArray[np.int64]
    same: bool


@dataclass(frozen=True)
class Overlap:
    """The overlap of two sets: of all classes together, and class by class."""

    total: Common
    classes: list[Common]


def began(started: tuple[Ids, Ids], labels: NDArray[np.integer], classes: int) -> Began:
    """Count the sets with which two runs began."""
    first, second, shared = _counts(started, labels, classes)
    same = len(started[0]) == len(started[1]) == int(shared.sum())
    return Began(first, second, shared, same)


def overlap(
    kept: tuple[Ids, Ids],
    started: Began,
    labels: NDArray[np.integer],
    classes: int,
) -> Overlap:
    """Compare what two runs kept of a set.

    Chance draws, for each run and class, as many samples as the run kept of the class,
    evenly from those with which the run began (a hypergeometric overlap); the total is
    the sum over the classes.  So a run that kept the same classes, but not the same
    samples of them, stands at chance.

    Args:
        kept: ids of either run that are in the set, each without repetition.
        started: what either began with; it contains what was kept.
        labels: class of every image, (images,).
        classes: M.
    """
    first, second, common = _counts(kept, labels, classes)
    of_first = first / np.maximum(started.first, 1)
    of_second = second / np.maximum(started.second, 1)
    expected = started.shared * of_first * of_second
    # hypergeometric: a of N marked, b drawn without replacement
    variance = expected * (1 - of_first) * (started.first - second)
    variance = variance / np.maximum(started.first - 1, 1)
    found = [
        Common(
            int(first[label]),
            int(second[label]),
            int(common[label]),
            float(expected[label]),
            float(np.sqrt(variance[label])) if started.same else None,
        )
        for label in range(classes)
    ]
    total = Common(
        int(first.sum()),
        int(second.sum()),
        int(common.sum()),
        float(expected.sum()),
        float(np.sqrt(variance.sum())) if started.same else None,
    )
    return Overlap(total, found)


def _counts(
    sets: tuple[Ids, Ids], labels: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the class counts (M,) of two sets and of what they share."""
    # four places a class: in neither, in the first, in the second, in both
    places = 4 * labels.astype(np.int64)
    for which, ids in zip((1, 2), sets, strict=True):
        places[ids] += which
    counts = np.bincount(places, minlength=4 * classes).reshape(-1, 4)
    _, first, second, both = counts[:classes].astype(np.int64).T
    return first + both, second + both, both
