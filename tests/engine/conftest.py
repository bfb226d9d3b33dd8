"""Tiny specs that search real digits in seconds, and what tests do with events."""

from __future__ import annotations

from typing import Any

import pytest

from searchjobs.engine.events import EpochFinished, Event
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import validate


def tiny(**changes: Any) -> SearchSpec:
    """A search on digits at C=2, N=1 whose epochs take a fraction of a second."""
    data: dict[str, Any] = {
        "space": {"name": "nas-bench-201", "channels": 2, "cells": 1},
        "dataset": {"name": "digits", "per_class": 20},
        "selection": {
            "name": "bdp",
            "window": 2,
            "prune_train": 0.2,
            "prune_valid": 0.2,
            "class_limit": False,
        },
        "training": {
            "epochs": 6,
            "batch_size": 25,
            "alpha_lr": 0.01,
            "order": "architecture-first",
        },
        "diagnostics": {
            "probe_samples": 50,
            "eigenvalue_every": 0,
            "eigenvalue_samples": 16,
        },
        "compute": {"device": "cpu", "threads": 1},
    }
    for section, values in changes.items():
        if isinstance(values, dict) and "name" not in values:
            data[section] = {**data.get(section, {}), **values}
        else:
            data[section] = values
    return validate(data)


def epochs_of(events: list[Event]) -> list[EpochFinished]:
    return [event for event in events if isinstance(event, EpochFinished)]


def without_clock(event: Event) -> dict[str, Any]:
    """The event without what differs from run to run: seconds and memory."""
    clock = {
        "seconds_search",
        "seconds_evaluation",
        "peak_memory_bytes",
        "samples_per_second",
    }
    return event.model_dump(exclude=clock)


@pytest.fixture(scope="session")
def tiny_events() -> list[Event]:
    """All events of one tiny BDP search."""
    from searchjobs.engine.search import search

    return list(search(tiny()))
