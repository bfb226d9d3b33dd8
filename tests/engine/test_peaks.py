"""Magnitudes of operations: Eq. 11 to 13 of EX-/SS-DARTS (methods spec 5.4, 12.5)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from searchjobs.engine import peaks
from searchjobs.engine.compose import compose
from searchjobs.engine.diagnostics.tables import magnitudes
from searchjobs.engine.spaces.nas_bench_201.encoding import OPERATIONS

from .conftest import tiny

ALPHAS = arrays("float64", (12, 6, 5), elements=st.floats(-4, 4))


@pytest.fixture(scope="module")
def space():
    return compose(tiny()).space


def of_epochs(space, alphas):
    return [
        magnitudes(space, {"cell": torch.tensor(table).softmax(-1)}) for table in alphas
    ]


@given(ALPHAS, st.sampled_from(OPERATIONS))
def test_equation_13_is_m_times_equation_12_less_one_and_names_its_epoch(
    space, alphas, operation
):
    found = of_epochs(space, alphas)
    twelve = [peaks.value(m, operation, "magnitude") for m in found]
    thirteen = [peaks.value(m, operation, "residual") for m in found]
    for one, other in zip(twelve, thirteen, strict=True):
        assert abs(other - (5 * one - 1)) < 1e-6
    at_twelve = peaks.peak(list(enumerate(twelve))).epoch
    at_thirteen = peaks.peak(list(enumerate(thirteen))).epoch
    # equal but where two epochs are equal to the last digits
    assert abs(twelve[at_twelve] - twelve[at_thirteen]) < 1e-12


@given(ALPHAS, st.sampled_from(OPERATIONS))
def test_the_magnitude_is_the_mean_share_over_the_edges(space, alphas, operation):
    place = OPERATIONS.index(operation)
    for table, found in zip(alphas, of_epochs(space, alphas), strict=True):
        shares = torch.tensor(table).softmax(-1)[:, place]
        assert found[operation] == pytest.approx(float(shares.mean()))


def test_without_none_the_two_equations_can_part():
    """The 3x3 convolution grows, and the others but none grow more."""
    first = {"none": 0.60, "skip_connect": 0.05, "nor_conv_1x1": 0.05}
    first |= {"nor_conv_3x3": 0.25, "avg_pool_3x3": 0.05}
    then = {"none": 0.01, "skip_connect": 0.23, "nor_conv_1x1": 0.23}
    then |= {"nor_conv_3x3": 0.30, "avg_pool_3x3": 0.23}

    def epoch(criterion, **how):
        series = [
            (number, peaks.value(each, "nor_conv_3x3", criterion, **how))
            for number, each in ((1, first), (2, then))
        ]
        return peaks.peak(series).epoch

    assert epoch("magnitude") == epoch("residual") == 2
    assert epoch("residual", exclude_none=True) == 1
    assert peaks.value(
        first, "nor_conv_3x3", "residual", exclude_none=True
    ) == pytest.approx(3 * 0.25 - 0.15)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_the_peak_is_the_first_of_the_largest_values(values):
    found = peaks.peak(list(enumerate(map(float, values), start=4)))
    assert found.epoch == 4 + values.index(max(values))
    assert found.value == max(values)
    assert found.inner == (4 < found.epoch < 3 + len(values))
