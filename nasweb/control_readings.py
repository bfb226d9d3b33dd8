"""Where the runs of a claim and of its controls are read, and what stands there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.runs.points import space_of, table_column
from searchjobs import benchmark
from searchjobs.benchmark import TableEntry
from searchjobs.models import EpochRecord, Run
from searchjobs.states import State

Epoch = tuple[int, float, str, float | None]
"""Number, cost units so far, genotype, accuracy with inherited weights."""


@dataclass(frozen=True)
class Place:
    """One run at its end, or at an epoch before.

    ``cost_share`` is against the whole search on all samples; ``inherited`` the
    accuracy (0 to 1) of the cell on V.
    """

    seed: int
    epoch: int
    cost: float
    cost_share: float | None
    cell: str
    inherited: float | None


def at_end(runs: Iterable[Run]) -> list[Place]:
    """Return the runs that succeeded, each seed once."""
    return [_end(run) for run in once_a_seed(runs) if run.job.state == State.SUCCEEDED]


def at_cost(
    runs: Iterable[Run], epochs: Mapping[int, Sequence[Epoch]], budget: float | None
) -> list[Place]:
    """Return runs at the last epoch that ``budget`` cost units pay for, each seed once.

    One that could pay all of it is read at its end; one that goes on counts as soon
    as it has spent more.
    """
    if budget is None:
        return []
    found = []
    for run in once_a_seed(runs):
        steps = epochs.get(run.pk, ())
        paid = bisect_right(steps, budget * (1 + 1e-9), key=lambda step: step[1])
        if paid < len(steps):
            found += [_place(run, *steps[paid - 1])] if paid else []
        elif run.job.state == State.SUCCEEDED:
            found.append(_end(run))
    return found


def once_a_seed(runs: Iterable[Run]) -> list[Run]:
    """Keep one run a seed, one that succeeded before others: the same seed again is
    no other observation."""
    chosen: dict[int, Run] = {}
    for run in runs:
        kept = chosen.get(run.seed)
        if kept is None or (
            run.job.state == State.SUCCEEDED and kept.job.state != State.SUCCEEDED
        ):
            chosen[run.seed] = run
    return list(chosen.values())


def _end(run: Run) -> Place:
    cell = run.architecture.encoding if run.architecture else ""
    return _place(run, run.epoch, run.cost_units, cell, run.inherited_accuracy)


def _place(
    run: Run, epoch: int, cost: float, cell: str, inherited: float | None
) -> Place:
    share = cost / run.baseline_units if run.baseline_units else None
    return Place(run.seed, epoch, cost, share, cell, inherited)


def epochs_of(runs: Iterable[int]) -> dict[int, list[Epoch]]:
    """Read the epochs of these runs in order; one query."""
    found: dict[int, list[Epoch]] = {}
    for run, epoch, cost, genotype, inherited in (
        EpochRecord.objects.filter(run__in=set(runs))
        .order_by("run", "epoch")
        .values_list("run", "epoch", "cost_units", "genotype", "inherited_accuracy")
    ):
        found.setdefault(run, []).append((epoch, cost, genotype, inherited))
    return found


@dataclass(frozen=True)
class Measure:
    """The accuracy that is told of the cells of a search; ``column`` is the data set of
    the table, empty where no table is loaded."""

    column: str
    words: str


def measure_of(spec: Mapping[str, Any], tables: Mapping[str, Any]) -> Measure:
    """Return the table's accuracy on what was searched on, else on CIFAR-10; without a
    table in ``tables`` (by space) that of inherited weights."""
    if space_of(spec) not in tables:
        return Measure(
            "", "accuracy of the cell on V with inherited weights, not trained"
        )
    column = table_column(spec) or "cifar10"
    label = benchmark.DATASETS[column]
    return Measure(
        column, f"{label} test accuracy of the cell by table (200 epochs, a look-up)"
    )


Tables = Mapping[str, Mapping[str, TableEntry]]
"""By space, of those that have a table: what it knows of each cell."""


def look_up(
    cells: Mapping[str, Iterable[str]], tables: benchmark.Tables | None = None
) -> Tables:
    """Return what the tables of the spaces know of these cells; ``tables`` is what the
    page has read of them already."""
    tables = tables or benchmark.Tables()
    return {
        space: tables.lookup(space, encodings)
        for space, encodings in cells.items()
        if tables.loaded(space)
    }


def value_at(
    place: Place, measure: Measure, entries: Mapping[str, TableEntry]
) -> float | None:
    """Return the accuracy at a place, in per cent; None where nobody knows it."""
    if not measure.column:
        return None if place.inherited is None else 100 * place.inherited
    entry = entries.get(place.cell)
    known = entry.get(measure.column, "test") if entry else None
    return known.value if known else None
