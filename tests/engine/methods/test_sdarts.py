"""SDARTS: weights are trained under perturbed edge weights; alpha sees none of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from searchjobs.engine.contracts import methods
from searchjobs.engine.methods.sdarts import (
    SdartsOptions,
    onto_simplex,
    perturbation_size,
    step_in_box,
)
from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeding import Streams
from searchjobs.engine.validation import validate

from .prepared import prepared

SPACE = {"name": "nas-bench-201", "channels": 2, "cells": 1}
ADVERSARIAL = {"perturbation": "adversarial", "epsilon": 0.3, "epsilon_start": 0.3}


def drawn(seed, low=-1.0, high=2.0):
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(6, 5, generator=generator, dtype=torch.float64)
    return low + (high - low) * table


# -- the bounds -----------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(-2, 0.5), st.floats(0.6, 3))
def test_rows_are_put_on_the_simplex_in_proportion(seed, low, high):
    table = drawn(seed, low, high)
    found = onto_simplex(table)
    torch.testing.assert_close(found.sum(-1), torch.ones(6, dtype=torch.float64))
    assert found.ge(0).all()
    kept = table.clamp(0, 1)
    alive = kept.sum(-1) > 0
    ratios = found[alive] * kept[alive].sum(-1, keepdim=True)
    torch.testing.assert_close(ratios, kept[alive])


def test_a_row_that_vanishes_keeps_what_was_greatest():
    table = torch.tensor([[-0.3, -0.1, -0.2], [0.0, 0.0, 0.0], [2.0, -1.0, 0.5]])
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [2 / 3, 0.0, 1 / 3]])
    torch.testing.assert_close(onto_simplex(table), expected)


def test_a_row_on_the_simplex_stays_there():
    rows = drawn(3).softmax(-1)
    torch.testing.assert_close(onto_simplex(rows), rows, rtol=1e-15, atol=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 2))
def test_an_ascent_step_stays_in_the_box(seed, epsilon, size):
    now, slope, centre = drawn(seed), drawn(seed + 1), drawn(seed + 2)
    found = step_in_box(now, slope, centre, size, epsilon)
    assert (found - centre).abs().max() <= epsilon + 1e-12
    free = step_in_box(now, slope, now, size, 3.0)
    torch.testing.assert_close(free, now + size * slope.sign())


def test_the_perturbation_grows_in_a_line_from_0_03_to_0_3():
    options = SdartsOptions()
    values = [perturbation_size(options, epoch, 100) for epoch in range(1, 102)]
    assert values == pytest.approx([0.03 + 0.27 * epoch / 100 for epoch in range(101)])


# -- random ---------------------------------------------------------------------------


@pytest.mark.parametrize("without", [(), ("none",)])
def test_a_random_perturbation_is_uniform_noise_put_on_the_simplex(without):
    search, train, _ = prepared("sdarts", space=SPACE | {"without": without})
    search.method.epsilon = 0.3
    search.method.perturb(train)
    share = search.method.relaxation(search.method.alpha())["cell"]
    noise = torch.empty_like(share)
    noise.uniform_(generator=Streams(search.spec.seed).on_device("perturbation"))
    moved = share + 0.3 * (2 * noise - 1)
    if without:
        moved[:, 0] = 0
    found = search.method.perturbed["cell"].detach()
    torch.testing.assert_close(found, onto_simplex(moved))
    assert (found - share).abs().max() > 0.1


@pytest.mark.parametrize("perturbation", ["random", "adversarial"])
def test_a_row_that_vanishes_never_goes_to_an_operation_left_out(perturbation):
    left_out = ("none", "nor_conv_1x1")
    options = {"perturbation": perturbation, "epsilon": 1.0, "epsilon_start": 1.0}
    search, train, _ = prepared(
        "sdarts", space=SPACE | {"without": left_out}, method=options
    )
    for _ in range(20):
        search.method.perturb(train)
        perturbed = search.method.perturbed["cell"].detach()
        assert perturbed[:, [0, 2]].eq(0).all()
        torch.testing.assert_close(perturbed.sum(-1), perturbed.new_ones(6))


@pytest.mark.parametrize("perturbation", ["random", "adversarial"])
def test_the_weights_descend_the_loss_at_the_perturbed_edge_weights(perturbation):
    search, train, _ = prepared("sdarts", method={"perturbation": perturbation})
    alpha = search.method.alpha()["cell"].clone()
    result = search.method.weight_step(train)
    assert torch.equal(search.method.alpha()["cell"], alpha)
    perturbed = {"cell": search.method.perturbed["cell"].detach().clone()}
    same = prepared("sdarts")[0]
    logits = same.supernet(train.images, perturbed)
    loss = cross_entropy(logits, train.labels)
    torch.testing.assert_close(result.loss, loss.detach())
    gradients = torch.autograd.grad(
        loss, same.method.weights.parameters, allow_unused=True
    )
    same.method.weights.step(gradients)
    for ours, theirs in zip(
        search.method.weights.parameters, same.method.weights.parameters, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_alpha_descends_the_loss_at_the_exact_edge_weights():
    search, train, valid = prepared("sdarts")
    plain = prepared("darts")[0]
    search.method.perturb(train)
    for run in (search, plain):
        run.method.architecture_step(valid, ())
    assert torch.equal(search.method.alpha()["cell"], plain.method.alpha()["cell"])


# -- adversarial ----------------------------------------------------------------------


def attacked(search, train):
    """Follow the sign of the gradient in plain steps, as published."""
    method, network = search.method, search.supernet
    epsilon, share = 0.3, method.alpha()["cell"].softmax(-1)

    def loss(table):
        return cross_entropy(network(train.images, {"cell": table}), train.labels)

    def kept(table):
        table = table.clamp(0, 1)
        return table / table.sum(-1, keepdim=True)

    network.eval()
    noise = torch.empty_like(share)
    noise.uniform_(generator=Streams(search.spec.seed).on_device("perturbation"))
    now = kept(share + epsilon * (2 * noise - 1))
    for _ in range(7):
        now = now.detach().requires_grad_()
        slope = torch.autograd.grad(loss(now), now)[0]
        moved = now.detach() + 2 * epsilon / 7 * slope.sign()
        now = kept(share + (moved - share).clamp(-epsilon, epsilon))
    before, after = loss(share), loss(now)
    network.train()
    return now, before.item(), after.item()


@pytest.mark.parametrize("tracked", [False, True])
def test_an_attack_is_projected_ascent_from_a_random_start(tracked):
    search, train, _ = prepared(
        "sdarts", method=ADVERSARIAL, space=SPACE | {"track_running_stats": tracked}
    )
    expected, before, after = attacked(search, train)
    assert after > before
    state = {name: t.clone() for name, t in search.supernet.state_dict().items()}
    search.method.perturb(train)
    torch.testing.assert_close(search.method.perturbed["cell"].detach(), expected)
    assert search.supernet.training
    for name, tensor in search.supernet.state_dict().items():
        assert torch.equal(tensor, state[name]), "measured in evaluation mode"


def test_an_attack_that_fails_leaves_the_edge_weights_as_they_are():
    """Made to descend, it lowers the loss that it should raise."""
    search, train, _ = prepared("sdarts", method=ADVERSARIAL)
    ascend = search.method.attack_half

    def descend(batch):
        result, (slope,) = ascend(batch)
        return result, (-slope,)

    search.method.attack_half = descend
    search.method.perturb(train)
    share = search.method.alpha()["cell"].softmax(-1)
    assert torch.equal(search.method.perturbed["cell"].detach(), share)


def test_an_attack_costs_its_steps_and_two_forwards():
    part = methods.get("sdarts")
    assert part.step_cost(SdartsOptions())["weights"] == 3.0
    adversarial = SdartsOptions(perturbation="adversarial")
    assert part.step_cost(adversarial)["weights"] == 3.0 + 7 * 3.0 + 2.0


def test_a_perturbation_that_shrinks_is_refused():
    method = {"name": "sdarts", "epsilon_start": 0.4}
    with pytest.raises(SpecError, match=r"would shrink from 0\.4 to 0\.3"):
        validate({"method": method})
