"""Second-order DARTS: its gradient is that of the loss after an unrolled step."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.methods.darts_2nd import mixed_product, step_ahead

from ..conftest import epochs_of, tiny
from .prepared import assert_unchanged, prepared, state_of

TRACKED = {"name": "nas-bench-201", "channels": 2, "cells": 1}
TRACKED |= {"track_running_stats": True}


# -- the quadratic toy: L_train = (w - a)^2, L_val = (w - 1)^2 ------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_finite_difference_is_the_mixed_derivative_of_the_toy(dtype):
    a, w, rate = 0.3, torch.tensor([0.7], dtype=dtype), 0.1
    ahead = step_ahead(w, 2 * (w - a), None, rate, 0.9, 0.0)
    direction = 2 * (ahead - 1)
    product = mixed_product(lambda: [-2 * (w - a)], [w], [direction], 0.01)
    assert product[0].item() == pytest.approx(-2 * direction.item(), abs=1e-4)
    # w' = w - 2 rate (w - a), so dL_val / da = 2 (w' - 1) 2 rate
    assert (-rate * product[0]).item() == pytest.approx(
        2 * (ahead.item() - 1) * 2 * rate, abs=1e-4
    )


def test_the_weights_move_by_epsilon_in_all_to_both_sides_and_come_back():
    weights = [torch.randn(3, 2), torch.randn(4)]
    before = [weight.clone() for weight in weights]
    direction = [torch.randn(3, 2), torch.randn(4)]
    seen = []

    def gradient():
        moves = [w - b for w, b in zip(weights, before, strict=True)]
        seen.append(torch.cat([move.flatten() for move in moves]))
        return [torch.zeros(2)]

    mixed_product(gradient, weights, direction, 0.01)
    along = torch.cat([part.flatten() for part in direction])
    up, down = seen
    assert up.norm().item() == pytest.approx(0.01, rel=1e-4)
    torch.testing.assert_close(up, 0.01 * along / along.norm(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(down, -up, rtol=1e-3, atol=1e-6)
    for weight, origin in zip(weights, before, strict=True):
        assert torch.equal(weight, origin)


def test_a_direction_of_nothing_has_a_product_of_nothing():
    w = torch.ones(2)
    assert mixed_product(lambda: [3 * w], [w], [torch.zeros(2)], 0.01)[0].eq(0).all()


def test_the_step_ahead_is_that_of_sgd_with_classical_momentum():
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([weight], lr=0.02, momentum=0.9, weight_decay=5e-4)
    slopes = torch.randn(3, 5, dtype=torch.float64)
    for slope in slopes:
        velocity = sgd.state[weight].get("momentum_buffer")
        ours = step_ahead(
            weight.detach().clone(),
            slope,
            None if velocity is None else velocity.clone(),
            0.02,
            0.9,
            5e-4,
        )
        weight.grad = slope.clone()
        sgd.step()
        torch.testing.assert_close(ours, weight.detach(), rtol=1e-14, atol=1e-15)


# -- the supernet ---------------------------------------------------------------------


def unrolled_gradient(search, train, valid):
    """Differentiate L_val(w'(alpha), alpha) by autograd through the step itself."""
    method, training = search.method, search.spec.training
    names = [name for name, _ in search.supernet.named_parameters()]
    weights = dict(search.supernet.named_parameters())
    alpha = method.alpha()["cell"].clone().requires_grad_()
    active = search.space.active()

    def loss(parameters, batch):
        mixture = method.relaxation({"cell": alpha})
        logits = functional_call(
            search.supernet, parameters, (batch.images, mixture, active)
        )
        return cross_entropy(logits, batch.labels)

    with batch_statistics(search.supernet):
        slopes = torch.autograd.grad(
            loss(weights, train),
            list(weights.values()),
            create_graph=True,
            allow_unused=True,
        )
        state = method.weights.optimiser.state
        ahead = {}
        for name, slope in zip(names, slopes, strict=True):
            weight = weights[name]
            if slope is None:
                ahead[name] = weight
                continue
            velocity = state.get(weight, {}).get("momentum_buffer", 0.0)
            ahead[name] = weight - method.weights.learning_rate * (
                training.momentum * velocity + slope + training.weight_decay * weight
            )
        return torch.autograd.grad(loss(ahead, valid), alpha)[0]


@pytest.mark.parametrize("without", [(), ("nor_conv_1x1",)])
@pytest.mark.parametrize("product", ["difference", "exact"])
def test_the_gradient_is_that_of_autograd_through_the_unrolled_step(without, product):
    """With momentum from two steps, and batches of different size."""
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1, "without": without}
    search, train, valid = prepared(
        "darts-2nd",
        method={"epsilon": 1e-6, "product": product},
        space=space,
        training={"weight_lr": 0.5, "clip": 0.0},
    )
    for _ in range(2):
        search.method.weight_step(train)
    expected = unrolled_gradient(search, train, valid)
    _, (found,) = search.method.hypergradient(valid, train)
    _, (first_order,) = search.method.alpha_half(valid)
    assert (first_order - expected).norm() > 0.1 * expected.norm(), "xi does something"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_the_difference_of_the_paper_finds_it_once_the_supernet_is_trained():
    """At the first step, with few ReLUs far from their kink, it is far off."""
    search, train, valid = prepared("darts-2nd", train=64, valid=64)
    assert search.method.options.epsilon == 0.01

    def error():
        expected = unrolled_gradient(search, train, valid)
        _, (found,) = search.method.hypergradient(valid, train)
        return ((found - expected).norm() / expected.norm()).item()

    at_first = error()
    for _ in range(60):
        search.method.weight_step(train)
    assert error() < 0.2 < at_first


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("product", ["difference", "exact"])
def test_an_architecture_step_leaves_weights_statistics_and_momentum(steps, product):
    search, train, valid = prepared(
        "darts-2nd",
        method={"product": product},
        space=TRACKED,
        compute={"precision": "single"},
    )
    for _ in range(steps):
        search.method.weight_step(train)
    before, alpha = state_of(search), search.method.alpha()["cell"].clone()
    result = search.method.architecture_step(valid, [train])
    assert_unchanged(search, before)
    assert (search.method.alpha()["cell"] != alpha).all()
    assert result.logits.shape == (13, 10)


def test_it_prunes_with_bdp_where_t_and_v_end_in_different_sizes():
    from searchjobs.engine.search import search

    selection = {"name": "bdp", "window": 2, "prune_train": 0.3, "prune_valid": 0.1}
    spec = tiny(
        method={"name": "darts-2nd"},
        selection=selection | {"class_limit": False},
        training={"epochs": 2, "batch_size": 30},
    )
    sets = epochs_of(list(search(spec)))[-1].sets
    assert sets["T"].remaining < sets["V"].remaining < 100


def test_alpha_goes_first_unless_one_says_otherwise():
    from searchjobs.engine.validation import validate

    assert validate({"method": {"name": "darts-2nd"}}).training.order == (
        "architecture-first"
    )
