"""Runs with epochs for the pages' tests: numbers as a small search gives them."""

from __future__ import annotations

import math
import random
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from searchjobs import benchmark
from searchjobs.engine.plan import plan
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import validate
from searchjobs.models import (
    BenchmarkResult,
    DatasetStatistics,
    EpochRecord,
    Experiment,
    Job,
    Queue,
    Run,
    Team,
)

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
WINDOW = 5


def digits_spec(epochs: int = 20, **sections: Any) -> SearchSpec:
    """Return a small BDP spec on digits; ``sections`` replace whole sections."""
    given = {
        "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
        "dataset": {"name": "digits"},
        "selection": {"name": "bdp", "window": WINDOW},
        "training": {"epochs": epochs},
        **sections,
    }
    return validate(given, check_data=False)


def make_run(
    user: User,
    team: Team,
    queue: Queue,
    *,
    name: str = "BDP on digits",
    seed: int = 1,
    spec: SearchSpec | None = None,
    finished: int = 0,
    state: str = "running",
    experiment: Experiment | None = None,
) -> Run:
    """Make a run with ``finished`` epochs."""
    spec = spec or digits_spec()
    planned = plan(spec)
    content = spec.model_dump(mode="json")
    rows = list(benchmark.space_named(spec.space.name).tables["cell"])
    experiment = experiment or Experiment.objects.create(
        team=team,
        name=name,
        spec=content,
        fingerprint=spec.fingerprint(with_seed=False),
        seeds=[seed],
        author=user,
    )
    job = Job.objects.create(
        team=team,
        author=user,
        spec={**content, "seed": seed},
        state=state,
        queue=queue,
        fence=0 if state == "queued" else 1,
        queued=timezone.now(),
        log_tail="" if state == "queued" else "epoch 1 of 20\nepoch 2 of 20\n",
        environment={"python": "3.11.2", "torch": "2.6.0", "device": "CPU"},
    )
    run = Run.objects.create(
        job=job,
        experiment=experiment,
        seed=seed,
        epochs=planned.epochs,
        plan=planned.model_dump(mode="json"),
        baseline_units=planned.baseline_units,
        structure={
            "edges": {"cell": rows},
            "operations": OPERATIONS,
            "classes": [str(digit) for digit in range(10)],
        },
    )
    for _ in range(finished):
        add_epoch(run)
    return run


