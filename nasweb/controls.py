"""What stands beside a claim about data: chance, and all samples at equal cost.

Everything here is read for any number of experiments in a fixed number of queries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.comparison import spread
from nasweb.runs.points import space_of, table_column
from nasweb.statistics import Difference, difference, holm, sentence
from nasweb.tables import Column, Table
from searchjobs import benchmark
from searchjobs.benchmark import TableEntry
from searchjobs.controls import (
    LONG,
    Control,
    control_runs,
    controls_of,
    missing_seeds,
)
from searchjobs.engine.contracts import selections
from searchjobs.models import EpochRecord, Experiment, Run
from searchjobs.states import State

_Epoch = tuple[int, float, str, float | None]
"""Number, cost units so far, genotype, accuracy with inherited weights."""

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
class Reading:
    """One run as a row of the table counts it: at its end, or at an epoch before.

    ``value`` is the accuracy in per cent that the table is about.
    """

    seed: int
    epoch: int
    cost: float
    cost_share: float | None
    value: float | None


@dataclass(frozen=True)
class Line:
    """A search beside the claim, with the readings of its runs."""

    title: str
    readings: Sequence[Reading]
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
    selection: str
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
        readings, against = line.readings, line.against
        title = self.lines[0].title
        return [
            line.title,
            len(readings),
            len(self.experiment.seeds),
            spread(each.epoch for each in readings),
            spread(each.cost for each in readings),
            spread(each.cost_share for each in readings),
            spread(each.value for each in readings),
            *(
                [against.effect, against.low, against.high, against.p]
                if against
                else [None] * 4
            ),
            against.adjusted if against else None,
            sentence(against, title, line.title) if against else "",
        ]


@dataclass(frozen=True)
class _Known:
    """What was read for all claims together."""

    loaded: Collection[str]
    """Spaces with a benchmark table."""
    entries: Mapping[tuple[str, str], TableEntry]
    epochs: Mapping[int, Sequence[_Epoch]]


def claims(experiments: Sequence[Experiment]) -> list[Claim]:
    """Return those experiments that claim something about data, with their controls.

    One that is the control of another one here claims nothing.  Six queries at most,
    however many there are.
    """
    needed = {each.pk: controls_of(each) for each in experiments}
    by_chance = {
        control.fingerprint
        for controls in needed.values()
        for control in controls
        if control.kind == "random"
    }
    asked = [
        each
        for each in experiments
        if needed[each.pk] and each.fingerprint not in by_chance
    ]
    if not asked:
        return []
    own = _by_experiment(asked)
    prints = {control.fingerprint for each in asked for control in needed[each.pk]}
    found: dict[tuple[int, str], list[Run]] = {}
    for run in control_runs([each.team_id for each in asked], prints):
        key = (run.experiment.team_id, run.experiment.fingerprint)
        found.setdefault(key, []).append(run)
    known = _read(asked, own, needed, found)
    return [
        _claim(
            each,
            own.get(each.pk, []),
            {
                control.kind: [
                    run
                    for run in found.get((each.team_id, control.fingerprint), [])
                    if run.seed in each.seeds
                ]
                for control in needed[each.pk]
            },
            needed[each.pk],
            known,
        )
        for each in asked
    ]


def _by_experiment(experiments: Iterable[Experiment]) -> dict[int, list[Run]]:
    rows: dict[int, list[Run]] = {}
    for run in (
        Run.objects.filter(experiment__in=[each.pk for each in experiments])
        .select_related("job", "architecture")
        .defer(*LONG)
        .order_by("seed")
    ):
        rows.setdefault(run.experiment_id, []).append(run)
    return rows


def _read(
    asked: Sequence[Experiment],
    own: Mapping[int, Sequence[Run]],
    needed: Mapping[int, Sequence[Control]],
    found: Mapping[tuple[int, str], Sequence[Run]],
) -> _Known:
    """Read the epochs of the searches on all samples, and every cell in the table."""
    whole = {
        run.pk
        for each in asked
        for control in needed[each.pk]
        if control.kind == "all"
        for run in found.get((each.team_id, control.fingerprint), [])
    }
    epochs: dict[int, list[_Epoch]] = {}
    for run_id, epoch, cost, genotype, inherited in (
        EpochRecord.objects.filter(run__in=whole)
        .order_by("run", "epoch")
        .values_list("run", "epoch", "cost_units", "genotype", "inherited_accuracy")
    ):
        epochs.setdefault(run_id, []).append((epoch, cost, genotype, inherited))
    cells: dict[str, set[str]] = {}
    runs = [run for each in (*own.values(), *found.values()) for run in each]
    for run in runs:
        if run.architecture is not None:
            its = cells.setdefault(run.architecture.space, set())
            its.add(run.architecture.encoding)
            its |= {genotype for _, _, genotype, _ in epochs.get(run.pk, ())}
    entries = {
        (space, encoding): entry
        for space, encodings in cells.items()
        for encoding, entry in benchmark.lookup(space, encodings).items()
    }
    spaces = {space_of(each.spec) for each in asked}
    loaded = {space for space in spaces if benchmark.table_loaded(space)}
    return _Known(loaded, entries, epochs)


def _claim(
    experiment: Experiment,
    own: Sequence[Run],
    found: Mapping[str, Sequence[Run]],
    needed: Sequence[Control],
    known: _Known,
) -> Claim:
    spec = experiment.spec
    column = table_column(spec) or "cifar10"
    part = selections.get(spec["selection"]["name"])
    read = _Reader(known, column, space_of(spec) in known.loaded)
    mine = read.ends(own)
    lines = [Line(f"this claim: {part.label}", mine)]
    if "random" in found:
        lines.append(
            Line("random, same schedule and limits", read.ends(found["random"]))
        )
    if "all" in found:
        budget = spread(each.cost for each in mine).mean
        at_cost = read.at_cost(found["all"], budget)
        lines.append(Line("all samples, read at equal cost", at_cost))
        lines.append(Line("all samples, to the end", read.ends(found["all"])))
    tests = holm([_against(mine, line.readings) for line in lines[1:]])
    controls = [run for runs in found.values() for run in runs]
    return Claim(
        experiment=experiment,
        selection=part.label,
        measure=read.words,
        lines=[
            lines[0],
            *(
                Line(line.title, line.readings, against)
                for line, against in zip(lines[1:], tests, strict=True)
            ),
        ],
        missing=sum(len(missing_seeds(experiment, runs)) for runs in found.values()),
        going=sum(run.job.state != State.SUCCEEDED for run in controls),
        runs=[str(run.uuid) for run in (*own, *controls)],
    )


def _against(mine: Sequence[Reading], theirs: Sequence[Reading]) -> Difference:
    return difference((each.value for each in mine), (each.value for each in theirs))


@dataclass(frozen=True)
class _Reader:
    """How a run becomes a reading: which column of the table, or none."""

    known: _Known
    column: str
    loaded: bool

    @property
    def words(self) -> str:
        if self.loaded:
            label = benchmark.DATASETS[self.column]
            return f"{label} test accuracy of the cell by table (200 epochs, a look-up)"
        return "accuracy of the cell on V with inherited weights, not trained"

    def ends(self, runs: Iterable[Run]) -> list[Reading]:
        """Return the runs that succeeded as they ended, each seed once."""
        return [
            self._end(run)
            for run in _once_a_seed(runs)
            if run.job.state == State.SUCCEEDED
        ]

    def at_cost(self, runs: Iterable[Run], budget: float | None) -> list[Reading]:
        """Return runs at the last epoch that ``budget`` cost units pay for.

        A run that goes on counts as soon as it has spent more.
        """
        if budget is None:
            return []
        found = []
        for run in _once_a_seed(runs):
            steps = self.known.epochs.get(run.pk, ())
            paid = bisect_right(steps, budget * (1 + 1e-9), key=lambda step: step[1])
            if paid == len(steps):
                if run.job.state == State.SUCCEEDED:
                    found.append(self._end(run))
            elif paid:
                found.append(self._reading(run, *steps[paid - 1]))
        return found

    def _end(self, run: Run) -> Reading:
        cell = run.architecture.encoding if run.architecture else ""
        return self._reading(
            run, run.epoch, run.cost_units, cell, run.inherited_accuracy
        )

    def _reading(
        self, run: Run, epoch: int, cost: float, cell: str, inherited: float | None
    ) -> Reading:
        share = cost / run.baseline_units if run.baseline_units else None
        value = self._table(run, cell) if self.loaded else _per_cent(inherited)
        return Reading(run.seed, epoch, cost, share, value)

    def _table(self, run: Run, cell: str) -> float | None:
        space = run.architecture.space if run.architecture else ""
        entry = self.known.entries.get((space, cell))
        known = entry.get(self.column, "test") if entry else None
        return known.value if known else None


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _once_a_seed(runs: Iterable[Run]) -> list[Run]:
    """Keep one run a seed, one that succeeded before others: the same seed again is
    no other observation."""
    chosen: dict[int, Run] = {}
    for run in runs:
        if run.seed not in chosen or (
            run.job.state == State.SUCCEEDED
            and chosen[run.seed].job.state != State.SUCCEEDED
        ):
            chosen[run.seed] = run
    return list(chosen.values())
