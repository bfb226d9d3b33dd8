"""P-DARTS: stages, operations that leave, dropout that falls, skips that give way."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import methods
from searchjobs.engine.methods.p_darts import _at_most
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.selection._pruning_plan import event_epochs
from searchjobs.engine.spaces.nas_bench_201.cell import SearchCell
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.stages import equal_stages, stage_of

from ..conftest import epochs_of, tiny
from ..test_resume import run_until, told

PAPER = SearchSpec.model_validate({"method": {"name": "p-darts"}})


def spec_of(cells=3, **changes):
    """Three stages of two epochs, one of each a warm-up, on 200 digits."""
    return tiny(
        **{
            "method": {"name": "p-darts", **changes.pop("method", {})},
            "space": {"name": "nas-bench-201", "channels": 2, "cells": cells},
            "training": {
                "epochs": 6,
                "warmup_epochs": 1,
                "batch_size": 50,
                **changes.pop("training", {}),
            },
            "selection": {"name": "full"},
            **changes,
        }
    )


def cells_of(run):
    return sum(isinstance(layer, SearchCell) for layer in run.supernet.body) // 3


# -- the schedule ---------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 6), st.integers(0, 90))
def test_stages_follow_each_other_and_are_of_one_length(after, count, extra):
    stages = equal_stages(after + count + extra, count, after=after)
    epochs = [e for stage in stages for e in range(stage.first, stage.last + 1)]
    assert epochs == list(range(after + 1, after + count + extra + 1))
    lengths = [stage.epochs for stage in stages]
    assert max(lengths) - min(lengths) <= 1
    assert [stage.number for stage in stages] == list(range(1, count + 1))
    for stage in stages:
        assert stage_of(stages, stage.first) == stage_of(stages, stage.last) == stage
    assert stage_of(stages, after) is None


def test_the_papers_stages_have_25_epochs_10_of_them_without_alpha():
    method = methods.get("p-darts")
    assert PAPER.training.epochs == 75
    starts = [e for e in range(1, 76) if method.starts_stage(PAPER, e)]
    assert starts == [26, 51]
    trains = [e for e in range(1, 76) if method.trains_architecture(PAPER, e)]
    assert trains == [*range(11, 26), *range(36, 51), *range(61, 76)]


def test_the_papers_settings_are_the_defaults():
    training, space = PAPER.training, PAPER.space
    assert (training.batch_size, training.alpha_lr) == (96, 6e-4)
    assert (training.weight_lr, training.weight_lr_min) == (0.025, 0.0)
    assert (training.weight_decay, training.nesterov) == (3e-4, False)
    assert (training.clip, training.order) == (5.0, "architecture-first")
    assert not space.track_running_stats


def dropout_at(epoch, **changes):
    run = compose(spec_of(training={"epochs": 75, "warmup_epochs": 10}, **changes))
    for start in (26, 51):
        if start <= epoch:
            run.method.start_epoch(start)
    run.method.start_epoch(epoch)
    return run.supernet.skip_dropout


@pytest.mark.parametrize(
    ("epoch", "share"),
    [
        (1, 0.1 * 24 / 25),
        (10, 0.1 * 15 / 25),
        (11, 0.1),
        (12, 0.1 * math.exp(-0.2)),
        (25, 0.1 * math.exp(-2.8)),
        (26, 0.4 * 24 / 25),
        (36, 0.4),
        (51, 0.7 * 24 / 25),
        (60, 0.7 * 15 / 25),
        (61, 0.7),
        (75, 0.7 * math.exp(-2.8)),
    ],
)
def test_dropout_falls_in_a_line_and_then_by_a_factor(epoch, share):
    assert dropout_at(epoch, cells=1) == pytest.approx(share, rel=1e-12)


def test_dropout_can_be_left_off():
    assert dropout_at(12, cells=1, method={"skip_dropout": ()}) == 0


def test_the_weights_rate_falls_to_zero_in_every_stage():
    reports = epochs_of(list(search(spec_of(cells=1, training={"weight_lr_min": 0.0}))))
    rates = [report.learning_rates["weights"] for report in reports]
    assert rates == pytest.approx([0.025, 0.0125] * 3)


# -- stages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "given_cells", "expected"),
    [(5, (), [1, 3, 5]), (2, (), [1, 1, 2]), (4, (2, 3, 4), [2, 3, 4])],
)
def test_the_supernet_grows_from_stage_to_stage(cells, given_cells, expected):
    run = compose(spec_of(cells=cells, method={"cells": given_cells}))
    found = [cells_of(run)]
    for epoch in (3, 5):
        run.method.start_epoch(epoch)
        found.append(cells_of(run))
        assert run.space.options.cells == found[-1]
    assert found == expected


def test_a_stage_begins_with_fresh_weights_and_a_fresh_alpha():
    run = compose(spec_of(cells=1))
    first, alpha = run.supernet, run.method.alpha()["cell"].clone()
    optimisers = run.method.weights, run.method.alpha_optimiser
    assert not run.method.start_epoch(2)
    assert run.supernet is first
    assert run.method.start_epoch(3)
    assert run.supernet is not first
    for old, new in zip(first.parameters(), run.supernet.parameters(), strict=True):
        assert old.unique().numel() == 1 or not torch.equal(old, new)
    fresh = run.method.alpha()["cell"]
    assert (fresh != alpha).all()
    assert fresh.abs().max() < 6e-3
    assert run.method.weights is not optimisers[0]
    assert run.method.alpha_optimiser is not optimisers[1]
    assert run.method.alpha_optimiser.state == {}


def test_the_steps_of_a_later_stage_move_its_own_weights_and_alpha():
    run = compose(spec_of(cells=1))
    run.method.start_epoch(3)
    run.supernet.train()
    weights = [p.clone() for p in run.supernet.parameters()]
    alpha = run.method.alpha()["cell"].clone()
    run.method.weight_step(run.data.batch(run.initial_sets["T"][:20]))
    run.method.architecture_step(run.data.batch(run.initial_sets["V"][:20]), ())
    now = list(run.supernet.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(weights, now, strict=True)) > 10
    allowed = run.space.allowed("cell")
    assert (run.method.alpha()["cell"] != alpha)[allowed].all()


def test_every_edge_loses_its_weakest_operations():
    run = compose(spec_of(cells=1))
    generator = torch.Generator().manual_seed(2)
    for epoch, count in ((3, 3), (5, 2)):
        before = run.method.strengths()["cell"]
        with torch.no_grad():
            run.method.tables["cell"].copy_(torch.randn(6, 5, generator=generator))
        strengths = run.method.strengths()["cell"]
        run.method.start_epoch(epoch)
        expected = torch.zeros(6, 5, dtype=torch.bool)
        expected.scatter_(1, strengths.topk(count).indices, True)
        assert torch.equal(run.space.allowed("cell"), expected)
        assert (before[expected] > 0).all()
        now = run.method.strengths()["cell"]
        assert ((now > 0) == expected).all()


def test_a_whole_search_tells_its_stages():
    spec = spec_of()
    events = list(search(spec))
    reports = epochs_of(events)
    assert [r.method.stage for r in reports] == [1, 1, 2, 2, 3, 3]
    assert [r.method.scalars["cells"] for r in reports] == [1, 1, 1, 1, 3, 3]
    left = [{sum(row) for row in r.method.allowed["cell"]} for r in reports]
    assert left == [{5}, {5}, {3}, {3}, {2}, {2}]
    assert [r.architecture_steps > 0 for r in reports] == [False, True] * 3
    chosen = compose(spec).space.decode(reports[-1].genotype)["cell"]
    columns = compose(spec).space.operations
    for row, name in zip(reports[-1].method.allowed["cell"], chosen, strict=True):
        assert row[columns.index(name)]
    assert chosen.count("skip_connect") <= 2


@pytest.mark.parametrize("stop", [3, 5])
def test_it_resumes_in_the_middle_of_a_later_stage(tmp_path, stop):
    """Three epochs a stage: after epoch 5 stands in the midst of the second."""
    spec = spec_of(training={"epochs": 9})
    whole = list(search(spec))
    first = run_until(spec, tmp_path, stop)
    rest = list(search(spec, tmp_path, resume=True))
    assert told(first) + told(rest) == told(whole)


def test_operations_left_out_by_the_user_stay_out():
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1, "without": ["none"]}
    run = compose(spec_of(space=space))
    for epoch, count in ((3, 3), (5, 2)):
        run.method.start_epoch(epoch)
        allowed = run.space.allowed("cell")
        assert (allowed.sum(-1) == count).all()
        assert not allowed[:, 0].any()


def test_the_gradient_of_alpha_is_clipped():
    run = compose(spec_of(cells=1, training={"clip": 0.5}))
    given_gradient = torch.full((6, 5), 3.0)
    run.method.update_alpha([given_gradient])
    clipped = run.method.tables["cell"].grad
    assert clipped.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert clipped.std().item() == pytest.approx(0, abs=1e-7)
    small = torch.full((6, 5), 1e-3)
    run.method.update_alpha([small])
    assert torch.equal(run.method.tables["cell"].grad, small)


# -- at most M skips ------------------------------------------------------------------


def test_the_weakest_skips_give_way_to_the_next_best():
    skips = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.1, 0.55])
    table = torch.zeros(6, 5)
    table[:, 1] = skips
    table[:, 3] = 0.3
    table[:, 2] = 0.2
    method = compose(spec_of(cells=1)).method
    found = method.preferences({"cell": table})["cell"].argmax(-1).tolist()
    assert found == [3, 3, 1, 1, 3, 3]
    assert torch.equal(table[:, 1], skips)


ROW = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@given(st.lists(ROW, min_size=6, max_size=6), st.integers(0, 6))
def test_never_more_than_m_skips_and_other_rows_keep_their_choice(values, most):
    table = torch.tensor(values)
    limited = _at_most(table, 1, most)
    before, after = table.argmax(-1), limited.argmax(-1)
    assert (after == 1).sum() <= most
    assert torch.equal(before[before != 1], after[before != 1])
    assert (after == 1).sum() == min(most, int((before == 1).sum()))


def test_a_row_that_has_nothing_else_keeps_its_skip():
    table = torch.full((6, 5), -torch.inf)
    table[:, 1] = 0.5
    assert _at_most(table, 1, 2).argmax(-1).tolist() == [1] * 6


# -- with BDP -------------------------------------------------------------------------


def test_prunings_are_those_of_each_stage_and_v_waits_for_alpha():
    """A.8: n sums up over the stages; V has no errors while alpha stands still."""
    spec = SearchSpec.model_validate(
        {"method": {"name": "p-darts"}, "selection": {"name": "bdp", "window": 4}}
    )
    events = {n: event_epochs(spec.selection, spec, n) for n in ("T", "V")}
    of_T, of_V = [4, 8, 12, 16, 20, 24], [16, 20, 24]
    assert events["T"] == [25 * stage + e for stage in range(3) for e in of_T]
    assert events["V"] == [25 * stage + e for stage in range(3) for e in of_V]


def test_sets_outlive_the_stages_and_shrink_as_planned():
    """Two stages of five epochs, windows of two: the grid begins anew at epoch 6."""
    spec = spec_of(
        cells=1,
        method={"operations": (5, 3), "skip_dropout": ()},
        training={"epochs": 10, "warmup_epochs": 2},
        selection={
            "name": "bdp",
            "window": 2,
            "prune_train": 0.2,
            "prune_valid": 0.2,
            "class_limit": False,
        },
    )
    reports = epochs_of(list(search(spec)))
    planned = plan(spec).remaining
    for name in ("T", "V"):
        found = [r.sets[name].remaining for r in reports]
        assert found == planned[name][1:]
    assert planned["T"] == [100, 100, 80, 80, 64, 64, 64, 52, 52, 42, 42]
    assert planned["V"] == [100, 100, 100, 100, 80, 80, 80, 80, 80, 64, 64]


# -- what makes no sense --------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "training", "sentence"),
    [
        ({"operations": (5, 3, 3)}, {}, "must fall from stage to stage"),
        ({"operations": (5, 1), "skip_dropout": ()}, {}, "at least 2 to choose from"),
        ({"operations": (3, 2), "skip_dropout": ()}, {}, "searches all 5 operations"),
        ({"skip_dropout": (0.1,)}, {}, "has 1 values for 3 stages"),
        ({"skip_dropout": (0.1, 0.2, 1)}, {}, "up to, not including, 1"),
        ({"cells": (1, 2)}, {}, "has 2 values for 3 stages"),
        ({"cells": (1, 2, 0)}, {}, "must be at least 1"),
        ({"cells": (1, 2, 4)}, {}, "make them equal"),
        ({}, {"warmup_epochs": 2}, "leaves none to train alpha in"),
        ({}, {"epochs": 2}, "so one has 0"),
        ({}, {"schedule_epochs": 50}, "set the length of the schedule to 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(method, training, sentence):
    with pytest.raises(SpecError) as caught:
        spec_of(method=method, training=training)
    assert [sentence in p.sentence for p in caught.value.problems] == [True]
