"""Selective stop, online and offline, on magnitudes made by hand (methods spec 5.4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import (
    heard,
    heard_with_breaks,
    jury_of,
    problems_of,
    report,
    with_magnitude,
)

THREE = "nor_conv_3x3"
RULE = {"name": "selective-stop", "min_epoch": 1}
ONLINE = {**RULE, "algorithm": "online", "patience": 3}


def series(*strengths: float, epochs: int = 50, operation: str = THREE):
    return [
        with_magnitude(e, operation, s, epochs=epochs)
        for e, s in enumerate(strengths, start=1)
    ]


RISE_AND_FALL = (0.20, 0.24, 0.30, 0.28, 0.29, 0.26, 0.25, 0.22)


@pytest.mark.parametrize("criterion", ["magnitude", "residual"])
def test_online_it_stops_once_the_peak_has_stood_and_goes_back_to_it(criterion):
    rule = {**ONLINE, "criterion": criterion}
    (told,) = heard(jury_of(rule), series(*RISE_AND_FALL))
    assert (told.epoch, told.architecture_epoch, told.stopped) == (6, 3, True)
    assert told.title == "SS nor_conv_3x3, online"
    assert "peaks at epoch 3" in told.reason


def test_online_a_new_peak_within_the_patience_begins_the_wait_anew():
    (told,) = heard(jury_of(ONLINE), series(0.2, 0.3, 0.1, 0.1, 0.31, 0.1, 0.1, 0.1))
    assert (told.epoch, told.architecture_epoch) == (8, 5)


def test_online_a_magnitude_that_only_falls_has_no_peak_and_stops_nothing():
    told = heard(jury_of(ONLINE), series(*(0.3 - 0.01 * e for e in range(20))))
    assert told == []


@pytest.mark.parametrize("criterion", ["magnitude", "residual"])
def test_offline_it_names_the_peak_at_the_last_epoch(criterion):
    rule = {**RULE, "criterion": criterion}
    jury = jury_of(rule, training={"epochs": 8})
    (told,) = heard(jury, series(*RISE_AND_FALL, epochs=8))
    assert (told.epoch, told.architecture_epoch, told.stopped) == (8, 3, False)
    assert jury.decision.epoch == 3
    assert told.title == "SS nor_conv_3x3"


@pytest.mark.parametrize("rule", [RULE, ONLINE])
@pytest.mark.parametrize(
    ("strengths", "why"),
    [
        ((0.30, 0.28, 0.26, 0.24), "the first that counts"),
        ((0.20, 0.22, 0.24, 0.30), "the last, and may still have been rising"),
    ],
)
def test_a_peak_at_the_border_is_told_as_found_nothing(rule, strengths, why):
    jury = jury_of(rule, training={"epochs": 4})
    (told,) = heard(jury, series(*strengths, epochs=4))
    assert told.reason.startswith("Found nothing: nor_conv_3x3 is strongest")
    assert why in told.reason
    assert (told.architecture_epoch, told.stopped) == (4, False)
    assert jury.decision.epoch is None  # the last epoch stands, or what others name


def test_online_a_peak_that_could_not_stand_is_told_as_found_nothing():
    jury = jury_of(ONLINE, training={"epochs": 4})
    (told,) = heard(jury, series(0.2, 0.2, 0.3, 0.2, epochs=4))
    assert told.reason.startswith("Found nothing")
    assert "too late to stand for 3 epochs" in told.reason
    assert told.architecture_epoch == 4


def test_one_that_found_nothing_leaves_the_word_to_one_that_found_a_peak():
    flat = {**RULE, "operation": "avg_pool_3x3"}
    jury = jury_of(flat, RULE, training={"epochs": 8})
    told = heard(jury, series(*RISE_AND_FALL, epochs=8))
    assert [t.architecture_epoch for t in told] == [8, 3]
    assert jury.decision.epoch == 3


def test_offline_it_says_so_if_another_rule_stops_the_search_first():
    stops = {"name": "darts-plus-skips", "skips": 6, "min_epoch": 1}
    offline = {"name": "selective-stop", "min_epoch": 1}
    skips = [[0.0, 9.0, 0.0, 0.0, 0.0]] * 6
    jury = jury_of(stops, offline, {**offline, "algorithm": "online"})
    assert list(jury.hear(report(1))) == []
    ended, cut = jury.hear(report(2, skips))
    assert (ended.rule, ended.stopped) == ("darts-plus-skips", True)
    assert (cut.rule, cut.stopped, cut.epoch) == ("selective-stop", False, 2)
    assert cut.reason.startswith("Found nothing: another rule stopped the search at ")
    assert "epoch 2 of 50" in cut.reason
    assert jury.decision.stop
    assert jury.decision.epoch == 2


def test_a_rule_that_only_watches_cuts_nothing_short():
    watches = {"name": "darts-plus-skips", "skips": 6, "min_epoch": 1, "watch": True}
    jury = jury_of(watches, {"name": "selective-stop", "min_epoch": 1})
    (marked,) = jury.hear(report(1, [[0.0, 9.0, 0.0, 0.0, 0.0]] * 6))
    assert marked.rule == "darts-plus-skips"


def test_epochs_before_the_first_that_counts_are_no_peak():
    rule = {**RULE, "min_epoch": 3}
    (told,) = heard(
        jury_of(rule, training={"epochs": 6}),
        series(0.2, 0.9, 0.2, 0.3, 0.2, 0.1, epochs=6),
    )
    assert told.architecture_epoch == 4


def test_none_can_be_left_out_of_the_residual():
    """At epoch 2 none takes all, so the convolution leads the others by most."""
    shares = [
        {"none": 0.20, "skip_connect": 0.2, "nor_conv_1x1": 0.20, THREE: 0.20},
        {"none": 0.69, "skip_connect": 0.0, "nor_conv_1x1": 0.0, THREE: 0.31},
        {"none": 0.00, "skip_connect": 0.2, "nor_conv_1x1": 0.24, THREE: 0.32},
        {"none": 0.20, "skip_connect": 0.2, "nor_conv_1x1": 0.20, THREE: 0.20},
    ]
    reports = [
        with_magnitude(e, THREE, 0.2, epochs=4).model_copy(
            update={"magnitudes": {**each, "avg_pool_3x3": 1 - sum(each.values())}}
        )
        for e, each in enumerate(shares, start=1)
    ]

    def peak(**options):
        jury = jury_of({**RULE, **options}, training={"epochs": 4})
        return heard(jury, reports)[0].architecture_epoch

    assert peak() == 3
    assert peak(exclude_none_from_residual=True) == 2
    assert peak(criterion="magnitude", exclude_none_from_residual=True) == 3


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=3, max_size=12),
    st.sampled_from([RULE, ONLINE]),
)
def test_both_equations_say_the_same_and_a_break_changes_nothing(strengths, rule):
    epochs = len(strengths)
    reports = series(*strengths, epochs=epochs)
    both = [
        heard(
            jury_of({**rule, "criterion": c}, training={"epochs": epochs}),
            reports,
        )
        for c in ("magnitude", "residual")
    ]
    named = [[(t.epoch, t.architecture_epoch) for t in told] for told in both]
    assert named[0] == named[1]
    broken = heard_with_breaks(reports, rule, training={"epochs": epochs})
    assert broken == both[1]


def test_it_refuses_what_cannot_work_in_a_sentence_each():
    (found,) = problems_of({**RULE, "operation": "conv"})
    assert found.field == "stopping.0.operation"
    assert "choose one of none, skip_connect" in found.sentence
    (found,) = problems_of(RULE, space={"without": [THREE]})
    assert "no 'nor_conv_3x3'" in found.sentence
    (found,) = problems_of({"name": "selective-stop"}, training={"epochs": 11})
    assert found.field == "stopping.0.min_epoch"
    assert "epoch 10 is the first that counts" in found.sentence
    assert not problems_of({"name": "selective-stop"}, training={"epochs": 12})
