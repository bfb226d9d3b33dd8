"""PC-DARTS: a part of the channels, and weights of the edges that learn with alpha."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.parallel import ALONE
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny
from ..ranks import on_ranks

#: The edges that enter nodes 1, 2 and 3 of NAS-Bench-201, as rows of the table.
NODES = ([0], [1, 2], [3, 4, 5])


def spec_of(partial=4, channels=4, method=None, **changes):
    data = {
        "space": {"name": "nas-bench-201", "channels": channels, "cells": 1},
        "method": {"name": "pc-darts", "partial": partial, **(method or {})},
        "selection": {"name": "full"},
        "training": {"epochs": 3, "batch_size": 25, "warmup_epochs": 1},
    }
    for section, values in changes.items():
        data[section] = {**data.get(section, {}), **values}
    return tiny(**data)


def prepared(**options):
    run = compose(spec_of(**options))
    ids = run.initial_sets
    return run, run.data.batch(ids["T"][:20]), run.data.batch(ids["V"][:20])


def test_the_weights_of_the_edges_that_enter_a_node_are_a_softmax():
    run = prepared()[0]
    with torch.no_grad():
        for leaf in run.method.edges.leaves():
            leaf.copy_(torch.arange(len(leaf)).float())
    scale = run.method.edge_terms().scale["cell"]
    for rows in NODES:
        expected = torch.arange(len(rows)).float().softmax(-1)
        torch.testing.assert_close(scale[rows], expected)
    assert run.method.report().edges["cell"] == scale.tolist()


def test_one_optimiser_moves_alpha_and_beta_by_adam():
    run, _, valid = prepared()
    training = run.spec.training
    alpha = run.method.alpha()["cell"].clone().requires_grad_()
    beta = [
        leaf.detach().clone().requires_grad_() for leaf in run.method.edges.leaves()
    ]
    adam = torch.optim.Adam(
        [alpha, *beta],
        training.alpha_lr,
        (0.5, 0.999),
        weight_decay=training.alpha_weight_decay,
    )
    run.method.set_rates(2)
    for _ in range(2):
        scale = torch.cat([one.softmax(-1) for one in beta])
        terms = type(run.method.edge_terms())(scale={"cell": scale})
        logits = run.supernet(valid.images, {"cell": alpha.softmax(-1)}, terms=terms)
        adam.zero_grad()
        cross_entropy(logits, valid.labels).backward(inputs=[alpha, *beta])
        adam.step()
        run.method.architecture_step(valid, ())
    torch.testing.assert_close(run.method.alpha()["cell"], alpha.detach())
    for found, expected in zip(run.method.edges.leaves(), beta, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_weight_step_leaves_alpha_and_beta():
    run, train, _ = prepared()
    before = [leaf.detach().clone() for leaf in run.method.alpha_leaves()]
    run.method.start_epoch(1)
    run.method.weight_step(train)
    for leaf, old in zip(run.method.alpha_leaves(), before, strict=True):
        assert torch.equal(leaf, old)


def test_all_channels_and_no_edge_weights_are_darts_bit_for_bit():
    """The same seed gives the same initial weights and alpha."""
    plain = spec_of(partial=1, method={"edge_normalisation": False})
    settings = plain.model_dump(mode="json") | {"method": {"name": "darts"}}
    darts = epochs_of(list(search(type(plain).model_validate(settings))))
    ours = epochs_of(list(search(plain)))
    assert [r.alpha for r in ours] == [r.alpha for r in darts]
    assert [r.train_loss for r in ours] == [r.train_loss for r in darts]
    assert [r.inherited_accuracy for r in ours] == [r.inherited_accuracy for r in darts]


def test_alpha_and_beta_rest_in_the_warm_up_and_are_shown_after_it():
    first, second, _ = epochs_of(list(search(spec_of())))
    assert first.architecture_steps == 0
    assert second.architecture_steps > 0
    assert first.method.edges["cell"][0] == 1.0
    assert first.method.edges["cell"] != second.method.edges["cell"]
    assert sum(second.method.edges["cell"]) == pytest.approx(3)


def test_channels_that_cannot_be_parted_are_refused_in_a_sentence():
    with pytest.raises(SpecError) as caught:
        spec_of(partial=4, channels=6)
    (problem,) = caught.value.problems
    assert problem.field == "method.partial"
    assert problem.sentence.startswith("6 channels cannot be parted in 4 equal groups;")


def test_the_defaults_are_those_of_the_paper():
    training = tiny(
        method={"name": "pc-darts"},
        space={"name": "nas-bench-201", "channels": 16},
        training={"epochs": 50, "batch_size": 256, "alpha_lr": 6e-4},
    ).training
    assert (training.weight_lr, training.weight_lr_min) == (0.1, 0.0)
    assert (training.warmup_epochs, training.weight_decay) == (15, 3e-4)
    assert not training.nesterov


@pytest.mark.parametrize("window", [5, 4, 10])
def test_pruning_of_v_starts_in_the_first_window_after_the_warm_up(window):
    """n_V = floor((E - 15) / W) for these W (data spec A.8)."""
    spec = spec_of(
        training={"epochs": 50, "warmup_epochs": 15},
        selection={
            "name": "bdp",
            "window": window,
            "prune_train": 0.1,
            "prune_valid": 0.1,
            "class_limit": False,
        },
    )
    sizes = plan(spec).remaining["V"]
    events = [e for e in range(1, 51) if sizes[e] < sizes[e - 1]]
    assert len(events) == (50 - 15) // window
    assert events[0] - window >= 15


def test_bdp_prunes_both_sets_of_a_supernet_of_partial_channels():
    spec = spec_of(
        training={"epochs": 5, "warmup_epochs": 1},
        selection={
            "name": "bdp",
            "window": 2,
            "prune_train": 0.2,
            "prune_valid": 0.2,
            "class_limit": False,
        },
    )
    events = list(search(spec))
    removed = {
        (e.set, e.epoch): e.removed for e in events if e.type == "samples_pruned"
    }
    assert removed["T", 2] == removed["T", 4] + 4 == 20
    assert removed["V", 2] == 0, "V rested in epoch 1"
    assert removed["V", 4] == 20
    reports = epochs_of(events)
    assert [r.sets["V"].remaining for r in reports] == plan(spec).remaining["V"][1:]


def stepped(ours):
    spec = spec_of(compute={"devices": ours.size, "precision": "double"})
    run = compose(spec)
    ids = run.initial_sets
    run.method.start_epoch(2)
    for first in (0, 31):
        run.method.weight_step(run.data.batch(ids["T"][first : first + 31]))
        run.method.architecture_step(run.data.batch(ids["V"][first : first + 31]), ())
    leaves = [leaf.detach().numpy() for leaf in run.method.alpha_leaves()]
    return leaves + [p.detach().numpy() for p in run.supernet.parameters()]


def test_two_processes_make_the_steps_of_one():
    expected = stepped(ALONE)
    first, second = on_ranks(stepped)
    for one, other, alone in zip(first, second, expected, strict=True):
        assert (one == other).all()
        assert abs(one - alone).max() < 1e-9
