"""What holds for every method, whoever wrote it: found by the registry alone.

What is particular to a method stands in the file of its name beside this one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

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
def test_what_it_costs_is_what_the_plan_says(name, whole_of):
    events = whole_of(name)
    started = events[0]
    assert epochs_of(events)[-1].cost_units == pytest.approx(started.plan.cost_units)


@pytest.mark.parametrize("name", NAMES)
def test_it_resumes_bit_identically(name, whole_of, tmp_path):
    first = run_until(short(name), tmp_path, 2)
    rest = list(search(short(name), tmp_path, resume=True))
    assert told(first) + told(rest) == told(whole_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_who_it_is(name):
    part = methods.get(name)
    assert part.label
    assert part.summary.endswith(".")
    assert any(character.isdigit() for character in part.source), "no year, no equation"
    for field, info in part.Options.model_fields.items():
        assert field == "name" or (info.title and info.description), field
