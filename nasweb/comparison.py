"""Compare runs: groups that differ by nothing but the seed, mean and spread, what
each had found when it had cost as much as the cheapest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from searchjobs.states import State

Axis = Literal["epoch", "cost", "seconds"]
AXES: dict[str, tuple[str, str]] = {
    "epoch": ("epoch", "Epochs"),
    "cost": ("cost units (forward passes of one sample)", "Cost units"),
    "seconds": ("seconds of search", "Seconds"),
}
MEASURES: dict[str, tuple[str, str]] = {
    "table": ("genotype by table", "trained accuracy of the genotype: a look-up"),
    "inherited": ("derived cell", "inherited weights, probe samples of V: not trained"),
    "supernet": (
        "supernet",
        "probe samples of V; of methods that sample cells, the mean of drawn ones",
    ),
}
MOST_GRID_POINTS = 300


@dataclass(frozen=True)
class Step:
    """What is compared of one epoch.  Accuracies are per cent."""

    epoch: int
    cost: float
    seconds: float
    supernet: float | None
    inherited: float | None
    remaining: float | None
    """Share of the samples of T and V that remains, per cent."""
    cost_share: float | None
    """Cost against the same search without pruning up to the same epoch."""
    skips: int
    genotype: str
    edges: int = 0
    parameter_free: int = 0
    """Edges that take an operation without weights: skip, pool or none."""
    free_magnitude: float | None = None
    """Share of the strength that lies on such operations, per cent."""
    eigenvalue: float | None = None
    """Of the alpha Hessian, where it was measured."""
    sets: Mapping[str, int] = field(default_factory=dict)
    """Samples that remain of T and of V."""
    table: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def at(self, axis: str) -> float:
        """Return where the epoch stands on one of AXES."""
        return float(getattr(self, axis))


@dataclass(frozen=True)
class Member:
    """One run of a comparison, with its steps in order of epochs.

    ``given`` is the last step with what the run gave and cost in all: a derivation or
    a stopping rule may have taken the architecture of another epoch, or of none.
    None before the run has ended.  ``cell`` is that architecture, else the newest.
    """

    uuid: str
    seed: int
    state: str
    cell: Sequence[tuple[str, str, str]]
    steps: Sequence[Step]
    given: Step | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Samples of T and of V before anything was left out."""
    left: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Samples of T and of V that remained after each epoch, also of epochs that are
    not among the steps."""

    @property
    def succeeded(self) -> bool:
        return self.state == State.SUCCEEDED

    @property
    def last(self) -> Step | None:
        return self.given or (self.steps[-1] if self.steps else None)


@dataclass(frozen=True)
class Group:
    """Runs that are read together."""

    label: str
    spec: Mapping[str, Any]
    members: Sequence[Member]

    @property
    def n(self) -> int:
        return len(self.members)


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of n values; None of either without."""

    n: int
    mean: float | None
    deviation: float | None


@dataclass(frozen=True)
class Band:
    """A curve with its spread: where all runs of a group have a value."""

    x: list[float]
    mean: list[float]
    deviation: list[float]
    n: int


def spread(values: Iterable[float | None]) -> Spread:
    """Return mean and sample standard deviation (n - 1) of those that are there."""
    found = [value for value in values if value is not None]
    if not found:
        return Spread(0, None, None)
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return Spread(len(found), statistics.fmean(found), deviation)


def value_of(measure: str, dataset: str) -> Callable[[Step], float | None]:
    """Return the function that reads a measure from a step."""
    if measure == "table":
        return lambda step: step.table.get(dataset, {}).get("test")
    if measure == "inherited":
        return lambda step: step.inherited
    return lambda step: step.supernet


def band(
    members: Sequence[Member], axis: str, value: Callable[[Step], float | None]
) -> Band | None:
    """Return mean and deviation over the runs along an axis.

    A run's value holds until its next epoch.  The curve spans what all runs share,
    so that no mean changes because a run is missing from it; None if they share
    nothing.  What is not finite counts as not measured.
    """
    where = attrgetter(axis)
    curves = []
    for member in members:
        known = [
            (step, y)
            for step in member.steps
            if (y := value(step)) is not None and math.isfinite(y)
        ]
        if known:
            xs = np.array([where(step) for step, _ in known], dtype=np.float64)
            curves.append((xs, np.array([y for _, y in known], dtype=np.float64)))
    if not curves:
        return None
    first = max(xs[0] for xs, _ in curves)
    last = min(xs[-1] for xs, _ in curves)
    grid = np.unique(np.concatenate([xs for xs, _ in curves]))
    grid = _thin(grid[(first <= grid) & (grid <= last)])
    if not len(grid):
        return None
    held = np.stack([ys[np.searchsorted(xs, grid, "right") - 1] for xs, ys in curves])
    spreads = held.std(axis=0, ddof=1) if len(held) > 1 else np.zeros(len(grid))
    return Band(grid.tolist(), held.mean(axis=0).tolist(), spreads.tolist(), len(held))


def _thin(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep at most MOST_GRID_POINTS, the first and the last among them."""
    if len(grid) <= MOST_GRID_POINTS:
        return grid
    return grid[np.linspace(0, len(grid) - 1, MOST_GRID_POINTS).round().astype(int)]


def cheapest(groups: Sequence[Group]) -> float | None:
    """Return the smallest of the groups' mean costs, of those that train anything;
    None before any epoch."""
    costs = [spread(m.last.cost for m in g.members if m.last).mean for g in groups]
    known = [cost for cost in costs if cost]
    return min(known) if known else None


def at_cost(member: Member, budget: float) -> Step | None:
    """Return the last epoch that a run could pay, with what the run gave if it could
    pay all of it; None if not even the first."""
    most = budget * (1 + 1e-9)
    if member.last is not None and member.last.cost <= most:
        return member.last
    affordable = [step for step in member.steps if step.cost <= most]
    return affordable[-1] if affordable else None


def summary(group: Group, step_of: Callable[[Member], Step | None]) -> dict[str, Any]:
    """Return one row of the table: a Spread for each column.

    ``step_of`` says which epoch of a run counts: its last, or that at equal cost.
    """
    steps = [step for step in map(step_of, group.members) if step is not None]
    datasets = dict.fromkeys(name for step in steps for name in step.table)
    return {
        "label": group.label,
        "n": group.n,
        "epoch": spread(step.epoch for step in steps),
        "cost": spread(step.cost for step in steps),
        "cost_share": spread(step.cost_share for step in steps),
        "seconds": spread(step.seconds for step in steps),
        "supernet": spread(step.supernet for step in steps),
        "inherited": spread(step.inherited for step in steps),
        "skips": spread(float(step.skips) for step in steps),
        "parameter_free": spread(float(step.parameter_free) for step in steps),
        "collapsed": sum(0 < step.edges <= step.parameter_free for step in steps),
        "table": {
            name: {
                split: spread(step.table.get(name, {}).get(split) for step in steps)
                for split in ("valid", "test")
            }
            for name in datasets
        },
    }


def operation_shares(group: Group, operations: Sequence[str]) -> dict[str, list[float]]:
    """Return, per edge, the share of the group's runs that take each operation."""
    taken: dict[str, list[str]] = {}
    for member in group.members:
        for _, row, operation in member.cell:
            taken.setdefault(row, []).append(operation)
    return {
        row: [names.count(operation) / len(names) for operation in operations]
        for row, names in taken.items()
    }
