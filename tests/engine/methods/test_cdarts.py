"""CDARTS: one stem, two networks, the joint loss and its coefficient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, smooth_l1_loss

from searchjobs.engine import checkpoint
from searchjobs.engine.compose import compose
from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.methods.cdarts import CdartsOptions, none_coefficient
from searchjobs.engine.plan import plan
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny
from ..test_resume import run_until

FULL = {"name": "full"}
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


def prepared(without=(), **method):
    run = compose(
        tiny(
            method={"name": "cdarts", **method},
            selection=FULL,
            space={
                "name": "nas-bench-201",
                "channels": 2,
                "cells": 1,
                "without": list(without),
            },
        )
    )
    ids = run.initial_sets
    return run, run.data.batch(ids["T"][:20]), run.data.batch(ids["V"][:20])


def towards(run, architecture=CELL):
    """Let alpha prefer an architecture, and begin an epoch."""
    with torch.no_grad():
        run.method.tables["cell"] += run.space.discrete_weights(architecture)["cell"]
    run.method.start_epoch(1)


def values(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def moved(network, before):
    return {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}


# -- two networks ---------------------------------------------------------------------


def test_the_stem_is_one_tensor_and_nothing_else_is_shared():
    run, _, _ = prepared()
    ours = {id(p): n for n, p in run.supernet.named_parameters()}
    theirs = {id(p): n for n, p in run.method.evaluation.named_parameters()}
    shared = {ours[key] for key in ours.keys() & theirs.keys()}
    assert shared == {n for n, _ in run.supernet.named_parameters() if "stem" in n}
    assert not torch.equal(
        run.supernet.head.classifier.weight,
        run.method.evaluation.head.classifier.weight,
    )


def test_the_evaluation_network_is_that_of_the_arg_max_when_the_epoch_began():
    run, _, valid = prepared()
    towards(run)
    method = run.method
    assert method.evaluated == CELL
    with torch.no_grad(), batch_statistics(method.evaluation):
        found = method.evaluation(valid.images, method._chosen, method._runs)
        whole = method.evaluation(valid.images, run.space.discrete_weights(CELL))
    torch.testing.assert_close(found, whole)
    with torch.no_grad():
        method.tables["cell"][0, 1] += 9.0
    assert method.evaluated == CELL, "not before the next epoch"
    method.start_epoch(2)
    assert method.evaluated.startswith("|skip_connect~0|")


def test_a_step_on_v_moves_alpha_and_what_the_evaluation_network_runs():
    run, _, valid = prepared()
    towards(run)
    method, evaluation = run.method, run.method.evaluation
    alpha = method.alpha()["cell"].clone()
    ours, theirs = values(run.supernet), values(evaluation)
    method.architecture_step(valid, ())
    assert (method.alpha()["cell"] != alpha).all()
    stem = {name for name in ours if name.startswith("stem")}
    assert moved(run.supernet, ours) == stem
    changed = moved(evaluation, theirs) - stem
    cells = {name for name in changed if "nor_conv" in name}
    runs = ("nor_conv_3x3.0.", "nor_conv_1x1.2.", "nor_conv_3x3.5.")
    assert len(cells) == 9  # three convolutions in each of three cells
    assert all(any(edge in name for edge in runs) for name in cells)
    assert "head.classifier.weight" in changed


def test_a_step_on_t_moves_the_supernet_alone():
    run, train, _ = prepared()
    towards(run)
    alpha, theirs = run.method.alpha()["cell"].clone(), values(run.method.evaluation)
    before = values(run.supernet)
    run.method.weight_step(train)
    assert torch.equal(run.method.alpha()["cell"], alpha)
    assert all(name.startswith("stem") for name in moved(run.method.evaluation, theirs))
    assert len(moved(run.supernet, before)) > len(before) / 2


# -- the joint loss -------------------------------------------------------------------


def test_the_loss_is_the_sum_of_its_four_terms():
    run, _, valid = prepared()
    towards(run)
    method = run.method
    alpha = method.alpha()["cell"].clone().requires_grad_()
    logits = run.supernet(valid.images, {"cell": alpha.softmax(-1)})
    evaluated = method.evaluation(valid.images, run.space.discrete_weights(CELL))
    expected = (
        cross_entropy(logits, valid.labels)
        + cross_entropy(evaluated, valid.labels)
        + 4 * smooth_l1_loss(logits, evaluated)
        + 5 * alpha[:, 0].abs().mean()
    )
    (by_alpha,) = torch.autograd.grad(expected, alpha)
    result, gradients = method.joint_half(valid)
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(result.logits, logits.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[0], by_alpha, rtol=1e-4, atol=1e-6)


def test_without_none_there_is_nothing_to_penalise():
    run, _, valid = prepared(without=["none"], none_weight=1000.0)
    towards(run, CELL.replace("none", "avg_pool_3x3"))
    free, _, _ = prepared(without=["none"], none_weight=0.0)
    towards(free, CELL.replace("none", "avg_pool_3x3"))
    one, two = run.method.alpha_loss(valid)[0], free.method.alpha_loss(valid)[0]
    assert one.item() == two.item()


def test_the_coefficient_of_none_falls_evenly_to_zero_at_two_thirds():
    options = CdartsOptions()
    found = [none_coefficient(options, epoch, 30, 0) for epoch in (1, 11, 21, 30)]
    assert found == pytest.approx([5.0, 2.5, 0.0, 0.0])
    # of the epochs that train alpha
    found = [none_coefficient(options, epoch, 33, 3) for epoch in (1, 4, 14, 24, 33)]
    assert found == pytest.approx([5.0, 5.0, 2.5, 0.0, 0.0])


# -- the search -----------------------------------------------------------------------


def test_both_networks_count_in_the_cost():
    spec = tiny(method={"name": "cdarts"}, selection=FULL, training={"epochs": 2})
    assert plan(spec).cost_units == 2 * (3 * 100 + 6 * 100)


def test_the_evaluation_network_is_saved_and_goes_on_bit_identically(tmp_path):
    spec = tiny(method={"name": "cdarts"}, selection=FULL, training={"epochs": 3})
    reports = epochs_of(list(search(spec, tmp_path / "whole")))
    curve = [report.method.scalars["weight of none"] for report in reports]
    assert curve == pytest.approx([5.0, 2.5, 0.0])
    run_until(spec, tmp_path / "broken", 1)
    list(search(spec, tmp_path / "broken", resume=True))
    one, two = (
        checkpoint.load_newest(tmp_path / folder)["method"]
        for folder in ("whole", "broken")
    )
    assert one["evaluated"] == two["evaluated"]
    for name, tensor in one["evaluation"].items():
        assert torch.equal(tensor, two["evaluation"][name]), name
