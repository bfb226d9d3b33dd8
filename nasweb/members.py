"""Rows -> the groups of a comparison: every epoch of any runs in a few queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, Q, TextField
from django.db.models.functions import Cast

from nasweb.comparison import Group, Member, Step, at_cost, cheapest
from nasweb.explorer.bounded import Bounded
from nasweb.runs import points as rows
from searchjobs import benchmark, stored_specs
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics.tables import SKIP
from searchjobs.models import DatasetStatistics, EpochRecord, Run
from searchjobs.states import TERMINAL

#: Epochs of runs that have ended that a process keeps: half a kilobyte each.
MOST_EPOCHS = 50_000


class _Record(NamedTuple):
    """What is compared of an epoch, but for the table: six thousand make one page.

    Accuracies and ``share`` (of the strength that lies on operations without weights)
    are per cent; ``free`` edges take such an operation.
    """

    epoch: int
    cost: float
    seconds: float
    supernet: float | None
    inherited: float | None
    eigenvalue: float | None
    skips: int
    genotype: str
    edges: int
    free: int
    share: float | None


@dataclass(frozen=True)
class _Told:
    """What the rows of a run tell: its epochs in order, and by epoch and set how many
    samples remained."""

    records: list[_Record] = field(default_factory=list)
    left: dict[int, dict[str, int]] = field(default_factory=dict)


class _Cells:
    """The architectures of a space that were met, and what the table says of them."""

    def __init__(self, name: str) -> None:
        self.space: Space = benchmark.space_named(name)
        self.values: dict[str, dict[str, dict[str, float | None]]] = {}

    def table(self, architecture: str) -> dict[str, dict[str, float | None]]:
        """Return where the table's values of an architecture stand after ``fill``."""
        return self.values.setdefault(architecture, {})

    def fill(
        self,
        tables: benchmark.Tables,
        column: tuple[str, str] | None,
        whole: Iterable[str],
    ) -> None:
        """Look up what was met: one column, and all of them of those in ``whole``."""
        found = tables.lookup(self.space.name, self.values, column=column, whole=whole)
        for architecture, entry in found.items():
            self.values[architecture].update(rows.table_values(entry))


@lru_cache(maxsize=16_384)
def _counts(space_name: str, architecture: str) -> tuple[int, int]:
    """Return how many edges an architecture has, and how many of them take an operation
    without weights.  Kept: searches meet the same cells again and again."""
    space = benchmark.space_named(space_name)
    edges = rows.cell(space, architecture)
    return len(edges), sum(edge[-1] in space.parameter_free for edge in edges)


def groups(
    runs: Sequence[Run],
    *,
    together: bool = True,
    tables: benchmark.Tables | None = None,
    column: tuple[str, str] | None = None,
    epochs: bool = True,
) -> list[Group]:
    """Group runs that differ by nothing but their seed, or each on its own.

    Runs of before some setting was there are with those of after that have its default
    (``stored_specs``).

    Args:
        runs: with job, experiment and architecture.
        together: False: each run is a group.
        tables: what the page has read of the tables already.
        column: data set and split whose table values each epoch has; without one they
            have all.  Where a run ended, and where it had cost as much as the cheapest
            group, all are there.
        epochs: False: of each run its newest epoch alone, and that of its architecture.
    """
    tables = tables or benchmark.Tables()
    cells: dict[str, _Cells] = {}
    read = _members(runs, cells, epochs=epochs)
    found: dict[str, tuple[Run, list[Member]]] = {}
    for run in runs:
        key = _identity(run) if together else str(run.uuid)
        found.setdefault(key, (run, []))[1].append(read[run.pk])
    names = [run.experiment.name for run, _ in found.values()]
    made = []
    for key, (run, its_members) in found.items():
        label = run.experiment.name
        if not together:
            label += f" · seed {run.seed}"
        elif names.count(label) > 1:
            label += f" · {key[:4]}"
        spec = stored_specs.filled(run.job.spec)
        if together:
            spec.pop("seed", None)
        made.append(Group(label, spec, its_members))
    _look_up(made, cells, tables, column)
    return made


def _identity(run: Run) -> str:
    """Return what runs have in common that differ by nothing but their seed."""
    return stored_specs.identity(run.job.spec) or run.experiment.fingerprint


