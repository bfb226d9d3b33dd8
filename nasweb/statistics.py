"""How far two groups of runs are apart, and whether that may be chance.

Nothing here is told without its n: a p value comes with both group sizes and a sentence
that says what it compares, and where a test has nothing to go by, a sentence says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from nasweb.comparison import Spread, spread

CONFIDENCE = 0.95
RESAMPLES = 4_999
_SEED = 201
"""Of the resampling: the same runs give the same interval at every look."""


@dataclass(frozen=True)
class Difference:
    """A group against a reference.

    Attributes:
        group: mean, sample standard deviation and n of the group.
        reference: those of the reference.
        effect: mean of the group minus mean of the reference, in points (percentage
            points of an accuracy); None if one has no value.
        low: lower end of the bootstrap interval of the effect; None without a test.
        high: its upper end.
        p: of Welch's two-sided t-test; None where there is nothing to test.
        adjusted: p after Holm's correction for all tests of the table.
        why: why there is no p, as a sentence; empty with one.
    """

    group: Spread
    reference: Spread
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    why: str = ""


def difference(
    values: Iterable[float | None], reference: Iterable[float | None]
) -> Difference:
    """Compare two groups of independent runs.

    Welch's t-test, which does not suppose equal variances (B. L. Welch, Biometrika 34,
    1947), and the percentile bootstrap of the difference of means (both by SciPy), each
    group resampled on its own.
    """
    return _difference(
        tuple(value for value in values if value is not None),
        tuple(value for value in reference if value is not None),
    )


@lru_cache(maxsize=2048)
def _difference(ours: tuple[float, ...], theirs: tuple[float, ...]) -> Difference:
    """Compare two groups.  Kept: what a page shows is asked for at every look."""
    found = Difference(spread(ours), spread(theirs))
    if not ours or not theirs:
        return replace(found, why=_no_value(ours, theirs))
    effect = _mean(found.group) - _mean(found.reference)
    if math.isclose(effect, 0.0, abs_tol=1e-12):
        effect = 0.0  # not the rounding of two sums
    found = replace(found, effect=effect)
    if len(ours) < 2 or len(theirs) < 2:
        return replace(
            found, why="One run tells nothing of the spread: a test needs two a group."
        )
    constant = _is_constant(ours), _is_constant(theirs)
    if all(constant):
        return replace(found, why=_without_spread(effect))
    low, high = _bootstrap(ours, theirs)
    return replace(found, low=low, high=high, p=_welch(found, constant))


def holm(found: Sequence[Difference]) -> list[Difference]:
    """Return the differences with their p values corrected for being tested together
    (S. Holm, Scandinavian Journal of Statistics 6, 1979)."""
    tested = sorted((each.p, at) for at, each in enumerate(found) if each.p is not None)
    adjusted: dict[int, float] = {}
    largest = 0.0
    for rank, (p, at) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[at] = largest
    return [
        replace(each, adjusted=adjusted.get(at, each.p))
        for at, each in enumerate(found)
    ]


def sentence(found: Difference, label: str, reference: str) -> str:
    """Say what a p value compares, or why there is none; the test and the measure
    stand above the table."""
    sizes = f"{label} (n = {found.group.n}) against {reference} "
    sizes += f"(n = {found.reference.n})"
    return f"{sizes}. {found.why}".rstrip() if found.why else f"{sizes}."


def entropy(shares: Iterable[float]) -> float:
    """Return the entropy of a distribution in bits: 0 if all is on one place."""
    return -sum(share * math.log2(share) for share in shares if share > 0) + 0.0


def _mean(of: Spread) -> float:
    assert of.mean is not None
    return of.mean


def _is_constant(values: Sequence[float]) -> bool:
    """Say whether all are one number, as look-ups of one cell are."""
    return math.isclose(min(values), max(values), rel_tol=1e-12, abs_tol=1e-12)


def _no_value(ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not ours and not theirs:
        return "Neither group has a value yet."
    return f"The {'reference' if ours else 'group'} has no value yet."


def _without_spread(effect: float) -> str:
    if effect == 0:
        return "All runs of both groups have one and the same value."
    return (
        "Neither group has any spread: the seeds all differ by exactly this, and a "
        "test has nothing to weigh it against."
    )


def _welch(found: Difference, constant: tuple[bool, bool]) -> float:
    sides = [
        (of.mean, 0.0 if is_constant else of.deviation, of.n)
        for of, is_constant in zip(
            (found.group, found.reference), constant, strict=True
        )
    ]
    result = stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False)
    return float(result.pvalue)


def _bootstrap(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    result = stats.bootstrap(
        (np.asarray(ours), np.asarray(theirs)),
        _difference_of_means,
        vectorized=True,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high)


def _difference_of_means(
    ours: np.ndarray, theirs: np.ndarray, axis: int = -1
) -> np.ndarray:
    return np.asarray(ours.mean(axis=axis) - theirs.mean(axis=axis))
