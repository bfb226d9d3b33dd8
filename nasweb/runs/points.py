"""One epoch as charts, streams and exports need it: rows in, a plain dict out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from searchjobs import benchmark
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics.tables import NONE, SKIP
from searchjobs.engine.events import ArchitectureFound
from searchjobs.models import DatasetStatistics, EpochRecord, Run
from searchjobs.recorder import COLUMNS
from searchjobs.states import TERMINAL

Point = dict[str, Any]
Cell = list[tuple[str, str, str]]
"""Table, row and operation of each edge, in the order of the alpha rows."""

_FROM_COLUMNS = ("epoch", *COLUMNS)
_FROM_REPORT = (
    "search_valid_accuracy",
    "genotype_without_none",
    "connected",
    "nones",
    "parameter_free",
    "entropy",
    "margins",
    "alpha_travel",
    "discretisation_gap",
    "eigenvalue_absolute",
    "weight_steps",
    "architecture_steps",
    "learning_rates",
    "peak_memory_bytes",
    "stop_suggestions",
)


def read(run: Run, after: int = 0) -> list[Point]:
    """Return the points of a run's epochs later than ``after``, in order.

    What was chosen before the first epoch is told with that one: its events, and how
    many samples each set had then (``chosen``).
    """
    records = list(
        EpochRecord.objects.filter(run=run, epoch__gt=after)
        .select_related("architecture")
        .order_by("epoch")
    )
    statistics: dict[int, list[DatasetStatistics]] = {}
    since = after + 1 if after else 0
    for row in DatasetStatistics.objects.filter(run=run, epoch__gte=since):
        statistics.setdefault(row.epoch, []).append(row)
    first = statistics.get(0, ())
    space = benchmark.space_named(space_name(run))
    table = benchmark.lookup(space.name, {record.genotype for record in records})
    baseline = baselines(run)
    points = [
        point(
            record,
            statistics.get(record.epoch, []),
            space,
            table.get(record.genotype),
            baseline(record.epoch),
        )
        for record in records
    ]
    if points:
        told = {row.set: row.event for row in first}
        points[0]["events"] = told | points[0]["events"]
        points[0]["chosen"] = {row.set: row.remaining for row in first}
    return points


def newest(run: Run) -> Point | None:
    """Return the newest epoch of a run, None before its first."""
    found = read(run, run.epoch - 1) if run.epoch else []
    return found[-1] if found else None


def chosen(run: Run) -> dict[str, int]:
    """Return the samples of each set that was chosen before the first epoch; empty
    once that has ended, because it is told with the epoch then."""
    if run.epoch:
        return {}
    rows = DatasetStatistics.objects.filter(run=run, epoch=0)
    return dict(rows.values_list("set", "remaining"))


def baselines(run: Run) -> Callable[[int], float]:
    """Return what the same search on all samples costs up to an epoch, included.

    Runs of before plans told it of each epoch share the whole out evenly.
    """
    after = list(accumulate((run.plan or {}).get("baseline_epochs") or ()))

    def up_to(epoch: int) -> float:
        if 0 < epoch <= len(after):
            return after[epoch - 1]
        return run.baseline_units * epoch / run.epochs if run.epochs else 0.0

    return up_to


def whole_share(run: Run) -> float | None:
    """Return what a run has cost so far, its derivation included, against the whole
    search without pruning; None before there is a plan."""
    return run.cost_units / run.baseline_units if run.baseline_units else None


def point(
    record: EpochRecord,
    statistics: Iterable[DatasetStatistics],
    space: Space,
    entry: benchmark.TableEntry | None,
    baseline_units: float,
) -> Point:
    """Return one epoch.

    ``entry`` is what the benchmark table knows of the genotype;
    ``baseline_units`` is what the same search on all samples costs up to this epoch,
    which ``cost_share`` compares with.
    """
    rows = list(statistics)
    report = record.report or {}
    edges = sum(len(names) for names in space.tables.values())
    architecture = record.architecture
    return {
        **{name: getattr(record, name) for name in _FROM_COLUMNS},
        **{name: report.get(name) for name in _FROM_REPORT},
        "sets": {
            row.set: {
                "remaining": row.remaining,
                "class_counts": list(row.class_counts),
                "balance": row.balance,
            }
            for row in rows
        },
        "events": {row.set: row.event for row in rows if row.event},
        "method": report.get("method") or {},
        "skip_edges": record.skips / edges,
        "free_edges": (report.get("parameter_free") or 0) / edges,
        "free_magnitude": magnitude_share(record.magnitudes, space.parameter_free),
        "cell": cell(space, record.genotype),
        "cell_without_none": cell(space, report.get("genotype_without_none") or ""),
        "parameters": architecture.parameters if architecture else None,
        "flops": architecture.flops if architecture else None,
        "index": architecture.index if architecture else None,
        "table": table_values(entry) if entry else None,
        "repeats": with_bands(report.get("repeats")),
        "cost_share": record.cost_units / baseline_units if baseline_units else None,
    }


def with_bands(value: Any) -> Any:
    """Return what a report says of repeats; each mean with std has ``low`` and ``high``
    beside it, which charts draw."""
    if isinstance(value, Mapping):
        found = {name: with_bands(each) for name, each in value.items()}
        if found.keys() == {"mean", "std"}:
            std = found["std"] or 0.0
            found |= {"low": found["mean"] - std, "high": found["mean"] + std}
        return found
    return value


def last_events(points: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the last pruning event of each set among these epochs."""
    found: dict[str, Mapping[str, Any]] = {}
    for each in points:
        found.update(each["events"])
    return found