@transaction.atomic
def add_epoch(run: Run) -> EpochRecord:
    """Add the next epoch of a run, with a pruning event where one is due: all of it
    at one moment, as the recorder does."""
    epoch = run.epoch + 1
    space = benchmark.space_named(run.job.spec["space"]["name"])
    strengths = _strengths(run.seed, epoch, len(space.tables["cell"]))
    names = [OPERATIONS[row.index(max(row))] for row in strengths]
    without = [OPERATIONS[1 + row[1:].index(max(row[1:]))] for row in strengths]
    genotype = space.encode({"cell": names})
    accuracy = 0.92 - 0.8 * math.exp(-epoch / 9)
    run.epoch = epoch
    bdp = run.job.spec["selection"]["name"] == "bdp"
    share = 0.85 ** ((epoch - 1) // WINDOW) if bdp else 1.0
    run.cost_units += run.baseline_units / run.epochs * share
    run.seconds_search = 1.9 * epoch
    run.seconds_evaluation = 0.4 * epoch
    run.train_accuracy, run.valid_accuracy = accuracy + 0.02, accuracy
    run.inherited_accuracy = 0.8 * accuracy
    run.skips = names.count("skip_connect")
    run.architecture = benchmark.resolve_one(space.name, genotype)
    run.save()
    measured = epoch % WINDOW == 0
    record = EpochRecord.objects.create(
        run=run,
        epoch=epoch,
        train_loss=2.3 * math.exp(-epoch / 14),
        train_accuracy=run.train_accuracy,
        valid_loss=2.3 * math.exp(-epoch / 15) + 0.1,
        valid_accuracy=run.valid_accuracy,
        inherited_accuracy=run.inherited_accuracy,
        eigenvalue=0.3 + 0.01 * epoch if measured else None,
        alpha={"cell": [[math.log(value) for value in row] for row in strengths]},
        strengths={"cell": strengths},
        magnitudes={
            name: sum(row[place] for row in strengths) / len(strengths)
            for place, name in enumerate(OPERATIONS)
        },
        architecture=run.architecture,
        genotype=genotype,
        skips=run.skips,
        cost_units=run.cost_units,
        seconds_search=run.seconds_search,
        seconds_evaluation=run.seconds_evaluation,
        report=_report(space, genotype, names, without, strengths, measured, epoch),
    )
    _add_statistics(run, epoch)
    return record


def import_table(values: dict[str, float]) -> None:
    """Store test and valid accuracy of these encodings, ranked, on all data sets."""
    order = sorted(values, key=lambda encoding: -values[encoding])
    rows = benchmark.resolve("nas-bench-201", order)
    BenchmarkResult.objects.bulk_create(
        BenchmarkResult(
            architecture=rows[encoding],
            dataset=dataset,
            split=split,
            protocol="200",
            value=values[encoding] - (3 if split == "valid" else 0),
            trials=3,
            rank=order.index(encoding) + 1,
        )
        for encoding in order
        for dataset in benchmark.DATASETS
        for split in ("valid", "test")
    )
    benchmark.forget_table("nas-bench-201")


def _strengths(seed: int, epoch: int, edges: int) -> list[list[float]]:
    """Softmax of logits that drift, one direction an edge."""
    draw = random.Random(seed)
    rows = []
    for _ in range(edges):
        pull = [draw.gauss(0, 1) for _ in OPERATIONS]
        pull[0] -= 1.5
        weights = [math.exp(each * epoch / 18) for each in pull]
        rows.append([weight / sum(weights) for weight in weights])
    return rows


def _report(
    space: Any,
    genotype: str,
    names: list[str],
    without: list[str],
    strengths: list[list[float]],
    measured: bool,
    epoch: int,
) -> dict[str, Any]:
    best = [sorted(row, reverse=True) for row in strengths]
    return {
        "genotype_without_none": space.encode({"cell": without}),
        "connected": space.connected(genotype),
        "nones": names.count("none"),
        "parameter_free": sum(name in space.parameter_free for name in names),
        "entropy": {"cell": [-sum(p * math.log(p) for p in row) for row in strengths]},
        "margins": {"cell": [row[0] - row[1] for row in best]},
        "alpha_travel": 0.02 * epoch,
        "eigenvalue_absolute": 0.35 + 0.01 * epoch if measured else None,
        "weight_steps": 29,
        "architecture_steps": 29,
        "learning_rates": {"weights": 0.025, "architecture": 0.003},
        "peak_memory_bytes": 300_000_000,
    }


def _add_statistics(run: Run, epoch: int) -> None:
    due = run.job.spec["selection"]["name"] == "bdp" and epoch % WINDOW == 0
    for name in ("T", "V"):
        size = run.plan["remaining"][name][epoch]
        counts = [size // 10 + (1 if digit < size % 10 else 0) for digit in range(10)]
        before = [
            count + 2 + (1 if digit % 2 else 0) for digit, count in enumerate(counts)
        ]
        DatasetStatistics.objects.create(
            run=run,
            epoch=epoch,
            set=name,
            remaining=size,
            class_counts=counts,
            balance=0.98,
            event=_event(name, epoch, before, counts) if due else None,
        )


def _event(
    name: str, epoch: int, before: list[int], after: list[int]
) -> dict[str, Any]:
    removed = sum(before) - sum(after)
    bins = 30
    shape = [round(900 * (b + 1) * math.exp(-b / 5) / 25) for b in range(bins)]
    low = name == "T"
    gone = [count if (b < 3 if low else b > 20) else 0 for b, count in enumerate(shape)]
    return {
        "epoch": epoch,
        "set": name,
        "criterion": "low" if low else "high",
        "reason": "",
        "before": sum(before),
        "requested": removed,
        "removed": removed,
        "after": sum(after),
        "balance": 0.98,
        "limit": 1.4,
        "class_counts_before": before,
        "class_counts_after": after,
        "score_quantiles": [0.0, 0.01, 0.04, 0.08, 0.12, 0.2, 0.3],
        "histogram_edges": [place / 100 for place in range(bins + 1)],
        "histogram_kept": [a - b for a, b in zip(shape, gone, strict=True)],
        "histogram_removed": gone,
        "cut": 0.03 if low else 0.21,
        "correlation": 0.42,
        "mean_error_kept": 0.4,
        "mean_error_removed": 0.1,
        "artefact": "",
    }
