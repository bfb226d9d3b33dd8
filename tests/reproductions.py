"""Shared by tests of the papers' tables: images that stand in, runs that ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from django.contrib.auth.models import User
from django.utils import timezone

from searchjobs import benchmark
from searchjobs.engine.scales import Scale, scale_named
from searchjobs.engine.tables import Paper, Table, table_named
from searchjobs.models import Dataset, EpochRecord, Job, Run, Team
from searchjobs.states import State

CLASSES = ("airplane", "automobile", "frog", "horse")
PER_CLASS = 1250
ALL_SKIP = (
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+"
    + "".join(f"|skip_connect~{node}" for node in range(3))
    + "|"
)
CONVOLUTIONS = ALL_SKIP.replace("skip_connect", "nor_conv_3x3")
POOLS = ALL_SKIP.replace("skip_connect", "avg_pool_3x3")


def table(name: str) -> tuple[Paper, Table]:
    found = table_named(name)
    assert found is not None
    return found


def scale(name: str = "cpu-small") -> Scale:
    found = scale_named(name)
    assert found is not None
    return found


def stand_in(user: User, team: Team, folder: Path) -> Dataset:
    """Register noise under the class names of the small scale, as many images as it
    takes."""
    stream = np.random.default_rng(1)
    file = folder / "four.npz"
    np.savez(
        file,
        images=stream.integers(0, 256, (4 * PER_CLASS, 8, 8, 3), dtype=np.uint8),
        labels=np.repeat(np.arange(4), PER_CLASS),
        classes=np.array(CLASSES),
    )
    return Dataset.objects.create(
        team=team,
        name="four classes",
        source={"name": "npz", "path": str(file)},
        classes=list(CLASSES),
        class_counts=[PER_CLASS] * 4,
        image_size=8,
        author=user,
    )


def end(
    run: Run,
    genotype: str = CONVOLUTIONS,
    *,
    state: str = State.SUCCEEDED,
    epochs: Sequence[str] = (),
    cost: float | None = None,
) -> None:
    """End a launched run with a cell; ``epochs`` are the cells on its way, each a
    share of its cost."""
    found = benchmark.resolve_one("nas-bench-201", genotype)
    run.cost_units = run.plan["cost_units"] if cost is None else cost
    Run.objects.filter(pk=run.pk).update(
        architecture=found if state == State.SUCCEEDED else None,
        cost_units=run.cost_units,
        seconds_search=30.0,
        epoch=len(epochs) or run.epochs,
        architectures=[
            {
                "derivation": "argmax",
                "epoch": run.epochs,
                "architecture": genotype,
                "connected": True,
                "criterion": "",
            }
        ],
    )
    Job.objects.filter(run=run).update(state=state, finished=timezone.now())
    for place, cell in enumerate(epochs, start=1):
        EpochRecord.objects.create(
            run=run,
            epoch=place,
            alpha={},
            strengths={},
            magnitudes={},
            genotype=cell,
            skips=cell.count("skip_connect"),
            cost_units=run.cost_units * place / len(epochs),
            seconds_search=30.0 * place / len(epochs),
            seconds_evaluation=0.0,
        )
