"""The numbers that a pruning event shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from searchjobs.engine.selection.window_report import (
    describe,
    describe_scores,
    spearman,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2))
def test_the_correlation_is_spearmans_with_ties(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=float).T

    found = spearman(first, second)

    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_histogram_and_quantiles_cover_every_sample_once() -> None:
    generator = np.random.default_rng(1)
    scores, errors = generator.uniform(0, 0.3, 500), generator.uniform(0, 1, 500)
    removed = scores > 0.2

    found = describe(scores, errors, removed)

    edges = np.array(found["histogram_edges"])
    assert len(edges) == len(found["histogram_kept"]) + 1 == 41
    assert sum(found["histogram_kept"]) == (~removed).sum()
    assert sum(found["histogram_removed"]) == removed.sum()
    assert edges[0] == 0
    assert edges[-1] == scores.max()
    assert found["score_quantiles"][3] == pytest.approx(np.median(scores))
    assert found["mean_error_kept"] == pytest.approx(errors[~removed].mean())
    assert found["mean_error_removed"] == pytest.approx(errors[removed].mean())


def test_scores_without_any_spread_are_still_shown() -> None:
    zeros = np.zeros(5)

    found = describe(zeros, zeros, np.zeros(5, dtype=bool))

    assert sum(found["histogram_kept"]) == 5
    assert found["correlation"] is None
    assert found["mean_error_removed"] is None


@pytest.mark.parametrize(
    "values", [[1e6] * 3, [0.3, np.nextafter(0.3, 1)], [-1e9, -1e9]]
)
def test_scores_that_no_bin_can_part_are_still_counted(values: list[float]) -> None:
    found = describe_scores(np.array(values), np.zeros(len(values), dtype=bool))

    assert sum(found["histogram_kept"]) == len(values)
