"""GLISTER: the greedy choice against brute force, and the sets that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import selections
from searchjobs.engine.events import SamplesPruned
from searchjobs.engine.plan import data_problems, plan
from searchjobs.engine.search import search
from searchjobs.engine.selection import glister
from searchjobs.engine.selection._refreshed import (
    error_gradients,
    greedy,
    supernet_logits,
)
from searchjobs.engine.spec import SearchSpec

from ..conftest import epochs_of, tiny
from ..ranks import on_ranks

OPTIONS: dict[str, Any] = {"name": "glister", "keep_train": 0.3, "every": 2}


def spec_of(method: str = "darts", epochs: int = 5, **selection: Any) -> SearchSpec:
    return tiny(
        method={"name": method},
        selection={**OPTIONS, **selection},
        training={"epochs": epochs, "batch_size": 25},
    )


def toy(candidates: int = 9, classes: int = 4, valid: int = 12) -> tuple[Any, ...]:
    noise = torch.Generator().manual_seed(4)
    logits = torch.randn(candidates, classes, generator=noise, dtype=torch.float64)
    labels = torch.randint(classes, (candidates,), generator=noise)
    of_valid = torch.randn(valid, classes, generator=noise, dtype=torch.float64)
    valid_labels = torch.randint(classes, (valid,), generator=noise)
    return error_gradients(logits, labels), of_valid, valid_labels


def softmax(logits: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(1, keepdims=True))
    whole: np.ndarray = grown / grown.sum(1, keepdims=True)
    return whole


def loss_on_valid(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(softmax(logits)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("wanted", [1, 3, 6])
@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_one_a_round_is_the_greedy_algorithm_by_brute_force(
    wanted: int, rate: float
) -> None:
    """The textbook: one candidate after the other, all gains computed anew."""
    gradients, of_valid, labels = toy()
    rows, logits, truth = gradients.numpy(), of_valid.numpy(), labels.numpy()
    chosen: list[int] = []
    for _ in range(wanted):
        moved = logits - rate * sum((rows[i] for i in chosen), np.zeros(4))
        mean = (softmax(moved) - np.eye(4)[truth]).mean(0)
        gains = {i: rows[i] @ mean for i in range(len(rows)) if i not in chosen}
        chosen.append(max(gains, key=lambda i: gains[i]))
    taken, _ = greedy(gradients, of_valid, labels, wanted, wanted, rate)
    assert sorted(chosen) == torch.nonzero(taken).flatten().tolist()


def test_a_gain_is_what_a_small_step_takes_off_the_loss_on_valid() -> None:
    gradients, of_valid, labels = toy()
    _, gains = greedy(gradients, of_valid, labels, 1, 1, 1.0)
    step = 1e-6
    before = loss_on_valid(of_valid.numpy(), labels.numpy())
    fallen = [
        (before - loss_on_valid((of_valid - step * row).numpy(), labels.numpy())) / step
        for row in gradients
    ]
    assert gains.numpy() == pytest.approx(np.array(fallen), abs=1e-5)


def test_what_is_chosen_helps_more_than_what_is_left() -> None:
    gradients, of_valid, labels = toy(candidates=200, valid=60)
    taken, _ = greedy(gradients, of_valid, labels, 40, 15, 0.01)
    rest = torch.nonzero(~taken).flatten()[:40]

    def after(places: torch.Tensor) -> float:
        moved = of_valid - 0.01 * gradients[places].sum(0)
        return loss_on_valid(moved.numpy(), labels.numpy())

    assert after(torch.nonzero(taken).flatten()) < after(rest)


def test_the_rounds_see_the_steps_before_them() -> None:
    gradients, of_valid, labels = toy(candidates=60)
    at_once, _ = greedy(gradients, of_valid, labels, 20, 1, 1.0)
    in_rounds, _ = greedy(gradients, of_valid, labels, 20, 10, 1.0)
    assert int(at_once.sum()) == int(in_rounds.sum()) == 20
    assert not torch.equal(at_once, in_rounds)


@given(st.integers(0, 30), st.integers(1, 40), st.integers(0, 30))
def test_exactly_as_many_are_chosen_as_are_wanted(
    wanted: int, rounds: int, barred: int
) -> None:
    gradients, of_valid, labels = toy(candidates=30)
    excluded = torch.arange(30) < min(barred, 30 - wanted)
    taken, gains = greedy(gradients, of_valid, labels, wanted, rounds, 0.1, excluded)
    assert int(taken.sum()) == wanted
    assert not (taken & excluded).any()
    assert gains.isfinite().all()


@pytest.mark.parametrize("mode", ["sample", "class"])
def test_no_sample_has_a_batch_of_its_own(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred samples in T and in V, in batches of 33: the last one joins them."""
    asked = []

    def noted(search: Any, epoch: int, parts: Any, purpose: str) -> Any:
        asked.append([len(part) for part in parts])
        return supernet_logits(search, epoch, parts, purpose)

    monkeypatch.setattr(glister, "EVALUATION_BATCH", 33)
    monkeypatch.setattr(glister, "supernet_logits", noted)
    run = compose(spec_of(mode=mode))
    list(run.selection.prepare())
    list(run.selection.end_epoch(2))
    assert asked == [[33, 33, 34]] * 2


