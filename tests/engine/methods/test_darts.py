"""First-order DARTS: each half-step moves its own parameters, by the right step."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny


def prepared(**changes):
    search = compose(tiny(**changes))
    ids = search.initial_sets
    return search, search.data.batch(ids["T"][:20]), search.data.batch(ids["V"][:20])


def test_a_weight_step_moves_weights_and_not_alpha():
    search, train, _ = prepared()
    before = {n: p.clone() for n, p in search.supernet.named_parameters()}
    alpha = search.method.alpha()["cell"].clone()
    search.method.start_epoch(1)
    search.method.weight_step(train)
    assert torch.equal(search.method.alpha()["cell"], alpha)
    moved = [n for n, p in search.supernet.named_parameters() if (p != before[n]).any()]
    assert len(moved) > len(before) / 2


def test_an_architecture_step_moves_alpha_and_not_weights():
    search, _, valid = prepared()
    before = {n: p.clone() for n, p in search.supernet.named_parameters()}
    alpha = search.method.alpha()["cell"].clone()
    search.method.architecture_step(valid, ())
    assert (search.method.alpha()["cell"] != alpha).all()
    for name, parameter in search.supernet.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_the_architecture_step_is_adam_on_the_gradient_of_the_validation_loss():
    search, _, valid = prepared()
    training = search.spec.training
    reference = search.method.alpha()["cell"].clone().requires_grad_()
    adam = torch.optim.Adam(
        [reference], 0.01, (0.5, 0.999), weight_decay=training.alpha_weight_decay
    )
    for _ in range(3):
        logits = search.supernet(valid.images, {"cell": reference.softmax(-1)})
        adam.zero_grad()
        cross_entropy(logits, valid.labels).backward(inputs=[reference])
        adam.step()
        search.method.architecture_step(valid, ())
    torch.testing.assert_close(
        search.method.alpha()["cell"], reference.detach(), rtol=1e-6, atol=1e-7
    )


def test_alpha_starts_near_zero_and_is_drawn_from_its_own_stream():
    one, two = prepared()[0], prepared(space={"channels": 3})[0]
    alpha = one.method.alpha()["cell"]
    assert torch.equal(alpha, two.method.alpha()["cell"])
    assert 0 < alpha.abs().max() < 6e-3


def test_edge_weights_are_a_softmax_over_the_operations():
    search = prepared()[0]
    weights = search.method.edge_weights()["cell"]
    torch.testing.assert_close(weights.sum(-1), torch.ones(6))
    torch.testing.assert_close(weights, search.method.alpha()["cell"].softmax(-1))


def test_step_results_carry_no_graph():
    search, train, valid = prepared()
    search.method.start_epoch(1)
    for result in (
        search.method.weight_step(train),
        search.method.architecture_step(valid, ()),
    ):
        assert not result.loss.requires_grad
        assert not result.logits.requires_grad
        assert result.logits.shape == (20, 10)


@pytest.mark.slow
def test_operations_without_weights_take_over_as_darts_goes_on():
    """The known collapse, as a trend: on digits, at a depth and an alpha learning rate
    at which it comes early.  No exact cell is asked for."""
    spec = tiny(
        space={"channels": 4, "cells": 3},
        dataset={"name": "digits"},
        selection={"name": "full"},
        training={"epochs": 15, "batch_size": 32, "alpha_lr": 0.03},
    )
    reports = epochs_of(list(search(spec)))
    first, last = (
        r.magnitudes["none"]
        + r.magnitudes["skip_connect"]
        + r.magnitudes["avg_pool_3x3"]
        for r in (reports[0], reports[-1])
    )
    assert first < 0.62  # three of five, at the start
    assert last > 0.65
    assert reports[-1].parameter_free >= 3
