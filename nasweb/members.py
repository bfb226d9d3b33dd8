"""Rows -> the groups of a comparison: every epoch of any runs in a few queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nasweb.comparison import Group, Member, Step
from nasweb.runs import points as rows
from nasweb.runs.spec_view import ordered
from searchjobs import benchmark
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics.tables import SKIP
from searchjobs.models import DatasetStatistics, EpochRecord, Run
from searchjobs.states import TERMINAL


class _Record(NamedTuple):
    """What is compared of an epoch's row: six thousand of them make one page."""

    epoch: int
    cost_units: float
    seconds_search: float
    valid_accuracy: float | None
    inherited_accuracy: float | None
    eigenvalue: float | None
    skips: int
    genotype: str
    magnitudes: Mapping[str, float]


def groups(runs: Sequence[Run], *, together: bool = True) -> list[Group]:
    """Group runs that differ by nothing but their seed, or each on its own."""
    read = members(runs)
    found: dict[str, tuple[Run, list[Member]]] = {}
    for run in runs:
        key = run.experiment.fingerprint if together else str(run.uuid)
        found.setdefault(key, (run, []))[1].append(read[run.pk])
    names = [run.experiment.name for run, _ in found.values()]
    made = []
    for run, its_members in found.values():
        label = run.experiment.name
        if not together:
            label += f" · seed {run.seed}"
        elif names.count(label) > 1:
            label += f" · {run.experiment.fingerprint[:4]}"
        spec = {
            n: v
            for n, v in ordered(run.job.spec).items()
            if not (together and n == "seed")
        }
        made.append(Group(label, spec, its_members, run.experiment.fingerprint))
    return made


def members(runs: Sequence[Run]) -> dict[int, Member]:
    """Read the epochs of all runs in three queries."""
    keys = [run.pk for run in runs]
    records: dict[int, list[_Record]] = {key: [] for key in keys}
    for values in (
        EpochRecord.objects.filter(run__in=keys)
        .order_by("epoch")
        .values_list("run_id", *_Record._fields)
    ):
        records[values[0]].append(_Record(*values[1:]))
    left: dict[tuple[int, int], dict[str, int]] = {}
    for run_key, epoch, name, size in (
        DatasetStatistics.objects.filter(run__in=keys)
        .order_by()
        .values_list("run", "epoch", "set", "remaining")
    ):
        left.setdefault((run_key, epoch), {})[name] = size
    tables: dict[str, dict[str, Any]] = {}
    for name in {rows.space_name(run) for run in runs}:
        genotypes = {r.genotype for each in records.values() for r in each}
        genotypes |= {r.architecture.encoding for r in runs if r.architecture}
        entries = benchmark.lookup(name, genotypes)
        tables[name] = {g: rows.table_values(entry) for g, entry in entries.items()}
    means = _means_over_repeats(runs)
    found = {}
    for run in runs:
        size = sum((run.plan or {}).get("sizes", {}).values())
        table = tables[rows.space_name(run)]
        space = benchmark.space_named(rows.space_name(run))
        baseline = rows.baselines(run)
        steps = [
            _step(
                record,
                space,
                left.get((run.pk, record.epoch), {}),
                size,
                table,
                baseline(record.epoch),
            )
            for record in records[run.pk]
        ]
        if run.plan.get("table"):
            steps = [
                replace(step, table=means.get((run.pk, step.epoch), {}))
                for step in steps
            ]
        found[run.pk] = _member(run, steps, table)
    return found


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
    space: Space,
    left: Mapping[str, int],
    size: int,
    table: dict[str, Any],
    baseline: float,
) -> Step:
    cell = rows.cell(space, record.genotype)
    free = rows.magnitude_share(record.magnitudes, space.parameter_free)

    def per_cent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    return Step(
        epoch=record.epoch,
        cost=record.cost_units,
        seconds=record.seconds_search,
        supernet=per_cent(record.valid_accuracy),
        inherited=per_cent(record.inherited_accuracy),
        remaining=100 * sum(left.values()) / size if left and size else None,
        cost_share=record.cost_units / baseline if baseline else None,
        skips=record.skips,
        genotype=record.genotype,
        edges=len(cell),
        parameter_free=sum(choice[-1] in space.parameter_free for choice in cell),
        free_magnitude=per_cent(free),
        eigenvalue=record.eigenvalue,
        sets=left,
        table=table.get(record.genotype, {}),
    )


def _member(run: Run, steps: Sequence[Step], table: Mapping[str, Any]) -> Member:
    space = benchmark.space_named(rows.space_name(run))
    given = _given(run, steps, space, table) if steps else None
    last = given or (steps[-1] if steps else None)
    return Member(
        uuid=str(run.uuid),
        seed=run.seed,
        state=run.job.state,
        cell=rows.cell(space, last.genotype) if last else [],
        steps=steps,
        given=given,
        sizes=(run.plan or {}).get("sizes", {}),
    )


def _given(
    run: Run, steps: Sequence[Step], space: Space, table: Mapping[str, Any]
) -> Step | None:
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
    cell = rows.cell(space, encoding)
    taken = run.architectures[0]["epoch"]
    own = {step.genotype: step.inherited for step in steps if step.epoch == taken}
    return replace(
        paid,
        genotype=encoding,
        inherited=own.get(encoding),  # measured of the genotypes of epochs only
        skips=sum(choice[-1] == SKIP for choice in cell),
        parameter_free=sum(choice[-1] in space.parameter_free for choice in cell),
        table=table.get(encoding, {}),
    )
