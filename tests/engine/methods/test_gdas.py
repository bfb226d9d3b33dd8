"""GDAS against a dense reference that computes every operation of every edge."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search as run

from ..conftest import epochs_of, tiny
from ..spaces.plain_supernet import EDGES, PlainCell, PlainSupernet, copy_weights
from .paths import convolutions_run, wanted
from .prepared import prepared


def noise_to_come(search):
    """The Gumbel noise of the next forward, left in its stream."""
    stream = search.streams["gumbel"]
    state = stream.get_state()
    noise = -torch.empty(6, 5).exponential_(generator=stream).log()
    stream.set_state(state)
    return noise.double()


class DenseCell(PlainCell):
    """All operations of an edge; those that were not drawn give ones, or nothing."""

    ones = 1.0

    def forward(self, x, weights):
        nodes = [x]
        for node in (1, 2, 3):
            total = 0
            for row, (target, source) in enumerate(EDGES):
                if target == node:
                    y = nodes[source]
                    drawn = weights[row].argmax()
                    for o, operation in enumerate(self.edges[row].operations):
                        brought = operation(y) if o == drawn else self.ones
                        total = total + weights[row, o] * brought
            nodes.append(total)
        return nodes[-1]


def dense_gradient(search, batch, noise, ones):
    """Logits, and the gradient of alpha, by the textbook."""
    plain = PlainSupernet(10, 2, 1).double()
    copy_weights(search.supernet, plain)
    for layer in plain.body:
        if isinstance(layer, PlainCell):
            layer.__class__ = DenseCell
            layer.ones = ones
    plain.train()
    alpha = search.method.alpha()["cell"].clone().requires_grad_()
    noisy = alpha.log_softmax(-1) + noise
    q = (noisy / search.method.temperature).softmax(-1)
    h = torch.eye(5).double()[noisy.argmax(-1)] - q.detach() + q
    logits = plain(batch.images, h)
    return logits, torch.autograd.grad(cross_entropy(logits, batch.labels), alpha)[0]


@pytest.mark.parametrize("residual", [True, False])
def test_the_gradient_of_alpha_is_that_of_the_dense_reference(residual):
    search, _, valid = prepared("gdas", method={"scalar_residual": residual})
    method = search.method
    method.temperature = 2.0
    for _ in range(4):  # four draws
        noise = noise_to_come(search)
        logits, expected = dense_gradient(search, valid, noise, float(residual))
        result, (found,) = method.alpha_half(valid)
        torch.testing.assert_close(result.logits, logits.detach())
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-12)
        assert (found != 0).any()


def test_the_two_forwards_differ_in_gradient_and_not_in_value():
    results = []
    for residual in (True, False):
        search, _, valid = prepared("gdas", method={"scalar_residual": residual})
        results.append(search.method.alpha_half(valid))
    (one, (with_it,)), (other, (without,)) = results
    assert torch.equal(one.logits, other.logits)
    assert (with_it != without).any()


def test_edge_weights_are_one_hot_and_sum_to_one():
    search, *_ = prepared("gdas")
    for _ in range(20):
        h = search.method.edge_weights()["cell"]
        assert h.requires_grad
        assert set(h.flatten().tolist()) == {0.0, 1.0}
        assert torch.equal(h.sum(-1), torch.ones(6).double())
        assert search.method.active()["cell"] == [(k,) for k in h.argmax(-1).tolist()]


def test_the_temperature_falls_evenly_from_ten_to_a_tenth():
    search, *_ = prepared("gdas", training={"epochs": 250})
    seen = []
    for epoch in range(1, 251):
        search.method.start_epoch(epoch)
        seen.append(search.method.report().scalars["temperature"])
    assert seen[0] == 10
    assert seen[249] == pytest.approx(0.1)
    for e, tau in enumerate(seen):
        assert tau == pytest.approx(10 - 9.9 * e / 249)


def test_only_drawn_operations_that_lead_to_the_output_run_in_either_step():
    search, train, valid = prepared("gdas")
    method = search.method
    for step in (
        lambda: method.weight_step(train),
        lambda: method.architecture_step(valid, ()),
    ) * 3:
        counts, _ = convolutions_run(search, step)
        assert counts == wanted(method.drawn["cell"].tolist())


def test_a_weight_step_moves_the_drawn_weights_and_no_others():
    search, train, _ = prepared("gdas")
    before = {n: p.clone() for n, p in search.supernet.named_parameters()}
    alpha = search.method.alpha()["cell"].clone()
    search.method.weight_step(train)
    drawn = search.method.drawn["cell"].tolist()
    for name, parameter in search.supernet.named_parameters():
        if "nor_conv" in name:
            operation, row = name.split(".")[-3:-1]
            column = search.space.operations.index(operation)
            if drawn[int(row)] != column:
                assert torch.equal(parameter, before[name]), name
    assert torch.equal(search.method.alpha()["cell"], alpha)
    assert any((p != before[n]).any() for n, p in search.supernet.named_parameters())


def test_what_is_left_out_of_the_space_is_never_drawn():
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1, "without": ["none"]}
    search, _, valid = prepared("gdas", space=space)
    for _ in range(30):
        search.method.edge_weights()
        assert (search.method.drawn["cell"] != 0).all()
    _, (gradient,) = search.method.alpha_half(valid)
    assert gradient.isfinite().all()
    assert (gradient[:, 0] == 0).all()


def test_an_all_none_draw_trains_what_can_be_trained():
    search, train, valid = prepared("gdas")
    with torch.no_grad():
        search.method.tables["cell"][:, 0] = 1000
    search.method.weight_step(train)
    search.method.architecture_step(valid, ())
    assert search.method.drawn["cell"].tolist() == [0] * 6
    assert search.method.alpha()["cell"].isfinite().all()


def test_sampled_architectures_follow_alpha():
    search, *_ = prepared("gdas")
    with torch.no_grad():
        search.method.tables["cell"].copy_(50 * torch.eye(5)[[0, 1, 2, 3, 4, 1]])
    names = [search.space.operations[o] for o in (0, 1, 2, 3, 4, 1)]
    text = search.space.encode({"cell": names})
    assert search.method.sample(torch.Generator().manual_seed(0)) == text


def test_a_temperature_that_rises_is_refused_in_a_sentence():
    with pytest.raises(SpecError, match="the draws would grow softer again") as caught:
        tiny(method={"name": "gdas", "temperature": 1, "temperature_end": 2})
    assert len(caught.value.problems) == 1


def test_the_search_is_as_long_as_in_the_paper_unless_said_otherwise():
    assert tiny(method={"name": "gdas"}, training={"epochs": 3}).training.epochs == 3
    search, *_ = prepared("gdas")
    assert type(search.method).defaults["training"]["epochs"] == 250


def test_the_curve_of_the_temperature_is_in_the_reports():
    spec = tiny(
        method={"name": "gdas"}, selection={"name": "full"}, training={"epochs": 3}
    )
    curve = [r.method.scalars["temperature"] for r in epochs_of(list(run(spec)))]
    assert curve == pytest.approx([10, 5.05, 0.1])
