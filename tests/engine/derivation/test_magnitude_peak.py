"""Magnitude peak: one architecture an operation (EX-/SS-DARTS, Algorithm 2)."""

from __future__ import annotations

import pytest

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import derivations
from searchjobs.engine.problems import SpecError

from ..conftest import tiny
from ..stopping.made import leaning, report

ONE, THREE, POOL = "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"


def derived(history, epochs, **options):
    spec = tiny(
        training={"epochs": epochs},
        selection={"name": "full"},
        derivation={"name": "magnitude-peak", "min_epoch": 1, **options},
    )
    run = compose(spec)
    part = derivations.get("magnitude-peak")(spec.derivation, run)
    return list(part.derive(history, history[-1].epoch))


def shares(**given):
    """Magnitudes with these shares, the rest with none."""
    names = ("skip_connect", ONE, THREE, POOL)
    found = {name: given.get(name, 0.0) for name in names}
    return {"none": 1 - sum(found.values()), **found}


@pytest.fixture
def history():
    """The pool is strongest at 2, the 3x3 convolution at 3, the 1x1 at the last."""
    course = [
        shares(**{POOL: 0.2, THREE: 0.1, ONE: 0.1, "skip_connect": 0.3}),
        shares(**{POOL: 0.4, THREE: 0.2, ONE: 0.1, "skip_connect": 0.2}),
        shares(**{POOL: 0.3, THREE: 0.4, ONE: 0.2, "skip_connect": 0.1}),
        shares(**{POOL: 0.2, THREE: 0.3, ONE: 0.3, "skip_connect": 0.1}),
    ]
    return [
        report(e, leaning(POOL, e), epochs=4, magnitudes=each)
        for e, each in enumerate(course, start=1)
    ]


@pytest.mark.parametrize("criterion", ["magnitude", "residual"])
def test_every_operation_brings_the_cell_of_its_peak(history, criterion):
    found = derived(history, 4, criterion=criterion)
    assert {each.criterion: each.epoch for each in found} == {
        THREE: 3,
        "none": 1,
        "skip_connect": 1,
        ONE: 4,
        POOL: 2,
    }
    for each in found:
        assert each.architecture == history[each.epoch - 1].genotype
        assert each.derivation == "magnitude-peak"


def test_a_peak_at_the_border_has_a_note_that_nothing_was_found(history):
    notes = {each.criterion: each.note for each in derived(history, 4)}
    assert "Eq. 13 of nor_conv_3x3 peaks here" in notes[THREE]
    assert notes["skip_connect"].startswith("Found nothing")
    assert "the first that counts" in notes["skip_connect"]
    assert notes[ONE].startswith("Found nothing")
    assert "the last" in notes[ONE]


def test_the_operation_that_counts_comes_first(history):
    assert derived(history, 4)[0].criterion == THREE
    assert derived(history, 4, operation=POOL)[0].criterion == POOL
    assert len(derived(history, 4, operation=POOL)) == 5


def test_the_first_epochs_need_not_count(history):
    found = {e.criterion: e.epoch for e in derived(history, 4, min_epoch=2)}
    assert found["skip_connect"] == 2


def test_a_search_that_ended_before_they_count_gives_its_last_cell(history):
    (found,) = derived(history[:2], 60, min_epoch=10)
    assert (found.epoch, found.architecture) == (2, history[1].genotype)
    assert found.note.startswith("Found nothing: the search ended before epoch 10")
    found = derived(history[:2], 4, min_epoch=2)[0]
    assert found.note == "Found nothing: epoch 2 is the only one that counts."


def test_operations_that_are_left_out_bring_nothing(history):
    spec = tiny(
        space={"without": ["none"]},
        training={"epochs": 4},
        derivation={"name": "magnitude-peak", "min_epoch": 1},
    )
    part = derivations.get("magnitude-peak")(spec.derivation, compose(spec))
    assert "none" not in {each.criterion for each in part.derive(history, 4)}


def test_it_refuses_what_cannot_work_in_a_sentence_each():
    with pytest.raises(SpecError) as refused:
        tiny(derivation={"name": "magnitude-peak", "operation": "conv"})
    operation, epochs = refused.value.problems
    assert operation.field == "derivation.operation"
    assert "there is no 'conv' in it" in operation.sentence
    assert epochs.field == "derivation.min_epoch"
    assert "needs epochs before and after a peak" in epochs.sentence
