"""FairDARTS: gates instead of a softmax, pushed open or shut, cut at a threshold."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine.methods.fair_darts import zero_one_loss
from searchjobs.engine.problems import SpecError
from searchjobs.engine.validation import validate

from .prepared import prepared

NONE = 0


def set_alpha(search, values):
    with torch.no_grad():
        search.method.tables["cell"].copy_(values)


def test_every_gate_begins_half_open():
    search = prepared("fair-darts")[0]
    assert search.method.alpha()["cell"].eq(0).all()
    assert search.method.edge_weights()["cell"].eq(0.5).all()


def test_the_losses_are_lowest_where_every_gate_is_open_or_shut():
    gates = torch.tensor([0.0, 1.0, 0.5, 0.75])
    assert zero_one_loss(gates, "squared").item() == -(0.25 + 0.25 + 0.0625) / 4
    assert zero_one_loss(gates, "absolute").item() == -(0.5 + 0.5 + 0.25) / 4


@pytest.mark.parametrize("without", [(), ("none", "avg_pool_3x3")])
@pytest.mark.parametrize("kind", ["squared", "absolute"])
def test_alpha_descends_the_validation_loss_and_the_zero_one_loss(kind, without):
    """The mean is over the gates that do something: 24 with none, 18 without pool."""
    settings = {
        "space": {
            "name": "nas-bench-201",
            "channels": 2,
            "cells": 1,
            "without": without,
        }
    }
    method = {"threshold": 0, "zero_one": kind}
    search, _, valid = prepared("fair-darts", method=method, **settings)
    alone = prepared(
        "fair-darts", method=method | {"zero_one_weight": 0.0}, **settings
    )[0]
    values = torch.randn(6, 5, dtype=torch.float64)
    for run in (search, alone):
        set_alpha(run, values)
    _, (found,) = search.method.alpha_half(valid)
    _, (of_loss,) = alone.method.alpha_half(valid)
    gates = values.sigmoid()
    slope = 2 * (gates - 0.5) if kind == "squared" else (gates - 0.5).sign()
    term = -10.0 / (24 if not without else 18) * slope * gates * (1 - gates)
    term[:, NONE] = 0
    if without:
        term[:, 4] = 0
    torch.testing.assert_close(found - of_loss, term, rtol=1e-9, atol=1e-12)


def test_the_gate_of_none_stands_still():
    search, _, valid = prepared("fair-darts")
    for _ in range(3):
        search.method.architecture_step(valid, ())
    alpha = search.method.alpha()["cell"]
    assert alpha[:, NONE].eq(0).all()
    assert alpha[:, NONE + 1 :].ne(0).all()


def chosen(search):
    """Return the operations that arg max takes."""
    method, space = search.method, search.space
    preferred = method.preferences(method.strengths())
    return [space.operations[i] for i in preferred["cell"].argmax(-1).tolist()]


def test_an_edge_whose_gates_stay_below_the_threshold_falls_to_none():
    search = prepared("fair-darts")[0]
    gates = torch.full((6, 5), 0.3, dtype=torch.float64)
    gates[:, 2] = torch.tensor([0.84, 0.86, 0.5, 0.99, 0.849, 0.851])
    set_alpha(search, gates.logit())
    weak, strong = "none", "nor_conv_1x1"
    assert chosen(search) == [weak, strong, weak, strong, weak, strong]


def test_without_a_threshold_the_largest_gate_counts():
    search = prepared("fair-darts", method={"threshold": 0})[0]
    set_alpha(search, torch.full((6, 5), -3.0).index_fill(1, torch.tensor([4]), -2.0))
    assert chosen(search) == ["avg_pool_3x3"] * 6


def test_what_may_not_be_chosen_stays_barred():
    """The best cell without none is shown beside the derived one."""
    search = prepared("fair-darts")[0]
    strengths = search.method.strengths()
    strengths["cell"][:, NONE] = -torch.inf
    preferred = search.method.preferences(strengths)["cell"]
    assert preferred[:, NONE].isneginf().all()


def test_a_threshold_needs_an_operation_to_fall_to():
    space = {"name": "nas-bench-201", "without": ["none"]}
    with pytest.raises(SpecError, match="set the threshold to 0, or leave fewer"):
        validate({"space": space, "method": {"name": "fair-darts"}})
    validate({"space": space, "method": {"name": "fair-darts", "threshold": 0}})


def test_its_presets_are_those_of_the_published_code():
    training = validate({"method": {"name": "fair-darts"}}).training
    assert (training.epochs, training.batch_size) == (50, 128)
    assert (training.weight_lr, training.weight_lr_min) == (0.005, 0.001)
    assert (training.alpha_lr, training.alpha_beta1) == (3e-3, 0.9)
    assert training.alpha_beta2 == 0.999
    assert training.alpha_weight_decay == 1e-3