@pytest.mark.parametrize("mode", ["sample", "class", "batch"])
@pytest.mark.parametrize("criterion", ["gain", "random"])
def test_events_and_arrays_tell_the_sets_of_every_epoch(
    mode: str, criterion: str, tmp_path: Path
) -> None:
    spec = spec_of(mode=mode, criterion=criterion)
    expected = {"sample": 30, "class": 30, "batch": 25}[mode]
    events = list(search(spec, tmp_path))
    changes = [event for event in events if isinstance(event, SamplesPruned)]
    assert [event.epoch for event in changes] == [0, 2, 4]
    run = compose(spec)
    whole = run.initial_sets["T"]
    held = set(whole.tolist())
    for event in changes:
        with np.load(tmp_path / event.artefact) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        assert found["ids"].tolist() == whole.tolist()
        assert set(found["ids"][found["before"]].tolist()) == held
        assert not (found["removed"] & ~found["before"]).any()
        assert not (found["added"] & found["before"]).any()
        after = (found["before"] & ~found["removed"]) | found["added"]
        held = set(found["ids"][after].tolist())
        labels = run.data.labels[sorted(held)]
        assert labels.bincount(minlength=10).tolist() == event.class_counts_after
        assert (event.removed, event.added, event.after) == (
            found["removed"].sum(),
            found["added"].sum(),
            expected,
        )
        assert np.isfinite(found["scores"]).all()
        random = event.epoch == 0 or criterion == "random"
        assert event.criterion == ("random" if random else "low")
    assert changes[1].added > 0
    for report in epochs_of(events):
        assert report.sets["T"].remaining == expected
        assert report.sets["V"].remaining == 100
    if mode == "class":
        before, after = changes[0].class_counts_before, changes[-1].class_counts_after
        for count, kept in zip(before, after, strict=True):
            assert abs(kept - 0.3 * count) < 1


def test_it_chooses_by_the_supernet_as_it_is(tmp_path: Path) -> None:
    """What an event tells is what the weights of that epoch say."""
    spec = spec_of(mode="sample", epochs=3)
    list(search(spec, tmp_path))
    with np.load(tmp_path / "prunings" / "epoch-0002-T.npz") as arrays:
        scores, ids = arrays["scores"], arrays["ids"]
        after = (arrays["before"] & ~arrays["removed"]) | arrays["added"]
    run = compose(spec)
    at_two = None
    for event in search(spec, tmp_path / "again"):
        if event.type == "checkpointed" and event.epoch == 2:
            path = tmp_path / "again" / event.path
            at_two = torch.load(path, weights_only=True)
            break
    assert at_two is not None
    run.supernet.load_state_dict(at_two["supernet"])
    run.method.load_state_dict(at_two["method"])
    torch_ids = torch.from_numpy(ids)
    order = torch.randperm(100, generator=run.streams["selection/order"])
    of_train = drained(supernet_logits(run, 2, [torch_ids[order]], "x"))
    valid = run.initial_sets["V"]
    valid = valid[torch.randperm(100, generator=run.streams["selection/order"])]
    of_valid = drained(supernet_logits(run, 2, [valid], "x"))
    gradients = error_gradients(of_train, run.data.labels[torch_ids[order]])
    taken, gains = greedy(
        gradients, of_valid, run.data.labels[valid], 30, 15, spec.selection.eta
    )
    mask = torch.empty_like(taken)
    mask[order] = taken
    assert mask.numpy().tolist() == after.tolist()
    assert gains.numpy() == pytest.approx(scores[order.numpy()], abs=1e-6)


