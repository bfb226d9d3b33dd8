"""A table with printed values and ours: rows, cells, deviations, what is missing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nasweb.comparison import Spread, spread
from nasweb.datasets.named import names
from searchjobs.engine.scales import Scale, cannot, trains
from searchjobs.engine.tables import (
    Column,
    Printed,
    Row,
    Table,
    fact,
    find_recipe,
    printed,
)
from searchjobs.models import Run, Team
from searchjobs.reproduce import Progress, Runs, add, runs_of
from searchjobs.states import State

from .cells import (
    Known,
    Protocol,
    affordable,
    cell_of,
    protocol_of,
    read,
    trained_value,
)

NOTHING = Spread(0, None, None)


@dataclass(frozen=True)
class Value:
    """One cell of the table.

    Attributes:
        ours: over seeds (of a search on the table over its repeats).
        trainings: of cells trained from scratch, how many are behind it.
        why: why there is nothing, where that is no matter of runs to come.
    """

    printed: Printed
    ours: Spread = NOTHING
    trainings: int = 0
    why: str = ""

    @property
    def deviation(self) -> float | None:
        """Percentage points from the printed mean to ours, as printed: two digits."""
        if self.ours.mean is None or self.printed.mean is None:
            return None
        return round(self.ours.mean - self.printed.mean, 2) + 0.0

    @property
    def signed(self) -> str:
        """The deviation in words: ``+0.35``, ``−2.10``, ``0.00``."""
        if self.deviation is None:
            return ""
        sign = "+" if self.deviation > 0 else "−" if self.deviation < 0 else ""
        return f"{sign}{abs(self.deviation):.2f}"

    @property
    def within(self) -> bool | None:
        """Whether ours is within one printed deviation; None where none is printed."""
        if self.deviation is None or self.printed.deviation is None:
            return None
        return abs(self.deviation) <= self.printed.deviation


@dataclass(frozen=True)
class Line:
    """A row with its cells.

    Attributes:
        runs: those that count, one a recipe and seed.
        progress: how many of the wanted runs there are.
        cost, seconds: over the runs that succeeded, of search alone.
        facts: what is printed beside the accuracies.
        why: why the row cannot be run here.
    """

    row: Row
    values: Sequence[Value]
    runs: Sequence[Run] = ()
    progress: Progress = field(default_factory=Progress)
    cost: Spread = NOTHING
    seconds: Spread = NOTHING
    facts: Sequence[str] = ()
    why: str = ""

    @property
    def n(self) -> int | None:
        """How many are behind our values, if it is the same number in all."""
        counts = {value.ours.n for value in self.values if value.ours.n}
        return counts.pop() if len(counts) == 1 else None

    @property
    def failed(self) -> list[Run]:
        bad = (State.FAILED, State.CANCELLED)
        return [run for run in self.runs if run.job.state in bad]

    @property
    def compared(self) -> str:
        """The runs of the row as the address of a comparison names them."""
        return ",".join(str(run.uuid) for run in self.runs[:60])


@dataclass(frozen=True)
class Filled:
    """A table of a paper beside what a team's runs gave at a scale."""

    table: Table
    scale: Scale
    lines: Sequence[Line]
    found: Runs
    protocols: Sequence[str] = ()
    images: Sequence[str] = ()


def fill(team: Team, table: Table, scale: Scale) -> Filled:
    """Return the table with the team's runs: a fixed number of queries."""
    found = runs_of(team, table.recipes, scale)
    known = read(team, table, found)
    protocols = {
        column: protocol_of(known, column, scale.name)
        for column in table.columns
        if column.channels
    }
    lines = [_line(table, row, scale, found, known, protocols) for row in table.rows]
    told = dict.fromkeys(each.words for each in protocols.values() if each)
    return Filled(table, scale, lines, found, list(told), _images(team, found))


def _images(team: Team, found: Runs) -> list[str]:
    """Return what the images of the runs are called: by the team, if it has registered
    them, else by their source and file.  One query at most."""
    sections = [
        run.experiment.spec["dataset"]
        for name, held in found.items()
        if (recipe := find_recipe(name)) is not None and trains(recipe)
        for run in held.values()
    ]
    told: dict[str, None] = {}
    for section, named in zip(sections, names(team, sections), strict=True):
        file = str(section.get("path") or "").rstrip("/").rpartition("/")[2]
        plain = named.address or not file
        told[named.label if plain else f"{named.label} ({file})"] = None
    return list(told)


