"""Settings that are sound alone and not together, and the field that must say so."""

from __future__ import annotations

from typing import Any

from searchjobs.engine.data.source import sources

#: A spec, and the one field at which its problem stands.
MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"training": {"weight_lr": 3e-4}}, "training.weight_lr_min"),
    ({"training": {"alpha_lr_min": 0.5}}, "training.alpha_lr_min"),
    ({"training": {"warmup_epochs": 60}}, "training.warmup_epochs"),
    ({"training": {"schedule_epochs": 20}}, "training.schedule_epochs"),
    ({"method": {"name": "drnas", "operations": [3, 5]}}, "method.operations"),
    ({"method": {"name": "drnas", "partial": [4]}}, "method.partial"),
    ({"method": {"name": "drnas", "partial": [2, 4]}}, "method.partial"),
    ({"method": {"name": "drnas", "partial": [4, 0]}}, "method.partial"),
    ({"method": {"name": "evolution", "sample": 20}}, "method.sample"),
    ({"method": {"name": "gdas", "temperature_end": 20}}, "method.temperature_end"),
    ({"method": {"name": "p-darts", "operations": [5, 3, 1]}}, "method.operations"),
    ({"method": {"name": "p-darts", "cells": [1, 3]}}, "method.cells"),
    ({"method": {"name": "p-darts", "cells": [0, 3, 5]}}, "method.cells"),
    ({"method": {"name": "p-darts", "skip_dropout": [0.1]}}, "method.skip_dropout"),
    (
        {"method": {"name": "p-darts", "skip_dropout": [0.1, 0.4, 1]}},
        "method.skip_dropout",
    ),
    ({"method": {"name": "snas", "temperature_end": 2}}, "method.temperature_end"),
    ({"method": {"name": "vp-darts", "operations": [5, 5]}}, "method.operations"),
    ({"derivation": {"name": "sampled", "finalists": 999}}, "derivation.finalists"),
    (
        {"derivation": {"name": "sampled", "judged_on": "all", "finalists": 2}},
        "derivation.finalists",
    ),
    # every source shares these settings
    *(
        (
            {"dataset": {"name": source.name, "mean": [0.5, 0.5, 0.5]}},
            "dataset.normalise",
        )
        for source in sources.all()
    ),
]
