"""Beta-DARTS: the gradient of its regulariser is a softmax, its weight a line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from searchjobs.engine.methods.beta_darts import (
    BetaDartsOptions,
    beta_loss,
    decay_weight,
)

from .prepared import prepared


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 30))
def test_the_gradient_of_the_loss_is_softmax_over_the_number_of_edges(seed, size):
    generator = torch.Generator().manual_seed(seed)
    tables = {
        "normal": size * torch.randn(4, 5, generator=generator, dtype=torch.float64),
        "reduce": size * torch.randn(2, 7, generator=generator, dtype=torch.float64),
    }
    leaves = [table.requires_grad_() for table in tables.values()]
    found = torch.autograd.grad(49.5 * beta_loss(tables), leaves)
    for leaf, gradient in zip(leaves, found, strict=True):
        torch.testing.assert_close(
            gradient, 49.5 / 6 * leaf.softmax(-1), rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("without", [(), ("none", "avg_pool_3x3")])
def test_alpha_descends_the_validation_loss_and_the_regulariser(without):
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1, "without": without}
    settings = {"space": space, "training": {"epochs": 100}}
    search, _, valid = prepared("beta-darts", **settings)
    plain = prepared("darts", **settings)[0]
    _, (of_loss,) = plain.method.alpha_half(valid)
    _, (in_the_first,) = search.method.alpha_half(valid)
    torch.testing.assert_close(in_the_first, of_loss, rtol=0, atol=0)
    search.method.start_epoch(31)
    _, (found,) = search.method.alpha_half(valid)
    share = search.method.relaxation(search.method.alpha())["cell"]
    torch.testing.assert_close(found, of_loss + 15.0 / 6 * share)


def test_lambda_rises_by_one_half_an_epoch_from_zero():
    options = BetaDartsOptions()
    assert [decay_weight(options, epoch, 100) for epoch in (1, 2, 100)] == [
        0,
        0.5,
        49.5,
    ]
    assert decay_weight(options, 50, 50) == 24.5, "the same slope in a short search"


def test_a_final_lambda_is_reached_whatever_the_number_of_epochs():
    options = BetaDartsOptions(lambda_max=50)
    for epoch in (1, 37, 100):
        assert decay_weight(options, epoch, 100) == decay_weight(
            BetaDartsOptions(), epoch, 100
        )
    assert decay_weight(options, 26, 50) == 25.0


def test_lambda_is_told():
    search = prepared("beta-darts")[0]
    search.method.start_epoch(3)
    assert search.method.report().scalars == {"lambda": 1.0}
