"""What a pruning event tells about the scores of its window."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 40
QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)


def describe(
    scores: np.ndarray, errors: np.ndarray, removed: np.ndarray
) -> dict[str, Any]:
    """Return the fields of ``SamplesPruned`` that describe the scores.

    Args:
        scores: VoE (n,) of the samples that were seen often enough.
        errors: mean error (n,) of each in the window.
        removed: bool (n,), which of them go.
    """
    top = max(float(scores.max()), 1e-9)  # all equal to 0: one bin still has a width
    return {
        **describe_scores(scores, removed, (0, top)),
        "correlation": spearman(scores, errors),
        "mean_error_kept": _mean(errors[~removed]),
        "mean_error_removed": _mean(errors[removed]),
    }


def describe_scores(
    scores: np.ndarray, removed: np.ndarray, span: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Return quantiles and histograms of scores (n,), of which ``removed`` go.

    ``span`` is that of the histogram; None: that of the scores.
    """
    low, high = span or (float(scores.min()), float(scores.max()))
    # too close to each other for so many bins, or all alike: bins of any width
    high = max(high, low + max(1e-9, 1e-9 * abs(low)))
    kept, edges = np.histogram(scores[~removed], bins=BINS, range=(low, high))
    gone, _ = np.histogram(scores[removed], bins=BINS, range=(low, high))
    return {
        "score_quantiles": np.quantile(scores, QUANTILES).tolist(),
        "histogram_edges": edges.tolist(),
        "histogram_kept": kept.tolist(),
        "histogram_removed": gone.tolist(),
    }


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the rank correlation, ties at their mean rank; None if either is
    constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None