def _line(
    table: Table,
    row: Row,
    scale: Scale,
    found: Runs,
    known: Known,
    protocols: Mapping[Column, Protocol | None],
) -> Line:
    names = dict.fromkeys(name for column in table.columns for name in row.of(column))
    counted = Progress()
    reasons: dict[str, None] = {}
    for name in names:
        recipe = find_recipe(name)
        if recipe is None or (reason := cannot(recipe, scale)):
            reasons[reason if recipe else f"There is no recipe {name}."] = None
        else:
            add(counted, recipe, scale, found.get(name, {}))
    runs = [run for name in names for run in found.get(name, {}).values()]
    budget = _budget(row, found)
    done = [run for run in runs if run.job.state == State.SUCCEEDED]
    costs, seconds = _costs(row, done, known, budget)
    blocked = row.cannot or (" ".join(reasons) if not counted.wanted else "")
    return Line(
        row=row,
        values=[
            _value(row, column, scale, found, known, protocols.get(column), budget)
            for column in table.columns
        ],
        runs=runs,
        progress=counted,
        cost=spread(costs),
        seconds=spread(seconds),
        facts=[told for name in table.facts if (told := _fact(row, name))],
        why=blocked,
    )


def _fact(row: Row, name: str) -> str:
    """Return what is printed beside a row's accuracies, in words."""
    told = fact(row, name)
    units = {"search hours": " h", "search seconds": " s", "data left": " of the data"}
    return f"{told}{units.get(name, '')}" if told else ""


def _budget(row: Row, found: Runs) -> float | None:
    """Return the mean cost of the runs that a row is read at; None before any."""
    others = found.get(row.reading.at_cost_of, {}).values()
    done = [run.cost_units for run in others if run.job.state == State.SUCCEEDED]
    return statistics.fmean(done) if done else None


def _costs(
    row: Row, done: Sequence[Run], known: Known, budget: float | None
) -> tuple[list[float], list[float]]:
    """Return cost units and seconds of search: of whole runs, or up to the epoch that
    the row reads."""
    if not row.reading.at_cost_of:
        trained = [run for run in done if not run.repeats]
        return (
            [run.cost_units for run in trained],
            [run.seconds_search for run in trained],
        )
    paid = [affordable(known.epochs.get(run.pk, []), budget) for run in done]
    return (
        [each.cost for each in paid if each],
        [each.seconds for each in paid if each],
    )


def _value(
    row: Row,
    column: Column,
    scale: Scale,
    found: Runs,
    known: Known,
    protocol: Protocol | None,
    budget: float | None,
) -> Value:
    shown = printed(row, column)
    names = row.of(column)
    recipes = [recipe for name in names if (recipe := find_recipe(name))]
    reason = row.cannot or next(filter(None, (cannot(r, scale) for r in recipes)), "")
    if reason or not recipes:
        return Value(shown, why=reason)
    done = [
        {s: run for s, run in found[name].items() if run.job.state == State.SUCCEEDED}
        for name in names
    ]
    if repeats := next((run.repeats for run in done[0].values() if run.repeats), None):
        return Value(shown, _of_repeats(repeats, column))
    counts: list[int] = []
    by_seed = []
    for seed in done[0]:
        if not all(seed in held for held in done):
            continue  # a seed counts as soon as all that are pooled are there
        worth = [
            _worth(held[seed], row, column, known, protocol, budget) for held in done
        ]
        values = [value for value, _ in worth if value is not None]
        counts += [count for _, count in worth]
        if len(values) == len(done):
            best = column.statistic == "best"
            by_seed.append(max(values) if best else statistics.fmean(values))
    return Value(shown, spread(by_seed), sum(counts))


def _worth(
    run: Run,
    row: Row,
    column: Column,
    known: Known,
    protocol: Protocol | None,
    budget: float | None,
) -> tuple[float | None, int]:
    """Return what a run's cell is worth in a column, and over how many trainings; of a
    look-up none."""
    if column.channels:
        return trained_value(known, run, column, protocol) or (None, 0)
    cell = cell_of(known, run, row.reading, column, budget)
    return (known.look_up(run, cell, column) if cell else None), 0


def _of_repeats(repeats: Mapping[str, Any], column: Column) -> Spread:
    """Return what a search on the table tells of the picks of its repeats."""
    told = repeats["accuracies"].get(column.dataset, {}).get(column.split)
    if told is None:
        return NOTHING
    return Spread(repeats["repeats"], told["mean"], told["std"])
