"""The search loop: what it tells, what it counts, what it leaves alone."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine import epoch
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import methods
from searchjobs.engine.diagnostics.report import Probe
from searchjobs.engine.events import (
    Finished,
    Progress,
    SamplesPruned,
    Started,
    parse,
    to_line,
)
from searchjobs.engine.plan import plan
from searchjobs.engine.search import SearchError, search
from searchjobs.engine.totals import Totals

from .conftest import epochs_of, tiny, without_clock


def test_events_come_in_the_order_that_readers_rely_on(tiny_events):
    kinds = [e.type for e in tiny_events if e.type != "progress"]
    epoch, pruned = ["epoch_finished"], ["samples_pruned", "samples_pruned"]
    assert kinds == [
        "started",
        *(epoch + pruned + epoch) * 3,
        "finished",
    ]


def test_every_event_survives_its_line_of_json(tiny_events):
    for event in tiny_events:
        line = to_line(event)
        assert line.count("\n") == 1
        assert parse(line) == event


def test_time_that_a_choice_took_is_none_that_an_epoch_will_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(epoch, "PROGRESS_SECONDS", 0.0)
    run, totals = compose(tiny()), Totals()
    totals.seconds_search = totals.seconds_preparation = 10_000.0

    told = [e for e in epoch.train(run, 1, totals) if isinstance(e, Progress)]

    assert told
    assert all(e.seconds_left is not None and e.seconds_left < 1_000 for e in told)


def test_remaining_samples_follow_the_plan_to_the_sample(tiny_events):
    planned = plan(tiny())
    reports = epochs_of(tiny_events)
    for name in ("T", "V"):
        assert planned.remaining[name][0] == 100
        told = [report.sets[name].remaining for report in reports]
        assert told == planned.remaining[name][1:]
        assert told == [100, 80, 80, 64, 64, 52]


def test_cost_units_are_three_forwards_a_sample_and_match_the_plan(tiny_events):
    expected = 3 * 2 * (100 + 100 + 80 + 80 + 64 + 64)
    assert epochs_of(tiny_events)[-1].cost_units == expected
    assert plan(tiny()).cost_units == expected
    assert plan(tiny()).cost_share == pytest.approx(expected / (3 * 2 * 600))


def test_passes_between_two_epochs_are_part_of_the_cost(monkeypatch):
    spec = tiny(training={"epochs": 4})
    without = plan(spec).cost_units
    monkeypatch.setattr(
        methods.get("darts"),
        "pass_cost",
        lambda _spec, epoch, sizes: epoch * sizes["V"],
    )
    extra = 1 * 100 + 2 * 100 + 3 * 80 + 4 * 80
    assert epochs_of(list(search(spec)))[-1].cost_units == without + extra
    assert plan(spec).cost_units == without + extra


def test_each_step_count_is_that_of_the_plan(tiny_events):
    planned = plan(tiny())
    for report in epochs_of(tiny_events):
        assert report.weight_steps == planned.weight_steps[report.epoch - 1]
        assert report.architecture_steps == planned.architecture_steps[report.epoch - 1]


def test_a_pruning_event_says_who_left_and_why(tiny_events):
    first = next(e for e in tiny_events if isinstance(e, SamplesPruned))
    assert (first.epoch, first.set, first.before, first.removed) == (2, "T", 100, 20)
    assert sum(first.class_counts_before) - sum(first.class_counts_after) == 20
    assert sum(first.histogram_removed) == 20
    assert sum(first.histogram_kept) == 80
    assert -1 <= first.correlation <= 1


def test_the_same_spec_gives_the_same_search_bit_for_bit(tiny_events):
    again = list(search(tiny()))
    ours = [without_clock(e) for e in tiny_events if e.type != "progress"]
    theirs = [without_clock(e) for e in again if e.type != "progress"]
    assert ours == theirs


def test_another_seed_gives_another_search_on_the_same_split(tiny_events):
    other = list(search(tiny(seed=2, training={"epochs": 1})))
    first, second = epochs_of(tiny_events)[0], epochs_of(other)[0]
    assert first.alpha != second.alpha
    assert first.sets["T"].class_counts == second.sets["T"].class_counts


def test_what_is_measured_beside_the_search_does_not_move_it(tiny_events):
    measured = list(
        search(tiny(diagnostics={"eigenvalue_every": 1, "probe_samples": 13}))
    )
    plain, watched = epochs_of(tiny_events), epochs_of(measured)
    assert [r.alpha for r in plain] == [r.alpha for r in watched]
    assert [r.train_loss for r in plain] == [r.train_loss for r in watched]
    assert all(r.eigenvalue is not None for r in watched)
    assert all(r.eigenvalue is None for r in plain)


def test_the_probes_are_as_large_as_asked_for_and_fixed_before_any_pruning():
    run = compose(tiny(diagnostics={"probe_samples": 8, "eigenvalue_samples": 16}))
    before = Probe(run)
    run.selection.sets["V"] = run.selection.sets["V"][:2]
    run.streams["order/V"].manual_seed(5)
    for probe in (before, Probe(run)):
        assert sum(len(batch.ids) for batch in probe.batches) == 8
        assert len(probe.eigenvalue_batch.ids) == 16
        assert torch.equal(probe.batches[0].ids, before.batches[0].ids)
    valid = set(run.initial_sets["V"].tolist())
    assert set(before.eigenvalue_batch.ids.tolist()) <= valid


def test_the_genotype_is_the_arg_max_of_the_strengths(tiny_events):
    started = next(e for e in tiny_events if isinstance(e, Started))
    space = compose(tiny()).space
    for report in epochs_of(tiny_events):
        best = torch.tensor(report.strengths["cell"]).argmax(-1).tolist()
        expected = tuple(started.operations[i] for i in best)
        assert space.decode(report.genotype)["cell"] == expected
        assert "none" not in space.decode(report.genotype_without_none)["cell"]


def test_the_final_architecture_is_the_last_genotype(tiny_events):
    finished = tiny_events[-1]
    assert isinstance(finished, Finished)
    assert [a.architecture for a in finished.architectures] == [
        epochs_of(tiny_events)[-1].genotype
    ]


def test_a_search_without_pruning_keeps_every_sample():
    events = list(search(tiny(selection={"name": "full"}, training={"epochs": 2})))
    assert not any(isinstance(e, SamplesPruned) for e in events)
    assert epochs_of(events)[-1].sets["T"].remaining == 100


def test_a_supernet_on_digits_learns():
    events = list(
        search(
            tiny(
                selection={"name": "full"},
                space={"channels": 4},
                dataset={"name": "digits"},
                training={"epochs": 4, "batch_size": 32},
            )
        )
    )
    reports = epochs_of(events)
    assert reports[-1].train_loss < 0.7 * reports[0].train_loss
    assert reports[-1].valid_accuracy > 0.5


def test_a_loss_that_is_no_number_ends_the_search_with_a_sentence():
    spec = tiny(training={"weight_lr": 10, "weight_lr_min": 10, "clip": 0})
    spec = spec.model_copy(
        update={"training": spec.training.model_copy(update={"weight_lr": 1e30})}
    )
    with pytest.raises(SearchError, match="Lower the weight learning rate") as caught:
        list(search(spec))
    assert caught.value.kind == "diverged"


def test_alpha_travels_no_further_than_its_steps_allow(tiny_events):
    last = epochs_of(tiny_events)[-1]
    steps = sum(r.architecture_steps for r in epochs_of(tiny_events))
    assert 0 < last.alpha_travel < 3 * 0.01 * steps
