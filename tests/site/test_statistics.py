"""Two groups: Welch, bootstrap, Holm, and what has no p value."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nasweb.statistics import difference, entropy, holm, sentence

accuracies = st.lists(
    st.floats(0, 100, allow_nan=False).map(lambda x: round(x, 2)),
    min_size=2,
    max_size=6,
)


def test_welch_is_the_formula_of_the_paper() -> None:
    ours, theirs = [93.8, 93.2, 94.1], [90.0, 88.5, 91.5, 90.2]
    found = difference(ours, theirs)
    a, b = np.var(ours, ddof=1) / 3, np.var(theirs, ddof=1) / 4
    t = (np.mean(ours) - np.mean(theirs)) / math.sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-9)
    assert found.effect == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert found.why == ""


def test_the_interval_holds_the_effect_and_is_the_same_at_every_look() -> None:
    ours, theirs = [93.8, 93.2, 94.1], [90.0, 88.5, 91.5, 90.2]
    first, second = difference(ours, theirs), difference(ours, theirs)
    assert first == second
    assert first.low is not None
    assert first.high is not None
    assert first.effect is not None
    assert first.low < first.effect < first.high
    # no resample leaves what the runs themselves span
    assert first.low >= min(ours) - max(theirs)
    assert first.high <= max(ours) - min(theirs)


def test_of_two_runs_a_group_the_interval_is_that_of_all_resamples() -> None:
    """Each group gives 4 resamples, so each end has 1/16, more than 2.5 %."""
    found = difference([1.0, 2.0], [5.0, 9.0])
    means = [[(a + b) / 2 for a in of for b in of] for of in ([1, 2], [5, 9])]
    all_of_them = [ours - theirs for ours in means[0] for theirs in means[1]]
    assert (found.low, found.high) == (min(all_of_them), max(all_of_them)) == (-8, -3)


def test_welch_is_not_student_where_the_variances_differ() -> None:
    ours, theirs = [90.0, 90.1, 90.2], [60.0, 95.0, 99.0, 70.0, 88.0]
    found = difference(ours, theirs)
    assert found.p == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False)[1])
    assert found.p != pytest.approx(stats.ttest_ind(ours, theirs)[1])


def test_one_constant_group_is_tested_with_the_freedom_of_the_other() -> None:
    """A collapsed method against one that is not: std 0 against some."""
    ours, theirs = [93.79, 93.40, 94.18], [54.30] * 4
    found = difference(ours, theirs)
    t = (np.mean(ours) - 54.30) / (np.std(ours, ddof=1) / math.sqrt(3))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 2), rel=1e-6)
    assert found.reference.deviation == 0


def test_two_groups_of_the_all_skip_cell_have_no_p_value() -> None:
    found = difference([54.30] * 3, [54.30] * 4)
    assert (found.effect, found.p, found.low, found.high) == (0, None, None, None)
    assert "one and the same value" in found.why


def test_two_constant_groups_differ_exactly_and_without_a_test() -> None:
    found = difference([94.36] * 4, [54.30] * 4)
    assert found.effect == pytest.approx(40.06)
    assert found.p is None
    assert (found.low, found.high) == (None, None)
    assert "any spread" in found.why


def test_one_run_has_no_deviation_and_no_test() -> None:
    found = difference([93.0], [54.0, 55.0])
    assert found.group.deviation is None
    assert found.effect == pytest.approx(38.5)
    assert (found.p, found.low) == (None, None)
    assert "two a group" in found.why


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([], [], "Neither"),
        ([1.0], [None], "reference has no"),
        ([None], [1.0], "group has no"),
    ],
)
def test_without_values_there_is_no_effect(
    ours: list[float | None], theirs: list[float | None], said: str
) -> None:
    found = difference(ours, theirs)
    assert found.effect is None
    assert said in found.why


@given(accuracies, accuracies)
def test_the_reference_changed_for_the_group_turns_the_sign_alone(
    ours: list[float], theirs: list[float]
) -> None:
    one, other = difference(ours, theirs), difference(theirs, ours)
    assert one.effect == pytest.approx(-(other.effect or 0.0))
    assert (one.p is None) == (other.p is None)
    if one.p is not None and other.p is not None:
        assert one.p == pytest.approx(other.p)
        assert 0 <= one.p <= 1
        assert not math.isnan(one.p)


def test_holm_steps_down_and_never_lets_a_p_fall() -> None:
    """0.01, 0.04, 0.03 of three tests: 0.03, 0.06, 0.06."""
    template = difference([1.0, 2.0], [3.0, 5.0])
    tested = [replace(template, p=p) for p in (0.01, 0.04, None, 0.03)]
    assert [each.adjusted for each in holm(tested)] == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        None,
        pytest.approx(0.06),
    ]


def test_a_sentence_names_both_groups_with_their_n() -> None:
    found = difference([93.8, 93.2, 94.1], [90.0, 88.5])
    said = sentence(found, "DARTS + BDP", "DARTS")
    assert said == "DARTS + BDP (n = 3) against DARTS (n = 2)."
    assert sentence(difference([1.0], [2.0]), "a", "b") == (
        "a (n = 1) against b (n = 1). One run tells nothing of the spread: a test "
        "needs two a group."
    )


def test_the_entropy_of_an_edge_is_in_bits() -> None:
    assert entropy([1.0, 0.0]) == 0
    assert entropy([0.5, 0.5]) == 1
    assert entropy([0.2] * 5) == pytest.approx(math.log2(5))
