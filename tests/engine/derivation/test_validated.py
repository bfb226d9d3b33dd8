"""Derivation by validated accuracy: the operation that is missed most stays."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine import removal
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Derived, derivations, methods
from searchjobs.engine.derivation.validated import Validated
from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny


def trained(**changes):
    """Plain DARTS after a few weight steps: any method's supernet will do."""
    run = compose(tiny(derivation={"name": "validated"}, **changes))
    run.method.start_epoch(1)
    run.supernet.train()
    ids = run.initial_sets["T"]
    for first in range(0, 100, 25):
        run.method.weight_step(run.data.batch(ids[first : first + 25]))
    run.epoch = 1
    return run


def derived(run, epoch=1):
    derivation = derivations.get("validated")(run.spec.derivation, run)
    found = list(derivation.derive([], epoch))
    assert isinstance(found[-1], Derived)
    return found[-1], derivation


def expected(run):
    """The choice by thirty forwards over all of V, one batch, none restricted."""
    batch = run.data.batch(run.initial_sets["V"])
    weights = run.method.strengths()["cell"]
    choice = []
    with torch.no_grad(), batch_statistics(run.supernet):
        for row in range(6):
            keys = []
            for operation in range(5):
                without = weights.clone()
                without[row, operation] = 0
                logits = run.supernet(batch.images, {"cell": without})
                hits = int((logits.argmax(-1) == batch.labels).sum())
                loss = cross_entropy(logits.double(), batch.labels).item()
                keys.append((hits, -loss, operation))
            choice.append(run.space.operations[min(keys)[2]])
    return run.space.encode({"cell": choice})


def test_each_edge_keeps_what_the_supernet_misses_most():
    run = trained()
    found, derivation = derived(run)
    assert found.architecture == expected(run)
    assert (found.derivation, found.epoch, found.note) == ("validated", 1, "")
    assert derivation.cost_units == 25 * len(run.initial_sets["V"])


def test_all_of_v_is_seen_though_a_selection_has_pruned_it():
    run = trained()
    whole, _ = derived(run)
    run.selection.sets["V"] = run.selection.sets["V"][:4]
    found, derivation = derived(run)
    assert found == whole
    assert derivation.cost_units == 25 * 100


def test_an_edge_with_one_operation_keeps_it_and_is_not_measured():
    run = trained()
    allowed = torch.ones(6, 5, dtype=torch.bool)
    allowed[0] = torch.tensor([False, True, False, False, False])
    allowed[5] = torch.tensor([False, False, True, True, False])
    run.space.restrict("cell", allowed)
    found, derivation = derived(run)
    choice = run.space.decode(found.architecture)["cell"]
    assert choice[0] == "skip_connect"
    assert choice[5] in {"nor_conv_1x1", "nor_conv_3x3"}
    assert derivation.cost_units == (1 + 4 * 4 + 2) * 100


def test_a_derivation_that_was_broken_off_goes_on(monkeypatch):
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(removal, "EVALUATION_BATCH", 30)
    run = trained()
    whole, unbroken = derived(run)

    first = Validated(run.spec.derivation, run)
    events = first.derive([], 1)
    told = [next(events), next(events)]
    assert [(e.phase, e.step, e.steps) for e in told] == [
        ("validation", 1, 4),
        ("validation", 2, 4),
    ]
    state, cost = first.state_dict(), first.cost_units
    events.close()
    assert 0 < cost < unbroken.cost_units

    second = Validated(run.spec.derivation, run)
    second.load_state_dict(state)
    assert second.cost_units == cost
    rest = list(second.derive([], 1))
    assert [e.step for e in rest[:-1]] == [3, 4]
    assert rest[-1] == whole
    assert torch.equal(second.state_dict()["sums"], unbroken.state_dict()["sums"])


def test_its_forwards_are_part_of_the_cost_of_the_search():
    spec = tiny(derivation={"name": "validated"}, training={"epochs": 2})
    events = list(search(spec))
    before = epochs_of(events)[-1].cost_units
    assert events[-1].cost_units == before + 25 * 100
    assert events[-1].architectures[0].derivation == "validated"


def test_of_an_earlier_epoch_it_says_that_the_weights_are_gone():
    run = trained()
    run.epoch = 7
    found, _ = derived(run, epoch=3)
    assert found.epoch == 7
    assert found.note == (
        "A stopping rule named epoch 3, whose weights are not kept; those of epoch 7 "
        "were measured."
    )


def test_without_images_to_validate_on_it_is_refused_in_a_sentence():
    options = tiny(derivation={"name": "validated"})
    assert Validated.problems(options.derivation, options) == []

    class Alone(methods.get("darts")):
        label = "Alone"

        @classmethod
        def streams(cls, options):
            return "single"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods._parts, "darts", Alone)
        (problem,) = Validated.problems(options.derivation, options)
    assert problem.field == "derivation"
    assert "Alone trains the weights on all images" in problem.sentence


@pytest.mark.parametrize("method", ["rsps", "enas"])
def test_without_a_mixture_it_is_refused_in_a_sentence(method):
    with pytest.raises(SpecError) as found:
        tiny(method={"name": method}, derivation={"name": "validated"})
    (problem,) = found.value.problems
    assert problem.field == "derivation"
    assert "has no mixture of operations" in problem.sentence
