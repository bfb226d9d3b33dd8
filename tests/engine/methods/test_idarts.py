"""iDARTS: the hypergradient of trained weights, by a truncated Neumann series."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.contracts import methods
from searchjobs.engine.curvature import Curvature
from searchjobs.engine.methods.idarts import neumann_sum
from searchjobs.engine.plan import plan
from searchjobs.engine.validation import validate

from .prepared import assert_unchanged, prepared, state_of


def quadratic():
    """L_train = (w - B a)' A (w - B a) / 2 and L_val = |w - c|^2 / 2, at w* = B a.

    Returns A, B and grad_w L_val; dw* / da is B, so the gradient is B' times that.
    """
    generator = torch.Generator().manual_seed(5)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root, to_w, a, c = numbers(6, 6), numbers(6, 3), numbers(3), numbers(6)
    return root @ root.T / 6 + 0.3 * torch.eye(6), to_w, to_w @ a - c


def hypergradient(gamma, terms):
    hessian, to_w, slope = quadratic()
    (series,) = neumann_sum([slope], lambda v: [hessian @ v[0]], gamma, terms)
    return -gamma * (-(hessian @ to_w)).T @ series  # d2 L_train / da dw = -(A B)'


def test_many_terms_give_the_hypergradient_of_the_quadratic_problem():
    _, to_w, slope = quadratic()
    found = hypergradient(0.3, 400)
    torch.testing.assert_close(found, to_w.T @ slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("terms", [0, 1, 2, 7])
def test_k_terms_miss_it_by_the_power_k_plus_one(terms):
    """1 - (1 - gamma A)^(K + 1) is what K + 1 terms of the series add up to."""
    hessian, to_w, slope = quadratic()
    left = torch.linalg.matrix_power(
        torch.eye(6, dtype=torch.float64) - 0.3 * hessian, terms + 1
    )
    expected = to_w.T @ (slope - left @ slope)
    torch.testing.assert_close(
        hypergradient(0.3, terms), expected, rtol=1e-10, atol=1e-10
    )


# -- the supernet ---------------------------------------------------------------------


def gradient_of(search, batch, of):
    logits = search.supernet(batch.images, search.method.edge_weights())
    return torch.autograd.grad(cross_entropy(logits, batch.labels), of)


def by_differences(search, batch, direction, of):
    """Return d grad / dw along a direction, by moving the weights very little."""
    weights = search.method.weights.parameters
    step = 1e-7 / torch.cat([part.flatten() for part in direction]).norm()
    before = [weight.detach().clone() for weight in weights]
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, origin, part in zip(weights, before, direction, strict=True):
                weight.copy_(origin + sign * step * part)
        sides.append(gradient_of(search, batch, of))
    with torch.no_grad():
        for weight, origin in zip(weights, before, strict=True):
            weight.copy_(origin)
    return [(up - down) / (2 * step) for up, down in zip(*sides, strict=True)]


def test_hessian_and_mixed_products_are_those_of_finite_differences():
    search, train, _ = prepared("idarts")
    weights = search.method.weights.parameters
    direction = [torch.randn_like(weight) for weight in weights]
    for of in (weights, search.method.alpha_leaves()):
        curvature = Curvature(search.method.alpha_loss, weights, search, train)
        found = torch.cat([p.flatten() for p in curvature.times(direction, of)])
        expected = torch.cat(
            [part.flatten() for part in by_differences(search, train, direction, of)]
        )
        assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("terms", [0, 2])
def test_the_gradient_is_the_direct_one_less_that_by_way_of_the_weights(terms):
    search, train, valid = prepared("idarts", method={"terms": terms, "gamma": 0.005})
    weights = search.method.weights.parameters
    (alpha,) = leaves = search.method.alpha_leaves()
    *slopes, direct = gradient_of(search, valid, [*weights, alpha])
    series = neumann_sum(
        slopes, lambda v: by_differences(search, train, v, weights), 0.005, terms
    )
    (mixed,) = by_differences(search, train, series, leaves)
    _, (found,) = search.method.hypergradient(valid, train)
    expected = direct - 0.005 * mixed
    assert (0.005 * mixed).norm() > 0.01 * direct.norm(), "the second term counts"
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 3])
def test_gamma_is_the_rate_of_the_weight_steps_unless_it_is_given(scale):
    """Scaled or not: K terms are K + 1 of these steps unrolled."""
    steps = sum(plan(prepared("idarts")[0].spec).weight_steps)
    training = {"weight_lr_steps": scale * steps}
    search, train, valid = prepared("idarts", training=training)
    own = search.method.hypergradient(valid, train)[1][0]
    rate = search.method.learning_rates()["weights"]
    assert rate == pytest.approx(scale * 0.01)
    same = prepared("idarts", method={"gamma": rate}, training=training)[0]
    torch.testing.assert_close(same.method.hypergradient(valid, train)[1][0], own)


def test_an_architecture_step_leaves_weights_statistics_and_momentum():
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1}
    search, train, valid = prepared(
        "idarts",
        space=space | {"track_running_stats": True},
        compute={"precision": "single"},
    )
    search.method.weight_step(train)
    before, alpha = state_of(search), search.method.alpha()["cell"].clone()
    search.method.architecture_step(valid, [train])
    assert_unchanged(search, before)
    assert (search.method.alpha()["cell"] != alpha).all()


def test_by_default_four_weight_steps_come_before_an_architecture_step():
    spec = validate({"method": {"name": "idarts"}, "training": {"epochs": 1}})
    assert spec.training.order == "weights-first"
    planned = plan(spec)
    assert planned.architecture_steps[0] == -(-planned.weight_steps[0] // 4)


def test_each_term_costs_a_double_backward():
    part = methods.get("idarts")
    costs = [
        part.step_cost(part.Options(terms=terms))["architecture"] for terms in (0, 1, 2)
    ]
    assert costs == [12.0, 18.0, 24.0]