def suggestions(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what stopping rules have said in these epochs, in order."""
    return [said for each in points for said in each["stop_suggestions"] or ()]


def space_name(run: Run) -> str:
    """Return the name of the search space in the run's spec."""
    return space_of(run.job.spec)


def space_of(spec: Mapping[str, Any]) -> str:
    """Return the name of the search space of a stored spec."""
    return str((spec.get("space") or {}).get("name", "nas-bench-201"))


def table_column(spec: Mapping[str, Any]) -> str | None:
    """Return which data set of the benchmark table a stored spec searches on; None if
    the table has none of that name."""
    name = str((spec.get("dataset") or {}).get("name", ""))
    return name if name in benchmark.DATASETS else None


def table_values(entry: benchmark.TableEntry) -> dict[str, dict[str, float | None]]:
    """Return per data set valid and test accuracy (per cent), and of the test value
    its rank and its distance to the optimum (percentage points)."""
    found: dict[str, dict[str, float | None]] = {}
    for dataset in entry.datasets:
        valid, test = entry.get(dataset, "valid"), entry.get(dataset, "test")
        found[dataset] = {
            "valid": valid.value if valid else None,
            "test": test.value if test else None,
            "rank": test.rank if test else None,
            "of": test.of if test else None,
            "distance": test.distance if test else None,
        }
    return found


def magnitude_share(
    magnitudes: Mapping[str, float], operations: Iterable[str]
) -> float | None:
    """Return which part of the mean strength lies on these operations, 0 to 1; a
    negative strength (VP-DARTS) counts by its size, and nothing has no parts."""
    total = sum(map(abs, magnitudes.values()))
    if not total:
        return None
    return sum(abs(magnitudes.get(name, 0.0)) for name in operations) / total


def result(run: Run, last: Mapping[str, Any] | None) -> Point | None:
    """Return the last epoch of a run that has ended with the architecture that it gave
    in the place of the genotype, None if that is the genotype.  One look-up.

    A derivation or a stopping rule may take the architecture of another epoch, or one
    that no epoch held.
    """
    if last is None or run.job.state not in TERMINAL or not run.architectures:
        return None
    given = ArchitectureFound.model_validate(run.architectures[0])
    if given.architecture == last["genotype"] or last["repeats"]:
        return None
    return {**with_architecture(run, last, given), "epoch": given.epoch}


def with_architecture(
    run: Run, at: Mapping[str, Any], given: ArchitectureFound
) -> Point:
    """Return an epoch with the architecture that a run gave in the place of the
    genotype, and with what is known of it.  One look-up."""
    space = benchmark.space_named(space_name(run))
    edges = cell(space, given.architecture)
    chosen = [choice[-1] for choice in edges]
    entry = benchmark.lookup(space.name, [given.architecture]).get(given.architecture)
    known = run.architecture
    if known is not None and known.encoding != given.architecture:
        known = None
    return {
        **at,
        "genotype": given.architecture,
        "cell": edges,
        "genotype_without_none": given.without_none or at["genotype_without_none"],
        "cell_without_none": cell(space, given.without_none) or at["cell_without_none"],
        "skips": chosen.count(SKIP),
        "nones": chosen.count(NONE),
        "parameter_free": sum(name in space.parameter_free for name in chosen),
        "connected": given.connected,
        "parameters": known.parameters if known else None,
        "flops": known.flops if known else None,
        "index": known.index if known else None,
        "inherited_accuracy": EpochRecord.objects.filter(
            run=run, epoch=given.epoch, genotype=given.architecture
        )
        .values_list("inherited_accuracy", flat=True)
        .first(),
        "table": table_values(entry) if entry else None,
    }


def cell(space: Space, architecture: str) -> Cell:
    """Return every edge of an architecture; empty for the empty string."""
    if not architecture:
        return []
    return [
        (table, row, operation)
        for table, operations in space.decode(architecture).items()
        for row, operation in zip(space.tables[table], operations, strict=True)
    ]
