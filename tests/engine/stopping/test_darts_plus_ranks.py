"""DARTS+ rt_k on alpha made by hand (methods spec 5.1)."""

from __future__ import annotations

import pytest
import torch

from .made import heard, heard_with_breaks, jury_of, leaning, problems_of, report

RULE = {"name": "darts-plus-ranks"}
ONE, THREE = "nor_conv_1x1", "nor_conv_3x3"


def series(*better: str):
    """Epochs 1, 2, ... with the convolution that leads on the first edge."""
    return [report(e, leaning(name, 1)) for e, name in enumerate(better, start=1)]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_it_stops_after_k_epochs_that_rank_as_the_one_before(k):
    reports = series(ONE, ONE, THREE, THREE, THREE, THREE, THREE)
    (told,) = heard(jury_of({**RULE, "stable": k}), reports)
    expected = {1: 2, 2: 5, 3: 6}[k]
    assert (told.epoch, told.architecture_epoch, told.stopped) == (
        expected,
        expected,
        True,
    )
    assert told.title == f"rt_{k}"


def test_one_edge_that_changes_its_mind_begins_the_count_anew():
    reports = series(*[THREE] * 10, ONE, *[THREE] * 12)
    assert [t.epoch for t in heard(jury_of(RULE), reports)] == [22]


def test_only_operations_with_weights_are_ranked():
    """The skip overtakes everything, and the ranking of the convolutions stands."""
    low = torch.tensor(leaning(THREE, 6))
    high = low.clone()
    high[:, 1] = 9.0
    reports = [report(1, low.tolist()), report(2, high.tolist()), report(3)]
    assert [t.epoch for t in heard(jury_of({**RULE, "stable": 1}), reports)] == [2]


def test_a_warm_up_is_not_stability():
    jury = jury_of({**RULE, "stable": 2}, training={"warmup_epochs": 3})
    assert [t.epoch for t in heard(jury, series(*[THREE] * 9))] == [6]


def test_an_operation_that_is_pruned_changes_the_ranking():
    jury = jury_of({**RULE, "stable": 2})
    reports = series(*[THREE] * 5)
    assert not heard(jury, reports[:2])
    space = jury.rules[0].search.space
    allowed = torch.ones(6, 5, dtype=torch.bool)
    allowed[0, 2] = False
    space.restrict("cell", allowed)
    assert [t.epoch for t in heard(jury, reports[2:])] == [5]


def test_it_goes_on_after_a_break_as_if_there_were_none():
    reports = series(ONE, ONE, THREE, THREE, THREE)
    rule = {**RULE, "stable": 2}
    whole = heard(jury_of(rule), reports)
    assert whole
    assert heard_with_breaks(reports, rule) == whole


def test_it_refuses_what_cannot_work_in_a_sentence_each():
    (found,) = problems_of(RULE, space={"without": [ONE]})
    assert found.field == "stopping.0"
    assert "fewer than two" in found.sentence
    (found,) = problems_of(RULE, training={"epochs": 10})
    assert found.field == "stopping.0.stable"
    assert "epoch 11 at the earliest" in found.sentence
    assert not problems_of(RULE, training={"epochs": 11})
