"""GAEA: rows of alpha on the simplex, moved by multiplication."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import EdgeTerms
from searchjobs.engine.methods.gaea import FLOOR, ExponentiatedGradient
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.spec import SearchSpec

from ..conftest import epochs_of, tiny
from ..test_resume import run_until, told


def spec_of(method="gaea", options=None, **changes):
    data = {
        "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
        "method": {"name": method, **(options or {})},
        "selection": {"name": "full"},
        "training": {"epochs": 2, "batch_size": 50},
    }
    for section, values in changes.items():
        data[section] = {**data.get(section, {}), **values}
    return tiny(**data)


def moved(start, gradient, eta):
    tensor = torch.tensor(start, dtype=torch.float64).requires_grad_()
    tensor.grad = torch.tensor(gradient, dtype=torch.float64)
    ExponentiatedGradient([tensor], eta).step()
    return tensor.detach()


def test_the_update_of_a_vector_computed_by_hand():
    """(1/2, 1/4, 1/4) with eta g = (ln 2, 0, -ln 2): (1/4, 1/4, 1/2), whose sum is 1;
    with eta g = (ln 2, 0, 0): (1/4, 1/4, 1/4), thirds."""
    start, log = [0.5, 0.25, 0.25], math.log(2) / 0.1
    found = moved(start, [log, 0, -log], 0.1)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.25, 0.5]).double())
    found = moved(start, [log, 0, 0], 0.1)
    torch.testing.assert_close(found, torch.ones(3).double() / 3)


def test_no_weight_falls_below_the_floor_and_what_is_zero_stays_zero():
    found = moved([[0.5, 0.5, 0.0]], [[1000.0, 0.0, -1000.0]], 0.1)
    expected = torch.tensor([[FLOOR, 0.5, 0.0]]).double() / (0.5 + FLOOR)
    torch.testing.assert_close(found, expected)
    assert found[0, 2] == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    scale=st.floats(0, 100),
    eta=st.floats(1e-3, 1),
    left_out=st.integers(0, 3),
    steps=st.integers(1, 5),
)
def test_rows_stay_on_the_simplex(seed, scale, eta, left_out, steps):
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(6, 5, generator=generator)
    table[:, :left_out] = 0
    table = (table / table.sum(-1, keepdim=True)).requires_grad_()
    optimiser = ExponentiatedGradient([table], eta)
    for _ in range(steps):
        table.grad = (scale * torch.randn(6, 5, generator=generator)).clamp(-80, 80)
        optimiser.step()
    torch.testing.assert_close(table.sum(-1), torch.ones(6))
    assert (table[:, left_out:] > 0).all()
    assert (table[:, :left_out] == 0).all()


def test_alpha_begins_even_over_what_the_space_allows():
    """The paper leaves none out; over all five operations it is a fifth each."""
    four = compose(spec_of()).method.alpha()["cell"]
    assert torch.equal(four, torch.tensor([0, 1, 1, 1, 1]).expand(6, 5) / 4)
    five = compose(spec_of(space={"without": []})).method.alpha()["cell"]
    torch.testing.assert_close(five, torch.full((6, 5), 0.2))


def test_the_mixture_is_alpha_itself_and_a_step_multiplies_it():
    """No softmax: the gradient is that of the loss at the mixture alpha."""
    run = compose(spec_of(space={"without": []}))
    valid = run.data.batch(run.initial_sets["V"][:30])
    alpha = run.method.alpha()["cell"].clone().requires_grad_()
    for _ in range(3):
        loss = cross_entropy(run.supernet(valid.images, {"cell": alpha}), valid.labels)
        (slope,) = torch.autograd.grad(loss, alpha)
        with torch.no_grad():
            raw = alpha * torch.exp(-0.1 * slope)
            alpha.copy_(raw / raw.sum(-1, keepdim=True))
        run.method.architecture_step(valid, ())
    found = run.method.alpha()["cell"]
    torch.testing.assert_close(found, alpha.detach())
    assert (found - 0.2).abs().max() > 1e-5
    assert torch.equal(run.method.strengths()["cell"], found)


@pytest.mark.parametrize("without", [[], ["none"]])
def test_leaving_nothing_more_out_does_not_change_a_gradient(without):
    """What a derivation takes from a row goes to the others, at the same slope."""
    run = compose(spec_of(space={"without": without}))
    table = run.method.tables["cell"]
    (slope,) = torch.autograd.grad(
        (run.method.edge_weights()["cell"] * torch.arange(5)).sum(), table
    )
    allowed = [0 if name in without else 1 for name in run.space.operations]
    expected = torch.arange(5) * torch.tensor(allowed)
    torch.testing.assert_close(slope, expected.expand(6, 5).float())


def test_a_row_that_loses_operations_gives_their_weight_to_the_others():
    run = compose(spec_of(space={"without": []}))
    allowed = torch.ones(6, 5, dtype=torch.bool)
    allowed[2] = torch.tensor([False, True, False, True, False])
    run.space.restrict("cell", allowed)
    row = run.method.strengths()["cell"][2]
    torch.testing.assert_close(row, torch.tensor([0, 0.5, 0, 0.5, 0]))


def test_an_exchange_of_learning_rates_leaves_eta_alone():
    """The weights learn at 3e-4, the rate that alpha has elsewhere."""
    for exchange in ("schedules", "values"):
        training = {"exchange": exchange, "alpha_lr": 3e-4}
        run = compose(spec_of(training=training))
        run.method.start_epoch(1)
        assert run.method.learning_rates() == {"weights": 3e-4, "architecture": 0.1}


def test_the_defaults_are_those_of_the_paper():
    spec = SearchSpec.model_validate({"method": {"name": "gaea"}})
    assert (spec.training.epochs, spec.training.schedule_epochs) == (25, 50)
    assert (spec.space.channels, spec.space.without) == (24, ("none",))
    assert spec.space.track_running_stats
    assert spec.training.weight_decay == 3e-4


def test_a_search_finds_no_operation_that_is_left_out_and_keeps_a_simplex():
    for report in epochs_of(list(search(spec_of()))):
        assert "none" not in report.genotype
        for row in report.strengths["cell"]:
            assert row[0] == 0
            assert sum(row) == pytest.approx(1, abs=1e-5)
        assert report.learning_rates["architecture"] == 0.1


# -- GAEA PC-DARTS --------------------------------------------------------------------

PC = {"partial": 4, "edge_weights": True}


def test_edges_that_enter_one_node_sum_to_one_and_learn_by_the_same_rule():
    run = compose(spec_of(options=PC))
    valid = run.data.batch(run.initial_sets["V"][:30])
    start = torch.tensor([1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3])
    torch.testing.assert_close(run.method.edge_terms().scale["cell"].detach(), start)
    scale = start.clone().requires_grad_()
    weights, active = run.method.edge_weights(), run.space.active()
    terms = EdgeTerms(scale={"cell": scale})
    logits = run.supernet(valid.images, weights, active, terms)
    (slope,) = torch.autograd.grad(cross_entropy(logits, valid.labels), scale)
    raw = start * torch.exp(-0.1 * slope)
    sums = torch.stack([raw[:1].sum(), raw[1:3].sum(), raw[3:].sum()])
    run.method.architecture_step(valid, ())
    found = run.method.edge_terms().scale["cell"].detach()
    torch.testing.assert_close(found, raw / sums[[0, 1, 1, 2, 2, 2]])
    assert run.method.report().edges["cell"] == found.tolist()


def test_weights_of_edges_resume_bit_identically(tmp_path):
    spec = spec_of(options=PC, training={"epochs": 3, "batch_size": 50})
    first = run_until(spec, tmp_path, 1)
    rest = list(search(spec, tmp_path, resume=True))
    assert told(first) + told(rest) == told(list(search(spec)))


def test_channels_that_cannot_be_parted_are_refused_in_a_sentence():
    with pytest.raises(SpecError, match="4 channels cannot be parted in 3 equal"):
        spec_of(options={"partial": 3})


# -- empirical risk minimisation ------------------------------------------------------


def test_both_levels_see_every_image_in_an_order_of_their_own():
    run = compose(spec_of("gaea-erm"))
    ids = {name: sorted(found.tolist()) for name, found in run.initial_sets.items()}
    assert ids["T"] == ids["V"] == list(range(200))
    orders = {
        name: run.selection.epoch_ids(name, run.streams[f"order/{name}"]).tolist()
        for name in ("T", "V")
    }
    assert orders["T"] != orders["V"]


def test_an_epoch_on_all_images_costs_twice_that_of_halves():
    whole, halves = plan(spec_of("gaea-erm")), plan(spec_of())
    assert whole.sizes == {"T": 200, "V": 200}
    assert whole.cost_units == 2 * halves.cost_units
    assert whole.architecture_steps == [4, 4]
