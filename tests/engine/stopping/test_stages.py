"""Rules in a search of stages: each has a warm-up in which alpha says nothing."""

from __future__ import annotations

import pytest

from searchjobs.engine.events import MethodReport
from searchjobs.engine.watching import trained_epochs

from ..conftest import tiny
from .made import heard, jury_of, leaning, problems_of, report, spec_of, with_magnitude

#: Three stages of six epochs: alpha trains in 4 to 6, 10 to 12 and 16 to 18.
STAGES = {
    "method": {"name": "p-darts"},
    "training": {"epochs": 18, "warmup_epochs": 3},
}
BLANK = {"name": "projection", "blank": True}


def told_by(rule, reports):
    (told,) = heard(jury_of(rule, **STAGES), reports)
    return told.epoch, told.architecture_epoch


def stage_of(epoch):
    return MethodReport(stage=(epoch + 5) // 6)


def test_alpha_trains_between_the_warm_ups():
    assert trained_epochs(spec_of(**STAGES)) == [0, 0, 0, 1, 2, 3] * 3


@pytest.mark.parametrize("method", ["darts", "snas", "enas", "rsps"])
def test_any_method_trains_from_the_warm_up_on(method):
    spec = tiny(
        method={"name": method},
        selection={"name": "full"},
        training={"epochs": 4, "warmup_epochs": 1},
    )
    assert trained_epochs(spec) == [0, 1, 2, 3]


def test_a_ranking_that_stands_while_alpha_rests_is_not_stable():
    convolutions = ["nor_conv_1x1", "nor_conv_3x3"] * 3 + ["nor_conv_1x1"] * 12
    reports = [report(e, leaning(c, 1)) for e, c in enumerate(convolutions, start=1)]
    assert told_by({"name": "darts-plus-ranks", "stable": 2}, reports) == (12, 12)


def test_skips_of_an_alpha_that_has_just_begun_do_not_count():
    reports = [report(e, leaning("skip_connect", int(e > 6))) for e in range(1, 19)]
    rule = {"name": "darts-plus-skips", "skips": 1, "min_epoch": 2}
    assert told_by(rule, reports) == (11, 11)


def test_the_patience_of_a_peak_is_not_used_up_by_a_warm_up():
    strength = {4: 0.3, 5: 0.4, 6: 0.5}
    reports = [
        with_magnitude(e, "nor_conv_3x3", strength.get(e, 0.2), epochs=18)
        for e in range(1, 19)
    ]
    rule = {"name": "selective-stop", "algorithm": "online", "patience": 2}
    assert told_by({**rule, "min_epoch": 1}, reports) == (11, 6)


def test_the_curvature_at_an_alpha_that_rests_is_no_reading():
    values = {7: 1.0, 8: 2.0, 9: 4.0, 10: 1.0, 11: 2.0}
    reports = [
        report(e, epochs=18, eigenvalue=values.get(e, 1.0), method=stage_of(e))
        for e in range(1, 19)
    ]
    once = {"frequency": 1, "window": 1, "delta": 1, "start": 1}
    jury = jury_of(
        {"name": "darts-es", **once}, diagnostics={"eigenvalue_every": 1}, **STAGES
    )
    (told,) = heard(jury, reports)
    assert (told.epoch, told.architecture_epoch) == (11, 10)


def test_a_rule_that_no_stage_is_long_enough_for_is_refused():
    rules = [
        {"name": "darts-plus-skips", "min_epoch": 4},
        {"name": "darts-plus-ranks", "stable": 3},
        {"name": "selective-stop", "min_epoch": 4},
    ]
    fields = [problem.field for problem in problems_of(*rules, **STAGES)]
    assert fields == [
        "stopping.0.min_epoch",
        "stopping.1.stable",
        "stopping.2.min_epoch",
    ]


@pytest.mark.parametrize(
    "rule", ["darts-plus-skips", "darts-plus-ranks", "darts-es", "selective-stop"]
)
def test_no_rule_watches_an_alpha_that_is_never_trained(rule):
    (problem,) = problems_of({"name": rule}, derivation=BLANK)
    assert problem.field == "stopping.0"
    assert "leave it as it began" in problem.sentence
