"""DARTS+ sc_k on alpha made by hand (methods spec 5.1, 15.3)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import heard, heard_with_breaks, jury_of, leaning, problems_of, report

RULE = {"name": "darts-plus-skips"}


def series(*skips: int):
    """Epochs 1, 2, ... whose cells hold so many skip connections."""
    return [report(e, leaning("skip_connect", n)) for e, n in enumerate(skips, start=1)]


@pytest.mark.parametrize(("k", "stops"), [(1, 3), (2, 4), (3, 6), (4, 6)])
def test_it_stops_at_the_first_epoch_whose_cell_holds_k_skips(k, stops):
    (told,) = heard(
        jury_of({**RULE, "skips": k, "min_epoch": 1}), series(0, 0, 1, 2, 2, 4)
    )
    assert (told.epoch, told.architecture_epoch, told.stopped) == (stops, stops, True)
    assert told.title == f"sc_{k}"
    assert "skip connections" in told.reason


def test_it_does_not_look_before_the_first_epoch_that_counts():
    told = heard(jury_of(RULE), series(*[3] * 20))
    assert [each.epoch for each in told] == [10]


def test_a_warm_up_moves_the_first_epoch_that_counts():
    jury = jury_of(RULE, training={"warmup_epochs": 5})
    assert [each.epoch for each in heard(jury, series(*[3] * 20))] == [15]


def test_it_can_take_the_last_epoch_that_held_fewer():
    rule = {**RULE, "take": "before", "min_epoch": 1}
    (told,) = heard(jury_of(rule), series(0, 1, 2))
    assert (told.epoch, told.architecture_epoch) == (3, 2)
    assert told.title == "sc_2, before"
    (told,) = heard(jury_of(rule), series(2))
    assert (told.epoch, told.architecture_epoch) == (1, 1)
    assert "No epoch that counts held fewer" in told.reason


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(1, 6))
def test_it_fires_where_a_plain_search_of_the_series_says(skips, k):
    told = heard(jury_of({**RULE, "skips": k, "min_epoch": 1}), series(*skips))
    expected = [e for e, n in enumerate(skips, start=1) if n >= k][:1]
    assert [each.epoch for each in told] == expected


def test_it_goes_on_after_a_break_as_if_there_were_none():
    rule = {**RULE, "take": "before", "min_epoch": 1}
    reports = series(0, 1, 1, 2)
    assert heard_with_breaks(reports, rule) == heard(jury_of(rule), reports)


def test_it_refuses_what_cannot_work_in_a_sentence_each():
    (found,) = problems_of(RULE, space={"without": ["skip_connect"]})
    assert found.field == "stopping.0"
    assert "no edge of this search space may take one" in found.sentence
    (found,) = problems_of({"name": "none"}, {**RULE, "skips": 7})
    assert found.field == "stopping.1.skips"
    assert "6 edges" in found.sentence
    (found,) = problems_of(RULE, training={"epochs": 9})
    assert found.field == "stopping.0.min_epoch"
    assert "never fire" in found.sentence


STAGED = {
    "method": {"name": "p-darts", "max_skips": 2},
    "training": {"warmup_epochs": 1},
}


def test_more_skips_than_the_method_ever_leaves_are_refused():
    (found,) = problems_of({**RULE, "skips": 3, "min_epoch": 1}, **STAGED)
    assert found.field == "stopping.0.skips"
    assert "P-DARTS lets a cell hold 2 skip connections at most" in found.sentence
    assert "take 2 or fewer" in found.sentence
    assert not problems_of({**RULE, "skips": 2, "min_epoch": 1}, **STAGED)
    none = {**STAGED, "method": {"name": "p-darts", "max_skips": 0}}
    (found,) = problems_of({**RULE, "skips": 1, "min_epoch": 1}, **none)
    assert "remove the rule" in found.sentence
