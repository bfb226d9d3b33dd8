"""What stands beside a claim about data: chance, and all samples at equal cost.

Everything here is read for any number of experiments in a fixed number of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.comparison import spread
from nasweb.control_readings import (
    Epoch,
    Place,
    Tables,
    at_cost,
    at_end,
    epochs_of,
    look_up,
    measure_of,
    value_at,
)
from nasweb.runs.points import space_of
from nasweb.statistics import Difference, difference, holm, sentence
from nasweb.tables import Column, Table
from searchjobs import benchmark, stored_specs
from searchjobs.controls import (
    Control,
    Needed,
    can_serve,
    control_experiments,
    controls_of,
    missing_seeds,
    runs_of,
)
from searchjobs.engine.contracts import selections
from searchjobs.engine.controls import Kind
from searchjobs.models import Experiment, Run
from searchjobs.states import State

COLUMNS = (
    Column("search", "search", "words"),
    Column("n", "n", digits=0),
    Column("seeds", "seeds wanted", digits=0),
    Column("epoch", "read at epoch", digits=0),
    Column("cost_units", "cost units", digits=0),
    Column("cost_share", "cost, of all samples", digits=2),
    Column("accuracy", "accuracy %"),
    Column("difference", "claim minus this", "signed"),
    Column("low", "95 % from", "signed"),
    Column("high", "to", "signed"),
    Column("p", "p (Welch)", "p"),
    Column("p_holm", "p (Holm)", "p"),
    Column("compares", "what is compared", "words"),
)


@dataclass(frozen=True)
class Line:
    """A search beside the claim, and where its runs were read."""

    title: str
    places: Sequence[Place]
    values: Sequence[float | None]
    """The accuracy at each place, in per cent."""
    against: Difference | None = None
    """The claim against this search; None in the claim's own line."""


@dataclass(frozen=True)
class Claim:
    """An experiment whose selection is not all samples, and its controls.

    Attributes:
        missing: how many control runs nobody has launched yet.
        going: how many have not ended yet.
        runs: the runs of the claim and of its controls, for the compare page.
    """

    experiment: Experiment
    measure: str
    lines: Sequence[Line]
    missing: int
    going: int
    runs: Sequence[str]

    @property
    def table(self) -> Table:
        return Table(
            key=f"controls-{self.experiment.uuid}",
            title=f"Controls of {self.experiment.name}",
            note=f"{self.measure}; mean ± sample standard deviation over runs that "
            "succeeded, each seed once; differences in points with the 95 % "
            "bootstrap interval; p of Welch's two-sided t-test, and with Holm's "
            "correction for the rows of this table",
            columns=COLUMNS,
            rows=[self._row(line) for line in self.lines],
        )

    def _row(self, line: Line) -> list[Any]:
        places, against = line.places, line.against
        row = [
            line.title,
            len(places),
            len(self.experiment.seeds),
            spread(each.epoch for each in places),
            spread(each.cost for each in places),
            spread(each.cost_share for each in places),
            spread(line.values),
        ]
        if against is None:
            return [*row, *[None] * 5, ""]
        return [
            *row,
            *(against.effect, against.low, against.high, against.p, against.adjusted),
            sentence(against, self.lines[0].title, line.title),
        ]


def claims(
    experiments: Sequence[Experiment], tables: benchmark.Tables | None = None
) -> list[Claim]:
    """Return those experiments that claim something about data, with their controls.

    One that is the control of another one here claims nothing.  The queries are few,
    and as many for one experiment as for sixty.  ``tables`` is what the page has read
    of the tables already.
    """
    needed = _needed(experiments)
    if not needed:
        return []
    own, found = _runs(needed)
    epochs = epochs_of(
        run.pk for (_, kind), runs in found.items() if kind == "all" for run in runs
    )
    drafts = {each: _places(each, own[each.pk], found, epochs) for each in needed}
    cells: dict[str, set[str]] = {}
    for each, lines in drafts.items():
        met = {place.cell for _, places in lines for place in places}
        cells.setdefault(space_of(each.spec), set()).update(met)
    entries = look_up(cells, tables)
    return [
        _claim(each, lines, own[each.pk], found, needed[each], entries)
        for each, lines in drafts.items()
    ]


def _needed(experiments: Sequence[Experiment]) -> Needed:
    """Return the controls of those experiments that make a claim."""
    needed = controls_of(experiments)
    by_chance = {
        control.fingerprint
        for its in needed.values()
        for control in its
        if control.kind == "random"
    }
    return {
        each: its
        for each, its in needed.items()
        if its and stored_specs.identity(each.spec) not in by_chance
    }


_Found = Mapping[tuple[int, Kind], Sequence[Run]]
"""Runs of the seeds of a claim, by the key of the claim and the kind of control."""


def _runs(needed: Needed) -> tuple[dict[int, list[Run]], _Found]:
    """Return the runs of each claim by seed, and those of its controls."""
    there = control_experiments(needed)
    keys = {key for its in there.values() for key in its}
    read: dict[int, list[Run]] = {}
    for run in runs_of(keys | {each.pk for each in needed}):
        read.setdefault(run.experiment_id, []).append(run)
    own = {
        each.pk: sorted(read.get(each.pk, []), key=lambda run: run.seed)
        for each in needed
    }
    found: _Found = {
        (each.pk, control.kind): [
            run
            for key in there.get((each.team_id, control.fingerprint), ())
            for run in read.get(key, ())
            if run.seed in each.seeds and can_serve(run)
        ]
        for each, its in needed.items()
        for control in its
    }
    return own, found


def _places(
    experiment: Experiment,
    own: Sequence[Run],
    found: _Found,
    epochs: Mapping[int, Sequence[Epoch]],
) -> list[tuple[str, list[Place]]]:
    """Return the lines of a claim, its own first: title, and where runs are read."""
    part = selections.get(experiment.spec["selection"]["name"])
    mine = at_end(own)
    lines = [(f"this claim: {part.label}", mine)]
    chance = found.get((experiment.pk, "random"))
    if chance is not None:
        lines.append(("random, same schedule and limits", at_end(chance)))
    whole = found.get((experiment.pk, "all"), [])
    budget = spread(each.cost for each in mine).mean
    lines.append(("all samples, read at equal cost", at_cost(whole, epochs, budget)))
    lines.append(("all samples, to the end", at_end(whole)))
    return lines


def _claim(
    experiment: Experiment,
    lines: Sequence[tuple[str, Sequence[Place]]],
    own: Sequence[Run],
    found: _Found,
    needed: Sequence[Control],
    tables: Tables,
) -> Claim:
    measure = measure_of(experiment.spec, tables)
    entries = tables.get(space_of(experiment.spec), {})
    values = [
        [value_at(place, measure, entries) for place in places] for _, places in lines
    ]
    tests = holm([difference(values[0], others) for others in values[1:]])
    by_kind = [found[experiment.pk, control.kind] for control in needed]
    controls = [run for runs in by_kind for run in runs]
    return Claim(
        experiment=experiment,
        measure=measure.words,
        lines=[
            Line(title, places, its, against)
            for (title, places), its, against in zip(
                lines, values, [None, *tests], strict=True
            )
        ],
        missing=sum(len(missing_seeds(experiment, runs)) for runs in by_kind),
        going=sum(run.job.state != State.SUCCEEDED for run in controls),
        runs=[str(run.uuid) for run in (*own, *controls)],
    )
