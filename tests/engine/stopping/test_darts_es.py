"""DARTS-ES on series of eigenvalues made by hand (methods spec 5.2 and 12.7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import heard, heard_with_breaks, jury_of, problems_of, report

RULE = {"name": "darts-es"}
MEASURED = {"diagnostics": {"eigenvalue_every": 1, "eigenvalue_samples": 16}}


def series(value, epochs=50):
    """Epochs 1 to 50 with an eigenvalue that is a function of the epoch."""
    return [report(e, eigenvalue=value(e), epochs=50) for e in range(1, epochs + 1)]


def stops(value, **options):
    told = heard(jury_of({**RULE, **options}, **MEASURED), series(value))
    return [(each.epoch, each.architecture_epoch) for each in told]


@pytest.mark.parametrize("constant", [0.3, 0.0, -0.2])
def test_a_constant_eigenvalue_never_stops(constant):
    assert stops(lambda _epoch: constant) == []


@pytest.mark.parametrize("jump", [20, 26, 33, 40])
def test_a_doubling_stops_and_goes_back_exactly_twelve_epochs(jump):
    ((fired, back),) = stops(lambda epoch: 0.2 if epoch < jump else 0.4)
    assert back == fired - 12
    # two of five readings must have doubled: 1.4 is above 1.3, 1.2 is not
    assert fired == 2 * -(-jump // 2) + 2


def test_a_doubling_at_twenty_stops_at_twenty_two_the_first_epoch_that_may():
    assert stops(lambda epoch: 0.2 if epoch < 20 else 0.4) == [(22, 10)]
    assert stops(lambda epoch: 0.2 if epoch < 12 else 4.0 * epoch) == [(22, 10)]


def test_the_last_epoch_is_not_judged_as_in_the_authors_code():
    assert stops(lambda epoch: 0.2 if epoch < 46 else 0.4) == [(48, 36)]
    assert stops(lambda epoch: 0.2 if epoch < 48 else 0.4) == []


def test_a_growth_up_to_the_factor_is_allowed():
    """Neighbouring windows share a reading: at best (1 + 4 x) / 5 against 1."""
    assert stops(lambda epoch: 1.0 if epoch < 20 else 1.374) == []
    assert stops(lambda epoch: 1.0 if epoch < 20 else 1.376) == [(26, 14)]


def test_a_rise_from_below_zero_has_no_ratio_and_stops_nothing():
    assert stops(lambda epoch: -1.0 if epoch < 44 else -3.0) == []
    assert stops(lambda epoch: -1.0 if epoch < 44 else 3.0) == []


def test_the_decay_of_alpha_can_be_added_as_the_authors_code_does():
    def value(epoch):
        return 0.0100 if epoch < 20 else 0.0138

    assert stops(value, factor=1.3)
    assert not stops(value, factor=1.3, add_weight_decay=True)


def test_readings_between_those_that_it_reads_do_not_matter():
    assert stops(lambda epoch: 1.0 if epoch % 2 == 0 else 99.0 * epoch) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=25, max_size=25))
def test_it_fires_where_the_published_procedure_fires(readings):
    """Zela et al., EVLocalAvg: windows by index, judged before the last epoch."""
    expected = []
    averages: list[float] = []
    for number in range(1, 25):  # epochs 2 to 48; 50 is the last
        window = readings[max(0, number - 5) : number]
        if number >= 3:
            averages.append(sum(window) / len(window))
        belongs = 2 * number - 4
        if belongs - 8 >= 10 and averages[-1] / averages[-5] > 1.3:
            expected = [(2 * number, belongs - 8)]
            break
    assert stops(lambda epoch: readings[epoch // 2 - 1]) == expected


def test_another_supernet_begins_the_averages_anew():
    def staged(stage_from):
        return [
            report(
                epoch,
                eigenvalue=0.2 if epoch < 26 else 0.4,
                method={"stage": 1 if epoch < stage_from else 2},
            )
            for epoch in range(1, 51)
        ]

    assert heard(jury_of(RULE, **MEASURED), staged(99))
    assert not heard(jury_of(RULE, **MEASURED), staged(26))


def test_it_goes_on_after_a_break_as_if_there_were_none():
    reports = series(lambda epoch: 0.2 if epoch < 20 else 0.4, 24)
    whole = heard(jury_of(RULE, **MEASURED), reports)
    assert whole
    assert heard_with_breaks(reports, RULE, **MEASURED) == whole


@pytest.mark.parametrize(("every", "read"), [(0, "never"), (5, "every 5 epochs")])
def test_it_asks_for_an_eigenvalue_that_it_can_read(every, read):
    (found,) = problems_of(RULE, diagnostics={"eigenvalue_every": every})
    assert found.field == "diagnostics.eigenvalue_every"
    assert read in found.sentence
    assert "set 'Eigenvalue every' to 2" in found.sentence


def test_it_refuses_a_search_that_is_too_short_for_it():
    (found,) = problems_of(RULE, training={"epochs": 22}, **MEASURED)
    assert found.field == "stopping.0.start"
    assert "epoch 22 at the earliest" in found.sentence
    assert not problems_of(RULE, training={"epochs": 23}, **MEASURED)
    (found,) = problems_of(
        RULE, training={"epochs": 30, "warmup_epochs": 10}, **MEASURED
    )
    assert "epoch 32 at the earliest" in found.sentence