def drained(generator: Any) -> Any:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("method", ["darts", "gdas"])
def test_asking_the_supernet_changes_nothing(method: str) -> None:
    run = compose(spec_of(method))
    before = {n: t.clone() for n, t in run.supernet.state_dict().items()}
    alpha = {n: t.clone() for n, t in run.method.alpha().items()}
    parts = run.initial_sets["V"].split(40)
    logits = drained(supernet_logits(run, 1, parts, "selection/paths"))
    assert logits.shape == (100, 10)
    assert not logits.requires_grad
    for name, tensor in run.supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, tensor in run.method.alpha().items():
        assert torch.equal(tensor, alpha[name]), name


def test_a_method_of_single_paths_is_asked_through_drawn_ones() -> None:
    """Two batches of the same images meet two architectures."""
    run = compose(spec_of("gdas"))
    part = run.initial_sets["V"][:40]
    first, second = drained(
        supernet_logits(run, 1, [part, part.clone()], "selection/paths")
    ).split(40)
    assert not torch.allclose(first, second)


def test_only_the_passes_of_a_choice_are_added_to_the_cost() -> None:
    """The passes after epochs 2 and 4 see T as it began, and V."""
    by_gain, by_chance = plan(spec_of()), plan(spec_of(criterion="random"))
    assert by_gain.remaining == by_chance.remaining
    assert by_gain.cost_units == by_chance.cost_units + 2 * (100 + 100)
    assert by_gain.baseline_units == by_chance.baseline_units


@pytest.mark.parametrize("criterion", ["gain", "random"])
def test_a_search_costs_what_was_planned(criterion: str) -> None:
    spec = spec_of(criterion=criterion)
    assert epochs_of(list(search(spec)))[-1].cost_units == plan(spec).cost_units


def test_long_passes_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searchjobs.engine.selection._refreshed.PROGRESS_SECONDS", 0.0)
    spec = spec_of(epochs=3)
    events = [e for e in search(spec) if e.type == "progress"]
    told = [e for e in events if e.phase == "choosing samples"]
    assert {event.epoch for event in told} == {2}
    assert all(1 <= event.step <= event.steps for event in told)


@pytest.mark.parametrize(
    ("changes", "field", "word"),
    [
        ({"selection": {**OPTIONS, "keep_train": 0.01}}, "keep_train", "at least two"),
        ({"selection": {**OPTIONS, "every": 6}}, "every", "choose more often"),
        ({"method": {"name": "gaea-erm"}}, "", "splits the images"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    changes: dict[str, Any], field: str, word: str
) -> None:
    spec = spec_of().model_dump(mode="json")
    broken = SearchSpec.model_validate({**spec, **changes})
    problems = [p for p in data_problems(broken) if word in p.sentence]
    assert [p.field for p in problems] == [f"selection.{field}".rstrip(".")]


def test_the_control_draws_as_many_as_often() -> None:
    options = spec_of().selection
    control = selections.get("glister").control(options)
    assert control == options.model_copy(update={"criterion": "random"})
    assert selections.get("glister").control(control) is None


def test_adaptive_nas_is_glister_on_a_tenth() -> None:
    options: Any = selections.get("adaptive-nas").Options()
    assert (options.keep_train, options.every, options.criterion) == (0.1, 10, "gain")


def spec_on(devices: int) -> SearchSpec:
    found = spec_of(epochs=3).model_dump(mode="json")
    found["compute"] |= {"devices": devices, "precision": "double"}
    return SearchSpec.model_validate(found)


def chosen_on(ours: Any) -> list[dict[str, Any]]:
    events = search(spec_on(ours.size))
    return [e.model_dump() for e in events if e.type == "samples_pruned"]


def test_two_processes_choose_what_one_chooses() -> None:
    alone = [e.model_dump() for e in search(spec_on(1)) if e.type == "samples_pruned"]
    first, second = on_ranks(chosen_on)
    assert first == second
    for theirs, mine in zip(alone, first, strict=True):
        for field in ("epoch", "before", "removed", "added", "class_counts_after"):
            assert theirs[field] == mine[field], field
        assert mine["score_quantiles"] == pytest.approx(theirs["score_quantiles"])
