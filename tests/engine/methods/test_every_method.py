"""What holds for every method, whoever wrote it: found by the registry alone.

What is particular to a method stands in the file of its name beside this one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Method, methods
from searchjobs.engine.search import search
from searchjobs.engine.spec import SearchSpec

from ..conftest import epochs_of, tiny
from ..test_resume import run_until, told

NAMES = [part.name for part in methods.all() if issubclass(part, Method)]


#: Options without which four epochs are too few for a method.
SHORT: dict[str, dict[str, Any]] = {
    "enas": {"updates": 3, "samples": 4},
    "p-darts": {"operations": (5, 3), "skip_dropout": (0.1, 0.4)},
    "sgas": {"warmup": 20},
}


def short(name: str, **changes: Any) -> SearchSpec:
    """Four epochs of a method on 200 digits at C=4 and N=1."""
    data: dict[str, Any] = {
        "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
        "method": {"name": name, **SHORT.get(name, {})},
        "selection": {"name": "full"},
        "training": {"epochs": 4, "batch_size": 25, "warmup_epochs": 1},
    }
    return tiny(**{**data, **changes})


@pytest.fixture(scope="module")
def whole_of():
    """All events of a method's short search, searched once."""
    known: dict[str, list[Any]] = {}

    def found(name: str) -> list[Any]:
        if name not in known:
            known[name] = list(search(short(name)))
        return known[name]

    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_gives_an_architecture(name, whole_of):
    events = whole_of(name)
    reports = epochs_of(events)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert events[-1].type == "finished"
    assert events[-1].architectures[0].architecture
    for report in reports:
        assert math.isfinite(report.train_loss)
        for table in report.strengths.values():
            assert all(math.isfinite(entry) for row in table for entry in row)
        if methods.get(name).trains_architecture(short(name), report.epoch):
            assert report.architecture_steps > 0


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_each_of_its_named_curves_is(name, whole_of):
    told = {curve for e in epochs_of(whole_of(name)) for curve in e.method.scalars}
    assert told <= methods.get(name).curves.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_it_costs_is_what_the_plan_says(name, whole_of):
    events = whole_of(name)
    plan = events[0].plan
    of_the_epochs = plan.cost_units - plan.derivation_units
    assert epochs_of(events)[-1].cost_units == pytest.approx(of_the_epochs)


@pytest.mark.parametrize("name", NAMES)
def test_it_resumes_bit_identically(name, whole_of, tmp_path):
    first = run_until(short(name), tmp_path, 2)
    rest = list(search(short(name), tmp_path, resume=True))
    assert told(first) + told(rest) == told(whole_of(name))


#: Another value of each setting that some method says it does not read.
OTHERWISE = {
    "training.order": "weights-first",
    "training.policy": "zip-max",
    "training.alpha_every": 3,
    "training.cap_architecture_steps": True,
    "training.warmup_epochs": 3,
    "training.alpha_lr": 0.5,
    "training.alpha_lr_min": 0.1,
    "training.alpha_beta1": 0.1,
    "training.alpha_beta2": 0.1,
    "training.alpha_weight_decay": 0.5,
}
IGNORING = [
    name for name in NAMES if any("." in path for path in methods.get(name).ignores)
]


@pytest.mark.parametrize("name", IGNORING)
def test_settings_that_it_ignores_change_nothing(name, whole_of):
    unread = {path for path in methods.get(name).ignores if "." in path}
    spec = short(name).model_dump(mode="json")
    for path in unread:
        section, field = path.split(".")
        assert spec[section][field] != OTHERWISE[path]
        spec[section][field] = OTHERWISE[path]
    assert told(list(search(SearchSpec(**spec)))) == told(whole_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_who_it_is(name):
    part = methods.get(name)
    assert part.label
    assert part.summary.endswith(".")
    assert any(character.isdigit() for character in part.source), "no year, no equation"
    for field, info in part.Options.model_fields.items():
        assert field == "name" or (info.title and info.description), field


# DARTS- adds numbers that lie on the device of its search to the mixture of DARTS
@pytest.mark.parametrize("name", [name for name in NAMES if name != "darts-minus"])
def test_a_mixture_without_some_operations_copies_no_mask_at_every_step(name):
    # a copy from the CPU waits for a GPU, and no graph can record it; the meta device
    # stands for the GPU here
    space = {"name": "nas-bench-201", "channels": 4, "cells": 1}
    search = compose(short(name, space={**space, "without": ["nor_conv_1x1"]}))
    tables = {n: table.to("meta") for n, table in search.method.alpha().items()}
    search.method.relaxation(tables)
    with Copies() as copies:
        found = search.method.relaxation(tables)
    assert not copies.made
    assert {n: t.shape for n, t in found.items()} == {
        n: t.shape for n, t in tables.items()
    }


class Copies(TorchDispatchMode):
    """Notes what is copied to another device or kind of number inside."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function is torch.ops.aten._to_copy.default:
            self.made.append(arguments[0].shape)
        return function(*arguments, **(keywords or {}))
