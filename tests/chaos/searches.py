"""The short searches of the chaos tests, and what each finds if nothing disturbs it."""

from __future__ import annotations

from typing import Any

from searchjobs.engine.events import EpochFinished, Finished
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.models import DatasetStatistics, EpochRecord, Run

#: The epochs of a search, and the architectures that it gave.
Found = dict[str, Any]
#: What of an epoch must be the same to the last bit.
EXACT = (
    "epoch",
    "genotype",
    "alpha",
    "strengths",
    "train_loss",
    "valid_loss",
    "train_accuracy",
    "valid_accuracy",
    "cost_units",
)

FULL = {"name": "full"}
PRUNING = {"name": "bdp", "window": 3, "prune_train": 0.05, "prune_valid": 0.05}


def spec(number: int, epochs: int) -> dict[str, Any]:
    """Return the spec of a search that lasts a few seconds."""
    selection = FULL if number % 4 == 3 else PRUNING
    return {
        "space": {"name": "nas-bench-201", "channels": 2, "cells": 1},
        "dataset": {"name": "digits", "per_class": 20},
        "selection": selection,
        "training": {"epochs": epochs, "batch_size": 25, "alpha_lr": 0.01},
        "diagnostics": {"probe_samples": 32, "eigenvalue_every": 0},
        "compute": {"device": "cpu", "threads": 1},
    }


def undisturbed(number: int, epochs: int) -> Found:
    """Run a search right here, and return what it found."""
    checked = validate(spec(number, epochs) | {"seed": number})
    epochs, found = [], []
    for event in search(checked):
        told = event.model_dump(mode="json")
        if isinstance(event, EpochFinished):
            epochs.append(
                {
                    **{name: told[name] for name in EXACT},
                    "sets": {name: _set(state) for name, state in told["sets"].items()},
                }
            )
        elif isinstance(event, Finished):
            found = told["architectures"]
    return {"epochs": epochs, "architectures": found}


def recorded(run: Run) -> Found:
    """Return what stands in the database of a run, in the form of ``undisturbed``."""
    sets: dict[int, dict[str, Any]] = {}
    for row in DatasetStatistics.objects.filter(run=run):
        state = sets.setdefault(row.epoch, {})
        assert row.set not in state, "a set stands twice in an epoch"
        state[row.set] = _set(vars(row))
    epochs = [
        {**values, "sets": sets.get(values["epoch"], {})}
        for values in EpochRecord.objects.filter(run=run).values(*EXACT)
    ]
    return {"epochs": epochs, "architectures": run.architectures}


def _set(state: dict[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("remaining", "class_counts", "balance")}
