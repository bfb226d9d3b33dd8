"""VP-DARTS: importance by removal, and what soft and hard pruning leave of alpha."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine import parallel, removal
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import methods
from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.methods.vp_darts import pruning_factor
from searchjobs.engine.problems import SpecError
from searchjobs.engine.removal import RemovalTest, Scores, evaluations, removals
from searchjobs.engine.search import search
from searchjobs.engine.seeding import Streams

from ..conftest import epochs_of, tiny
from ..ranks import on_ranks
from ..test_resume import run_until, told

NONE = 0
WARM_UP, EPOCHS = 1, 4


def spec_of(**changes):
    """One epoch of warm-up and three that prune, on 200 digits."""
    method = {"name": "vp-darts", **changes.pop("method", {})}
    training = {
        "epochs": EPOCHS,
        "warmup_epochs": WARM_UP,
        "batch_size": 25,
        "alpha_lr": 0.05,
        **changes.pop("training", {}),
    }
    return tiny(
        method=method, training=training, **{"selection": {"name": "full"}, **changes}
    )


def started(epoch, **changes):
    """A search before the pruning of an epoch, alpha away from where it began."""
    run = compose(spec_of(**changes))
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        table = run.method.tables["cell"]
        table += 0.2 * torch.randn(table.shape, generator=generator)
    step(run, "architecture")  # so that Adam has moments
    run.method.start_epoch(epoch)
    run.supernet.train()
    return run


def step(run, level):
    ids = run.initial_sets["T" if level == "weights" else "V"][:20]
    batch = run.data.batch(ids)
    if level == "weights":
        run.method.weight_step(batch)
    else:
        run.method.architecture_step(batch, ())


def prune(run, epoch):
    """Begin an epoch; return alpha before and after."""
    before = run.method.alpha()["cell"].clone()
    list(run.method.before_epoch(epoch))
    return before, run.method.alpha()["cell"].clone()


# -- Eq. 3: the mixture ---------------------------------------------------------------


def test_an_edge_is_mixed_by_alpha_itself():
    run = started(1)
    with torch.no_grad():
        run.method.tables["cell"][2, 3] = -1.5
    alpha = run.method.alpha()["cell"]
    assert torch.equal(run.method.edge_weights()["cell"], alpha)
    assert torch.equal(run.method.strengths()["cell"], alpha)


def test_alpha_begins_at_one_over_the_operations_and_noise_around_it():
    noise = 1e-3 * torch.randn(6, 5, generator=Streams(spec_of().seed)["alpha"])
    alpha = compose(spec_of()).method.alpha()["cell"]
    torch.testing.assert_close(alpha, 0.2 + noise)
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1}
    left_out = compose(spec_of(space={**space, "without": ["none"]})).method
    torch.testing.assert_close(left_out.alpha()["cell"], 0.25 + noise)
    assert (left_out.edge_weights()["cell"][:, NONE] == 0).all()


def test_arg_max_reads_magnitudes():
    run = started(1)
    table = torch.tensor([[-3.0, 2, -torch.inf, 1, 0]] * 6)
    assert (
        run.method.preferences({"cell": table})["cell"].argmax(-1).tolist() == [0] * 6
    )


# -- Algorithm 1: importance ----------------------------------------------------------


def naive(run, ids):
    """Accuracy and loss without each operation, by a coefficient of 0, 30 forwards."""
    batch, weights = run.data.batch(ids), run.method.strengths()["cell"]
    accuracy, loss = torch.zeros(6, 5), torch.zeros(6, 5)
    with torch.no_grad(), batch_statistics(run.supernet):
        for row in range(6):
            for operation in range(5):
                without = weights.clone()
                without[row, operation] = 0
                logits = run.supernet(batch.images, {"cell": without})
                hits = (logits.argmax(-1) == batch.labels).double()
                accuracy[row, operation] = hits.mean()
                loss[row, operation] = cross_entropy(logits, batch.labels)
    return accuracy, loss


def trained(run, steps=6):
    run.method.start_epoch(1)
    for _ in range(steps):
        step(run, "weights")
    return run


def test_importance_is_that_of_thirty_forwards_with_a_coefficient_of_zero():
    run = trained(started(2))
    ids = run.initial_sets["V"][:60]
    test = RemovalTest(run, ids)
    list(test.run(2))
    scores = test.scores()
    accuracy, loss = naive(run, ids)
    torch.testing.assert_close(scores.accuracy["cell"].float(), accuracy)
    torch.testing.assert_close(scores.loss["cell"].float(), loss, rtol=1e-5, atol=1e-6)
    assert len(set(scores.accuracy["cell"].flatten().tolist())) > 3


def test_without_none_the_logits_are_the_same_to_the_last_bit():
    run = started(1)
    batch = run.data.batch(run.initial_sets["V"][:20])
    weights = run.method.strengths()
    run.supernet.skip_dropout = 0.0
    whole = run.supernet(batch.images, weights)
    for row in range(6):
        active = [[o for o in range(5) if (r, o) != (row, NONE)] for r in range(6)]
        assert torch.equal(run.supernet(batch.images, weights, {"cell": active}), whole)
        without = weights["cell"].clone()
        without[row, NONE] = 0
        assert torch.equal(run.supernet(batch.images, {"cell": without}), whole)


def test_none_takes_no_forward_and_has_the_figures_of_the_whole():
    run = trained(started(2))
    assert evaluations(run.space) == 1 + 6 * 4
    assert all(found.operation != NONE for found in removals(run.space))
    list(run.method.before_epoch(2))
    scores = run.method.scores
    assert (scores.accuracy["cell"][:, NONE] == scores.whole).all()


@pytest.mark.parametrize(
    ("accuracy", "loss", "alpha", "first"),
    [
        ([0.9, 0.8, 0.7, 0.8, 0.9], [1] * 5, [0, 0, 0, 0, 0], 2),
        ([0.9, 0.7, 0.7, 0.8, 0.9], [1, 2, 3, 9, 9], [0, 0, 0, 0, 0], 2),
        ([0.9, 0.7, 0.7, 0.7, 0.9], [1, 2, 2, 1, 9], [0, 0.3, -0.4, 1, 0], 2),
        ([0.9, 0.9, 0.7, 0.7, 0.7], [1, 1, 2, 2, 2], [0, 0, 0.4, -0.4, 0.4], 2),
    ],
    ids=["accuracy", "then loss", "then magnitude", "then index"],
)
def test_ties_are_broken_by_loss_then_magnitude_then_index(
    accuracy, loss, alpha, first
):
    def table(row):
        return {"cell": torch.tensor([row] * 6, dtype=torch.float64)}

    scores = Scores(table(accuracy), table(loss), 0.9)
    ranked = scores.ranking(compose(spec_of()).space, table(alpha))["cell"]
    assert [order[0] for order in ranked] == [first] * 6
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in ranked)


def seen_ids(run, monkeypatch):
    """Collect the ids and the number of images of every forward that validates."""
    ids, images = [], []
    batch, forward = run.data.batch, type(run.supernet).forward

    def noted_batch(which, *rest):
        ids.append(which.clone())
        return batch(which, *rest)

    def noted_forward(supernet, given, *rest):
        images.append(len(given))
        return forward(supernet, given, *rest)

    monkeypatch.setattr(run.data, "batch", noted_batch)
    monkeypatch.setattr(type(run.supernet), "forward", noted_forward)
    return ids, images


def test_all_removals_of_an_epoch_see_one_half_of_v_drawn_anew(monkeypatch):
    run = started(2)
    ids, _ = seen_ids(run, monkeypatch)
    whole = run.initial_sets["V"]
    halves = []
    for epoch in (2, 3):
        ids.clear()
        list(run.method.before_epoch(epoch))
        drawn = torch.cat(ids)
        assert len(drawn) == len(set(drawn.tolist())) == len(whole) // 2
        assert set(drawn.tolist()) <= set(whole.tolist())
        halves.append(set(drawn.tolist()))
    assert halves[0] != halves[1]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_it_makes_the_forwards_that_it_costs(monkeypatch, share):
    monkeypatch.setattr(removal, "EVALUATION_BATCH", 16)
    run = started(3, method={"share": share})
    _, images = seen_ids(run, monkeypatch)
    list(run.method.before_epoch(3))
    sizes = {name: len(ids) for name, ids in run.initial_sets.items()}
    announced = type(run.method).pass_cost(run.spec, 3, sizes)
    assert sum(images) == announced == 25 * int(share * sizes["V"])
    assert type(run.method).pass_cost(run.spec, WARM_UP, sizes) == 0


def test_importance_is_measured_on_what_a_selection_has_left_of_v(monkeypatch):
    run = started(2)
    run.selection.sets["V"] = run.selection.sets["V"][:12]
    ids, _ = seen_ids(run, monkeypatch)
    list(run.method.before_epoch(2))
    assert len(torch.cat(ids)) == 6
    assert set(torch.cat(ids).tolist()) <= set(run.selection.sets["V"].tolist())


def test_validation_leaves_no_trace_but_in_alpha(monkeypatch):
    monkeypatch.setattr(removal, "EVALUATION_BATCH", 16)
    run = started(2)
    before = {name: t.clone() for name, t in run.supernet.state_dict().items()}
    noise = run.supernet.noise.get_state()
    list(run.method.before_epoch(2))
    for name, tensor in run.supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(run.supernet.noise.get_state(), noise)
    assert run.supernet.training
    assert run.supernet.skip_dropout == 0.2


def test_progress_is_told_as_validation(monkeypatch):
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(removal, "EVALUATION_BATCH", 16)
    run = started(2)
    events = list(run.method.before_epoch(2))
    assert [(e.phase, e.epoch, e.step, e.steps) for e in events] == [
        ("validation", 2, step, 4) for step in (1, 2, 3, 4)
    ]


# -- Eq. 2: soft pruning --------------------------------------------------------------


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_with_fixed_k_four_alphas_of_each_edge_are_exactly_zero(epoch):
    run = trained(started(epoch, method={"k": "fixed"}))
    before, after = prune(run, epoch)
    assert ((after == 0).sum(-1) == 4).all()
    kept = after != 0
    assert torch.equal(after[kept], before[kept])
    ranked = run.method.scores.ranking(run.space, {"cell": before})["cell"]
    assert kept.int().argmax(-1).tolist() == [order[0] for order in ranked]


def test_with_adjustable_k_the_first_pruning_changes_nothing():
    run = started(2)
    before, after = prune(run, 2)
    assert torch.equal(before, after)
    assert run.method.report().scalars["pruning factor"] == 1
    assert np.array(run.method.report().importance["cell"]).shape == (6, 5)


def test_with_adjustable_k_alpha_shrinks_by_the_share_of_epochs_gone():
    run = trained(started(4))
    before, after = prune(run, 4)
    pruned = after != before
    assert (pruned.sum(-1) == 4).all()
    torch.testing.assert_close(after[pruned], before[pruned] * (1 - 2 / 3))


@pytest.mark.parametrize(
    ("epoch", "factor"), [(21, 1.0), (22, 29 / 30), (36, 0.5), (50, 1 / 30)]
)
def test_factors_of_the_papers_fifty_epochs(epoch, factor):
    spec = tiny(method={"name": "vp-darts"}, training={"epochs": 50})
    assert spec.training.warmup_epochs == 20
    assert pruning_factor(spec, epoch) == pytest.approx(factor, abs=1e-15)
    fixed = tiny(method={"name": "vp-darts", "k": "fixed"}, training={"epochs": 50})
    assert pruning_factor(fixed, epoch) == 0


def test_the_papers_schedule_validates_thirty_times():
    spec = tiny(method={"name": "vp-darts"}, training={"epochs": 50})
    method, sizes = methods.get("vp-darts"), {"T": 25_000, "V": 25_000}
    costs = [method.pass_cost(spec, epoch, sizes) for epoch in range(1, 51)]
    assert costs == [0.0] * 20 + [25 * 12_500.0] * 30
    trains = [method.trains_architecture(spec, epoch) for epoch in range(1, 51)]
    assert trains == [False] * 20 + [True] * 30


@pytest.mark.parametrize("reset", [False, True])
def test_adams_moments_are_kept_unless_asked_otherwise(reset):
    run = started(3, method={"reset_moments": reset, "k": "fixed"})
    state = run.method.alpha_optimiser.state[run.method.tables["cell"]]
    before = state["exp_avg"].clone()
    assert (before != 0).any()
    _, after = prune(run, 3)
    pruned = after == 0
    assert (state["exp_avg"][pruned] == 0).all() == reset
    assert torch.equal(state["exp_avg"][~pruned], before[~pruned])


def test_a_pruned_operation_can_come_back():
    run = trained(started(3, method={"k": "fixed"}))
    prune(run, 3)
    step(run, "architecture")
    alpha = run.method.alpha()["cell"]
    assert (alpha[:, 1:] != 0).all()


def test_in_the_warm_up_alpha_stands_still_and_nothing_is_validated():
    reports = epochs_of(list(search(spec_of(training={"warmup_epochs": 2}))))
    first = compose(spec_of()).method.alpha()["cell"].tolist()
    assert [r.alpha["cell"] == first for r in reports] == [True, True, False, False]
    assert [bool(r.method.importance) for r in reports] == [False, False, True, True]
    assert [r.architecture_steps > 0 for r in reports] == [False, False, True, True]
    assert "pruning factor" not in reports[1].method.scalars


# -- the ablations --------------------------------------------------------------------


def test_by_magnitude_the_greatest_alpha_stays_and_nothing_is_measured():
    run = started(3, method={"criterion": "alpha", "k": "fixed"})
    with torch.no_grad():
        run.method.tables["cell"][4, 2] = -5
    before, after = prune(run, 3)
    assert (after != 0).int().argmax(-1).tolist() == before.abs().argmax(-1).tolist()
    assert after[4, 2] == -5
    assert run.method.report().importance == {}
    assert type(run.method).pass_cost(run.spec, 3, {"T": 100, "V": 100}) == 0


def test_hard_pruning_at_the_end_touches_nothing_before():
    run = started(4, method={"pruning": "hard"})
    before, after = prune(run, 4)
    assert torch.equal(before, after)
    assert type(run.method).pass_cost(run.spec, 4, {"T": 100, "V": 100}) == 0


def progressive(**training):
    return spec_of(
        method={"pruning": "progressive"},
        training={"epochs": 7, "warmup_epochs": 1, **training},
    )


def test_progressive_pruning_leaves_five_then_three_then_two():
    reports = epochs_of(list(search(progressive())))
    left = [{sum(row) for row in report.method.allowed["cell"]} for report in reports]
    assert left == [{5}, {5}, {5}, {3}, {3}, {2}, {2}]
    assert [r.method.stage for r in reports] == [None, 1, 1, 2, 2, 3, 3]
    for report in reports:
        gone = ~np.array(report.method.allowed["cell"])
        assert (np.array(report.strengths["cell"])[gone] == 0).all()


def test_progressive_pruning_keeps_the_most_important():
    run = trained(compose(progressive()))
    before = run.method.alpha()["cell"].clone()
    list(run.method.before_epoch(4))
    ranked = run.method.scores.ranking(run.space, {"cell": before})["cell"]
    for row, order in enumerate(ranked):
        kept = run.space.allowed("cell")[row].nonzero().flatten().tolist()
        assert kept == sorted(order[:3])
    assert run.space.active()["cell"] == [sorted(order[:3]) for order in ranked]


def test_progressive_pruning_resumes_in_its_last_stage(tmp_path):
    whole = list(search(progressive()))
    first = run_until(progressive(), tmp_path, 6)
    rest = list(search(progressive(), tmp_path, resume=True))
    assert told(first) + told(rest) == told(whole)


def test_the_plan_bounds_what_progressive_pruning_validates():
    spec, sizes = progressive(), {"T": 100, "V": 100}
    costs = [methods.get("vp-darts").pass_cost(spec, e, sizes) for e in range(1, 8)]
    assert costs == [0, 0, 0, 25 * 50, 0, 19 * 50, 0]


# -- the whole ------------------------------------------------------------------------


def shared(ours, devices):
    spec = spec_of(
        training={"epochs": 3, "batch_size": 31},
        compute={"precision": "double", "devices": devices},
    )
    events = list(search(spec))
    return [
        (r.alpha["cell"], r.method.importance, r.train_loss, r.cost_units)
        for r in epochs_of(events)
    ], events[-1].architectures[0].architecture


def test_two_processes_share_the_removals_and_prune_as_one_does():
    alone, architecture = shared(parallel.ALONE, 1)
    first, second = on_ranks(shared, 2)
    assert first == second
    assert first[1] == architecture
    for ours, theirs in zip(first[0], alone, strict=True):
        assert ours[0] == [pytest.approx(row, abs=1e-9) for row in theirs[0]]
        assert ours[1] == theirs[1]
        assert ours[2:] == pytest.approx(theirs[2:], rel=1e-9)


def test_the_paper_derives_by_validated_accuracy():
    assert spec_of().derivation.name == "validated"
    chosen = spec_of(derivation={"name": "argmax"})
    assert chosen.derivation.name == "argmax"
    found = list(search(spec_of()))[-1].architectures[0]
    assert found.derivation == "validated"


@pytest.mark.parametrize(
    ("method", "training", "sentence"),
    [
        ({"operations": (5, 5, 2)}, {}, "must fall from stage to stage"),
        ({"operations": (5, 3, 1)}, {}, "at least 2 to choose from"),
        ({"pruning": "progressive"}, {"epochs": 3}, "the warm-up leaves 2 epochs"),
        ({"share": 0}, {}, "Share of V for validation must be greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(method, training, sentence):
    with pytest.raises(SpecError) as caught:
        spec_of(method=method, training=training)
    assert [sentence in p.sentence for p in caught.value.problems] == [True]