def _look_up(
    groups: Sequence[Group],
    cells: Mapping[str, _Cells],
    tables: benchmark.Tables,
    column: tuple[str, str] | None,
) -> None:
    """Put the table's values into the steps; a query a space."""
    members = [member for group in groups for member in group.members]
    budget = cheapest(groups) or 0.0
    ends = [member.last for member in members]
    ends += [at_cost(member, budget) for member in members]
    whole = {step.genotype for step in ends if step is not None}
    for its in cells.values():
        its.fill(tables, column, whole & its.values.keys())


def _members(
    runs: Sequence[Run], cells: dict[str, _Cells], *, epochs: bool
) -> dict[int, Member]:
    """Read the epochs of all runs; what they hold of the table is empty yet."""
    read = _all_told(runs) if epochs else _told(runs, epochs=False)
    means = _means_over_repeats(runs)
    found = {}
    for run in runs:
        name = rows.space_name(run)
        its_cells = cells.setdefault(name, _Cells(name))
        told = read[run.pk]
        size = sum((run.plan or {}).get("sizes", {}).values())
        baseline = rows.baselines(run)
        steps = [
            _step(
                record,
                told.left.get(record.epoch, {}),
                size,
                baseline(record.epoch),
                its_cells.table(record.genotype),
            )
            for record in told.records
        ]
        if run.plan.get("table"):
            steps = [
                replace(step, table=means.get((run.pk, step.epoch), {}))
                for step in steps
            ]
        after: dict[str, list[int]] = {}
        for epoch in sorted(told.left):
            for name, samples in told.left[epoch].items():
                if epoch:  # 0 tells of before the first
                    after.setdefault(name, []).append(samples)
        found[run.pk] = _member(run, steps, its_cells, after)
    return found


def _all_told(runs: Sequence[Run]) -> dict[int, _Told]:
    """Return what the rows of each run tell; those of a run that has ended change no
    more, and are kept."""
    found = {}
    for run in runs:
        kept = _ended.known(_key(run)) if _key(run) else None
        if kept is not None:
            found[run.pk] = kept
    others = [run for run in runs if run.pk not in found]
    read = _told(others, epochs=True) if others else {}
    for run in others:
        if _key(run):
            _ended.get(_key(run), lambda told=read[run.pk]: told)  # type: ignore[misc]
    return found | read


def _key(run: Run) -> tuple[Any, ...] | None:
    """Return what names the rows of a run that has ended, None of another.  One that
    begins anew gets another fence."""
    job = run.job
    if job.state not in TERMINAL or job.finished is None:
        return None
    return run.pk, job.fence, job.finished, run.epoch


_ended: Bounded[_Told] = Bounded(MOST_EPOCHS, lambda told: len(told.records) + 1)


def forget() -> None:
    """Forget what this process keeps of runs that have ended."""
    _ended.clear()


def _told(runs: Sequence[Run], *, epochs: bool) -> dict[int, _Told]:
    """Read what the rows of each run tell; two queries."""
    found = {run.pk: _Told() for run in runs}
    spaces = {run.pk: rows.space_name(run) for run in runs}
    for run, record in _records(runs, spaces, epochs=epochs):
        found[run].records.append(record)
    for run, name, epoch, samples in _left(runs):
        found[run].left.setdefault(epoch, {})[name] = samples
    return found


def _records(
    runs: Sequence[Run], spaces: Mapping[int, str], *, epochs: bool
) -> Iterator[tuple[int, _Record]]:
    """Yield keys of runs and what is compared of their epochs, in order; one query."""
    wanted = EpochRecord.objects.filter(run__in=list(spaces))
    if not epochs:
        ends = Q(epoch=F("run__epoch"))
        for run in runs:
            if run.architectures:
                ends |= Q(run=run.pk, epoch=run.architectures[0]["epoch"])
        wanted = wanted.filter(ends)
    read = list(
        wanted.order_by("epoch").values_list(
            *("run_id", "epoch", "cost_units", "seconds_search"),
            *("valid_accuracy", "inherited_accuracy", "eigenvalue", "skips"),
            *("genotype", Cast("magnitudes", TextField())),
        )
    )
    # one text of them all is parsed ten times as fast as one a row
    magnitudes = json.loads(f"[{','.join(row[-1] for row in read)}]")
    for row, strengths in zip(read, magnitudes, strict=True):
        run_key, epoch, cost, seconds, valid, inherited, eigen, skips, cell, _ = row
        space = spaces[run_key]
        free = benchmark.space_named(space).parameter_free
        yield (
            run_key,
            _Record(
                *(epoch, cost, seconds, _per_cent(valid), _per_cent(inherited)),
                *(eigen, skips, cell, *_counts(space, cell)),
                _per_cent(rows.magnitude_share(strengths, free)),
            ),
        )


