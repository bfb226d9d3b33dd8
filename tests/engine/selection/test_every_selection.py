"""What holds for every selection, whoever wrote it: found by the registry alone.

What is particular to a selection stands in the file of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Reduction, selections
from searchjobs.engine.data.split import shares_of
from searchjobs.engine.events import Event, Started
from searchjobs.engine.search import search
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.subset import NAME, make_subset, read_subset
from searchjobs.engine.subset_spec import subset_spec_of, validate_subset

from ..conftest import epochs_of, tiny
from ..test_resume import run_until, told

NAMES = [part.name for part in selections.all()]
REDUCTIONS = [part.name for part in selections.all() if issubclass(part, Reduction)]
EPOCHS = 3

#: What makes a scoring short, for every selection that has such an option.
SHORT = {"epochs": 2, "channels": 4, "restarts": 2, "runs": 2}
#: Options of one selection alone, without which three epochs are too few for it.
OWN: dict[str, dict[str, Any]] = {
    "adaptive-nas": {"keep_train": 0.3, "every": 1},
    "bdp": {"window": 2, "class_limit": False, "prune_train": 0.2, "prune_valid": 0.2},
    "dynamic-uncertainty": {"window": 2},
    "entropy-histogram": {"keep_train": 0.5},
    "glister": {"every": 2},
    "voe": {"window": 2},
}


def _stored(folder: Path) -> dict[str, Any]:
    spec = validate_subset(
        {
            "dataset": {"name": "digits", "per_class": 20},
            "augmentation": {"flip": False, "crop_padding": 1},
            "selection": {"name": "class-random", "keep_train": 0.4},
            "compute": {"device": "cpu", "threads": 1},
        }
    )
    list(make_subset(spec, folder))
    return {"subset": str(folder / NAME)}


def _measured(folder: Path) -> dict[str, Any]:
    scores = np.random.default_rng(1).random(200)
    np.savez(folder / "scores.npz", ids=np.arange(200), scores=scores)
    return {"path": str(folder / "scores.npz")}


#: Selections that read a file: what makes it in a folder, and returns the options.
FILES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "scores-file": _measured,
    "subset": _stored,
}


@pytest.fixture(scope="module")
def options_of(tmp_path_factory):
    """The options that a selection is tested with."""
    known: dict[str, dict[str, Any]] = {}

    def found(name: str) -> dict[str, Any]:
        if name not in known:
            fields = selections.get(name).Options.model_fields
            short = {key: value for key, value in SHORT.items() if key in fields}
            make = FILES.get(name)
            given = make(tmp_path_factory.mktemp(name)) if make else {}
            known[name] = {"name": name, **short, **OWN.get(name, {}), **given}
        return known[name]

    return found


def spec_of(selection: dict[str, Any], method: str = "darts") -> SearchSpec:
    return tiny(
        space={"name": "nas-bench-201", "channels": 4, "cells": 1},
        method={"name": method},
        selection=selection,
        training={"epochs": EPOCHS, "batch_size": 25},
    )


@pytest.fixture(scope="module")
def whole_of(options_of):
    """All events of a short search with a selection, searched once."""
    known: dict[str, list[Event]] = {}

    def found(name: str) -> list[Event]:
        if name not in known:
            known[name] = list(search(spec_of(options_of(name))))
        return known[name]

    return found


def require_planned(events: list[Event], spec: SearchSpec) -> None:
    """Sizes and cost are those of the plan, or more where a limit may keep more."""
    (started,) = (event for event in events if isinstance(event, Started))
    plan, reports = started.plan, epochs_of(events)
    assert [report.epoch for report in reports] == list(range(1, EPOCHS + 1))
    for report in reports:
        for name, state in report.sets.items():
            planned = plan.remaining[name][report.epoch]
            most = plan.sizes[name] if plan.lower_bound else planned
            assert planned <= state.remaining <= most, name
    if plan.lower_bound:
        return
    spent = plan.cost_units - plan.derivation_units
    assert reports[-1].cost_units == pytest.approx(spent, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_darts_searches_with_it_as_planned(name, whole_of, options_of):
    events = whole_of(name)
    assert events[-1].type == "finished"
    require_planned(events, spec_of(options_of(name)))


@pytest.mark.parametrize("method", ["beta-darts", "gdas"])
@pytest.mark.parametrize("name", NAMES)
def test_other_methods_search_with_it_as_planned(name, method, options_of):
    spec = spec_of(options_of(name), method)
    events = list(search(spec))
    assert events[-1].type == "finished"
    require_planned(events, spec)


@pytest.mark.parametrize("name", NAMES)
def test_a_search_with_it_resumes_bit_identically(name, whole_of, options_of, tmp_path):
    spec = spec_of(options_of(name))
    first = run_until(spec, tmp_path, 1)
    rest = list(search(spec, tmp_path, resume=True))
    assert told(first) + told(rest) == told(whole_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_who_it_is(name):
    part = selections.get(name)
    assert part.label
    assert part.summary.endswith(".")
    assert part.source
    for field, info in part.Options.model_fields.items():
        assert field == "name" or (info.title and info.description), field


@pytest.mark.parametrize("name", NAMES)
def test_what_chooses_names_a_control_of_the_same_size(name, options_of):
    part, spec = selections.get(name), spec_of(options_of(name))
    control = part.control(spec.selection)
    if name in {"full", "subset"} or getattr(part, "by_chance", False):
        assert control is None
        return
    sizes = {"T": 100, "V": 100}
    by_chance = selections.get(control.name)
    assert by_chance.remaining(control, spec, sizes) == part.remaining(
        spec.selection, spec, sizes
    )


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_job_of_its_own_chooses_what_a_search_chooses(name, options_of, tmp_path):
    spec = spec_of(options_of(name))
    run = compose(spec)
    before = {key: ids.clone() for key, ids in run.selection.sets.items()}
    list(run.selection.prepare())
    made = list(make_subset(subset_spec_of(spec, whole=False), tmp_path))[-1]
    found = read_subset(tmp_path / NAME)
    reduced = [key for key in before if spec.selection.keep(key) < 1]
    assert list(found.arrays) == reduced
    for key in reduced:
        ids, kept = found.arrays[key]["ids"], found.arrays[key]["kept"]
        assert ids.tolist() == before[key].tolist()
        assert ids[kept].tolist() == run.selection.sets[key].tolist()
    for key in before.keys() - reduced:
        assert run.selection.sets[key].tolist() == before[key].tolist()
    planned = run.selection.scoring_cost(spec.selection, 100) * len(reduced)
    assert made.cost_units == pytest.approx(planned)
    weight = run.selection.weight(spec.selection, spec, 10, 8)
    assert run.selection.preparation_units == pytest.approx(weight * planned)
    assert (weight > 0) == (planned > 0)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_job_that_was_killed_goes_on_to_the_last_bit(name, options_of, tmp_path):
    spec = subset_spec_of(spec_of(options_of(name)), whole=False)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    list(make_subset(spec, whole))
    first = make_subset(spec, broken)
    if any(event.type == "checkpointed" for event in first):
        first.close()
        list(make_subset(spec, broken, resume=True))
    one, two = (read_subset(folder / NAME).arrays["T"] for folder in (whole, broken))
    for column, values in one.items():
        assert values.tolist() == two[column].tolist(), column


@pytest.mark.parametrize("name", REDUCTIONS)
def test_both_ends_part_the_samples_between_them(name, options_of, tmp_path):
    options = {**options_of(name), "keep_train": 0.5, "class_rule": "none"}
    easy, hard = (
        _kept(options | {"drop_train": drop}, tmp_path / drop)
        for drop in ("highest", "lowest")
    )
    assert len(easy) == len(hard) == 50
    assert not easy & hard


@pytest.mark.parametrize("share", [0.25, 0.37])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_sizes_are_rounded_down_and_classes_share_what_is_left(
    name, share, options_of, tmp_path
):
    labels = compose(spec_of(options_of(name))).data.labels
    options = {**options_of(name), "keep_train": share}
    kept = _kept(options | {"class_rule": "none"}, tmp_path / "set")
    assert len(kept) == int(share * 100)
    by_class = _kept(options | {"class_rule": "stratified"}, tmp_path / "class")
    counts = labels[sorted(by_class)].bincount(minlength=10)
    found = read_subset(tmp_path / "class" / NAME)
    before = torch.from_numpy(found.arrays["T"]["ids"])
    expected = shares_of(labels[before].bincount(minlength=10).tolist(), share)
    assert counts.tolist() == expected
    assert sum(expected) == int(share * 100)


def _kept(selection: dict[str, Any], folder: Path) -> set[int]:
    folder.mkdir()
    spec = subset_spec_of(spec_of(selection), whole=False)
    list(make_subset(spec, folder))
    arrays = read_subset(folder / NAME).arrays["T"]
    return set(arrays["ids"][arrays["kept"]].tolist())
