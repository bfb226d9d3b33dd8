"""SNAS: the temperature, the gradient of both levels at once, and the resources."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.methods.snas import SnasOptions, operation_costs
from searchjobs.engine.problems import SpecError
from searchjobs.engine.sampling import gumbel
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny
from ..spaces.plain_supernet import PlainSupernet, copy_weights, counterparts

FULL = {"name": "full"}


def prepared(training=None, **method):
    run = compose(
        tiny(method={"name": "snas", **method}, selection=FULL, training=training or {})
    )
    return run, run.data.batch(run.initial_sets["T"][:20])


def noise_of(run):
    """The Gumbel noise that the next forward will draw."""
    copy = torch.Generator()
    copy.set_state(run.streams["gumbel"].get_state())
    return gumbel((6, 5), copy)


# -- temperature ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "expected"), [("single", [1, 0.515, 0.03]), ("bilevel", [10, 5.5, 1])]
)
def test_the_temperature_falls_evenly_from_the_first_epoch_to_the_last(level, expected):
    run, _ = prepared({"epochs": 3}, level=level)
    found = []
    for epoch in (1, 2, 3):
        run.method.start_epoch(epoch)
        found.append(run.method.report().scalars["temperature"])
    assert found == pytest.approx(expected)


def test_a_temperature_that_rises_is_refused():
    with pytest.raises(SpecError, match="draws would grow softer again"):
        tiny(method={"name": "snas", "temperature": 0.01})


def test_edge_weights_are_the_softmax_of_log_p_plus_noise_over_the_temperature():
    run, _ = prepared()
    run.method.temperature = 0.5
    noise, alpha = noise_of(run), run.method.alpha()["cell"]
    expected = ((alpha.log_softmax(-1) + noise) / 0.5).softmax(-1)
    found = run.method.edge_weights()["cell"]
    torch.testing.assert_close(found, expected)
    assert not torch.equal(run.method.edge_weights()["cell"], found), "drawn anew"


def test_at_the_last_temperature_draws_are_almost_one_hot():
    run, _ = prepared()
    run.method.temperature = SnasOptions().temperatures[1]
    sharp = torch.stack([run.method.edge_weights()["cell"] for _ in range(50)])
    assert sharp.max(-1).values.mean() > 0.95
    # and follow p: with equal alpha every operation leads as often
    assert sharp.argmax(-1).unique().tolist() == [0, 1, 2, 3, 4]


# -- one level ------------------------------------------------------------------------


def test_one_backward_gives_the_gradients_of_weights_and_alpha():
    """Against the textbook supernet with the same noise."""
    run, batch = prepared()
    method = run.method
    plain = PlainSupernet(run.classes, channels=2, cells=1)
    copy_weights(run.supernet, plain)
    alpha = method.alpha()["cell"].clone().requires_grad_()
    noise = noise_of(run)
    logits = plain(batch.images, (alpha.log_softmax(-1) + noise).softmax(-1))
    loss = cross_entropy(logits, batch.labels)
    loss.backward()
    result, gradients = method.joint_half(batch)
    assert result.loss.item() == pytest.approx(loss.item(), abs=1e-6)
    torch.testing.assert_close(gradients[0], alpha.grad, rtol=1e-4, atol=1e-7)
    ours = {
        id(parameter): gradient
        for parameter, gradient in zip(
            method.weights.parameters, gradients[1:], strict=True
        )
    }
    compared = 0
    for theirs, fused in counterparts(plain, run.supernet):
        if id(fused) in ours:
            torch.testing.assert_close(
                ours[id(fused)], theirs.grad, rtol=1e-3, atol=1e-5
            )
            compared += 1
    assert compared == len(ours)


def test_a_step_moves_both_by_the_gradient_at_the_point_where_both_were():
    run, batch = prepared()
    method = run.method
    state = run.streams["gumbel"].get_state()
    _, gradients = method.joint_half(batch)
    run.streams["gumbel"].set_state(state)
    reference = method.alpha()["cell"].clone().requires_grad_()
    adam = torch.optim.Adam([reference], 0.01, (0.5, 0.999), weight_decay=1e-3)
    reference.grad = gradients[0]
    adam.step()
    method.weight_step(batch)
    torch.testing.assert_close(method.alpha()["cell"], reference.detach())
    assert any(p.grad is not None for p in method.weights.parameters)


def test_there_is_no_second_level_and_all_images_train():
    run, _ = prepared()
    assert len(run.initial_sets["T"]) == 200
    report = epochs_of(
        list(
            search(
                tiny(method={"name": "snas"}, selection=FULL, training={"epochs": 1})
            )
        )
    )[0]
    assert report.architecture_steps == 0
    assert report.weight_steps == 8
    assert report.alpha_travel > 0


def test_alpha_stands_still_in_a_warm_up_and_weights_do_not():
    spec = tiny(
        method={"name": "snas"},
        selection=FULL,
        training={"epochs": 3, "warmup_epochs": 2},
    )
    reports = epochs_of(list(search(spec)))
    assert reports[0].alpha == reports[1].alpha != reports[2].alpha
    assert reports[0].train_loss != reports[1].train_loss


def test_alpha_begins_near_one_with_one_level_and_near_zero_with_two():
    single, bilevel = prepared()[0], prepared(level="bilevel")[0]
    assert (single.method.alpha()["cell"] - 1).abs().max() < 0.06
    assert bilevel.method.alpha()["cell"].abs().max() < 0.006


def test_two_levels_take_steps_in_turn_on_disjoint_sets():
    run, batch = prepared(level="bilevel")
    assert len(run.initial_sets["T"]) == 100
    before = run.method.alpha()["cell"].clone()
    run.method.weight_step(batch)
    assert torch.equal(run.method.alpha()["cell"], before)
    run.method.architecture_step(batch, ())
    assert not torch.equal(run.method.alpha()["cell"], before)


# -- resources ------------------------------------------------------------------------


def test_the_cost_of_an_architecture_is_the_sum_of_what_its_operations_cost():
    space = prepared()[0].space
    costs = operation_costs(space)["cell"]
    assert (costs[:, [0, 1, 4]] == 0).all()
    assert (costs[:, 3] == 9 * costs[:, 2]).all()
    names = ["nor_conv_3x3", "none", "nor_conv_1x1"] * 2
    nothing = space.describe(space.encode({"cell": ["none"] * 6}))["flops"]
    whole = space.describe(space.encode({"cell": names}))["flops"]
    columns = [space.operations.index(name) for name in names]
    assert costs[range(6), columns].sum().item() == whole - nothing


def test_the_resource_loss_is_the_logarithm_of_the_expected_cost():
    run, batch = prepared(resource_weight=0.5)
    plain, _ = prepared()
    with_it, _ = run.method.alpha_loss(batch)
    without, _ = plain.method.alpha_loss(batch)
    p = run.method.alpha()["cell"].softmax(-1)
    expected = (p * operation_costs(run.space)["cell"]).sum()
    found = run.method.report().scalars["expected megaflops"]
    assert found == pytest.approx(expected.item() / 1e6, rel=1e-5)
    difference = with_it.item() - without.item()
    assert difference == pytest.approx(0.5 * expected.log().item(), rel=1e-4)


def test_a_resource_loss_without_anything_that_costs_is_refused():
    cheap = {"without": ["nor_conv_1x1", "nor_conv_3x3"]}
    with pytest.raises(SpecError) as found:
        tiny(
            space={"name": "nas-bench-201", "channels": 2, "cells": 1, **cheap},
            method={"name": "snas", "resource_weight": 1e-3},
            selection=FULL,
        )
    (problem,) = found.value.problems
    assert problem.field == "method.resource_weight"
