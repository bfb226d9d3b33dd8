"""DSNAS: the score-function gradient, exactly, and only what was drawn is run."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from searchjobs.engine.compose import compose
from searchjobs.engine.methods.dsnas import scored
from searchjobs.engine.search import search
from searchjobs.engine.spaces.nas_bench_201.cell import EdgeConvolution

from ..conftest import epochs_of, tiny
from ..spaces.plain_supernet import PlainSupernet, copy_weights
from .paths import live_rows, wanted

FULL = {"name": "full"}


def prepared(**method):
    run = compose(tiny(method={"name": "dsnas", **method}, selection=FULL))
    return run, run.data.batch(run.initial_sets["T"][:20])


# -- a toy ----------------------------------------------------------------------------


def test_over_all_draws_the_estimate_is_the_gradient_of_the_expected_loss():
    """A loss that is linear in Z, of two edges with three operations: every draw can
    be listed, and E[R grad log p] is exact."""
    alpha = torch.tensor([[0.3, -1.0, 0.5], [0.0, 2.0, -0.4]]).double()
    costs = torch.tensor([[1.0, -2.0, 0.7], [0.2, 0.9, -1.5]]).double()
    alpha.requires_grad_()
    expected_loss = (alpha.softmax(-1) * costs).sum()
    (exact,) = torch.autograd.grad(expected_loss, alpha)
    mean = torch.zeros_like(alpha)
    for drawn in itertools.product(range(3), repeat=2):
        chosen = torch.tensor(drawn)
        loss = (scored(alpha, chosen) * costs).sum()
        (estimate,) = torch.autograd.grad(loss, alpha)
        p = alpha.softmax(-1).gather(1, chosen[:, None]).prod()
        mean += p.detach() * estimate
    torch.testing.assert_close(mean, exact)


def test_a_draw_is_one_hot_to_the_last_bit():
    alpha = torch.randn(200, 5, generator=torch.Generator().manual_seed(1)) * 30
    chosen = torch.arange(200) % 5
    assert torch.equal(scored(alpha, chosen), one_hot(chosen, 5).float())


# -- the supernet ---------------------------------------------------------------------


def test_alpha_gets_the_reward_of_the_drawn_entry_times_the_score():
    """R from the textbook supernet, which runs every operation."""
    run, batch = prepared()
    method = run.method
    plain = PlainSupernet(run.classes, channels=2, cells=1)
    copy_weights(run.supernet, plain)
    result, gradients = method.joint_half(batch)
    hot = one_hot(method.drawn["cell"], 5).float().requires_grad_()
    loss = cross_entropy(plain(batch.images, hot), batch.labels)
    (by_entry,) = torch.autograd.grad(loss, hot)
    reward = (by_entry * hot.detach()).sum(-1, keepdim=True)
    score = hot.detach() - method.alpha()["cell"].softmax(-1)
    assert result.loss.item() == pytest.approx(loss.item(), abs=1e-6)
    assert reward.abs().max() > 0
    torch.testing.assert_close(gradients[0], reward * score, rtol=1e-4, atol=1e-7)


def test_only_the_drawn_operations_run():
    run, batch = prepared()
    ran = []
    for module in run.supernet.modules():
        if isinstance(module, EdgeConvolution):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    for _ in range(5):
        ran.clear()
        run.method.weight_step(batch)
        drawn = run.method.drawn["cell"].tolist()
        assert len(ran) == sum(wanted(drawn).values())
        by_row = run.supernet.body[0].nor_conv_3x3
        assert {row for row in range(6) if by_row[row] in ran} == {
            row for row in live_rows(drawn) if drawn[row] == 3
        }


def test_draws_follow_the_probabilities_of_alpha():
    run, _ = prepared()
    wanted = torch.tensor([0.5, 0.3, 0.2, 1e-9, 1e-9]).log()
    with torch.no_grad():
        run.method.tables["cell"].copy_(wanted.expand(6, 5))
    counts = torch.zeros(5)
    for _ in range(400):
        counts += run.method.edge_weights()["cell"].detach().sum(0)
    share = (counts / 2400).tolist()
    assert share == pytest.approx([0.5, 0.3, 0.2, 0, 0], abs=0.05)


def test_an_operation_that_the_space_leaves_out_is_never_drawn():
    spec = tiny(
        method={"name": "dsnas"},
        selection=FULL,
        space={"name": "nas-bench-201", "channels": 2, "cells": 1, "without": ["none"]},
    )
    run = compose(spec)
    for _ in range(50):
        run.method.edge_weights()
        assert (run.method.drawn["cell"] != 0).all()


# -- early decisions ------------------------------------------------------------------


def test_an_edge_with_a_clear_lead_is_decided_and_the_others_go_on():
    run, batch = prepared(decide_margin=0.3)
    with torch.no_grad():
        run.method.tables["cell"][4, 3] += 2.0
    list(run.method.after_epoch(1))
    assert run.method.report().decided["cell"] == [None] * 4 + ["nor_conv_3x3", None]
    before = run.method.alpha()["cell"].clone()
    for _ in range(4):
        run.method.weight_step(batch)
        assert run.method.drawn["cell"][4] == 3
    after = run.method.alpha()["cell"]
    assert torch.equal(after[4], before[4])
    assert not torch.equal(after, before)


def test_by_default_nothing_is_decided_early():
    spec = tiny(method={"name": "dsnas"}, selection=FULL, training={"epochs": 2})
    last = epochs_of(list(search(spec)))[-1]
    assert last.method.decided["cell"] == [None] * 6