def _left(runs: Sequence[Run]) -> Iterator[tuple[int, str, int, int]]:
    """Yield keys of runs, sets, epochs, and how many samples remained; one query, and
    a row a run and set, for one an epoch would be thousands."""
    for run, name, epochs, left in (
        DatasetStatistics.objects.filter(run__in=[run.pk for run in runs])
        .order_by()
        .values("run", "set")
        .annotate(
            epochs=ArrayAgg("epoch", order_by="epoch"),
            left=ArrayAgg("remaining", order_by="epoch"),
        )
        .values_list("run", "set", "epochs", "left")
    ):
        for epoch, samples in zip(epochs, left, strict=True):
            yield run, name, epoch, samples


def _means_over_repeats(
    runs: Sequence[Run],
) -> dict[tuple[int, int], dict[str, dict[str, float | None]]]:
    """Return, by run and point, the mean table values of the picks of searches on the
    table; what most repeats hold says less than all of them."""
    reports = EpochRecord.objects.filter(
        run__in=[run.pk for run in runs if run.plan.get("table")],
        report__repeats__accuracies__isnull=False,
    ).values_list("run", "epoch", "report__repeats__accuracies")
    nothing = {"rank": None, "of": None, "distance": None}
    return {
        (run, epoch): {
            dataset: {split: each["mean"] for split, each in splits.items()} | nothing
            for dataset, splits in accuracies.items()
        }
        for run, epoch, accuracies in reports
    }


def _step(
    record: _Record,
    left: Mapping[str, int],
    size: int,
    baseline: float,
    table: Mapping[str, Mapping[str, float | None]],
) -> Step:
    return Step(
        epoch=record.epoch,
        cost=record.cost,
        seconds=record.seconds,
        supernet=record.supernet,
        inherited=record.inherited,
        remaining=100 * sum(left.values()) / size if left and size else None,
        cost_share=record.cost / baseline if baseline else None,
        skips=record.skips,
        genotype=record.genotype,
        edges=record.edges,
        parameter_free=record.free,
        free_magnitude=record.share,
        eigenvalue=record.eigenvalue,
        sets=left,
        table=table,
    )


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _member(
    run: Run,
    steps: Sequence[Step],
    cells: _Cells,
    left: Mapping[str, Sequence[int]],
) -> Member:
    given = _given(run, steps, cells) if steps else None
    last = given or (steps[-1] if steps else None)
    return Member(
        uuid=str(run.uuid),
        seed=run.seed,
        state=run.job.state,
        cell=rows.cell(cells.space, last.genotype) if last else [],
        steps=steps,
        given=given,
        sizes=(run.plan or {}).get("sizes", {}),
        left=left,
    )


def _given(run: Run, steps: Sequence[Step], cells: _Cells) -> Step | None:
    """Return the last step with what the run gave in the end: the architecture, and
    what it cost with its derivation.  None if it has not ended."""
    if run.job.state not in TERMINAL or run.plan.get("table"):
        return None
    paid = replace(
        steps[-1],
        cost=run.cost_units,
        cost_share=rows.whole_share(run),
        seconds=run.seconds_search,
    )
    if not run.architectures or not run.architecture:
        return paid
    encoding = run.architecture.encoding
    if encoding == paid.genotype:
        return paid
    taken = run.architectures[0]["epoch"]
    own = {step.genotype: step.inherited for step in steps if step.epoch == taken}
    return replace(
        paid,
        genotype=encoding,
        inherited=own.get(encoding),  # measured of the genotypes of epochs only
        skips=sum(edge[-1] == SKIP for edge in rows.cell(cells.space, encoding)),
        parameter_free=_counts(cells.space.name, encoding)[1],
        table=cells.table(encoding),
    )
