"""Which cell of a run a row is about, and what it is worth in a column."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nasweb.runs import points
from searchjobs import benchmark
from searchjobs.benchmark import TableEntry
from searchjobs.engine.scales import PAPER
from searchjobs.engine.tables import Column, Reading, Table
from searchjobs.models import EpochRecord, Evaluation, Run, Team
from searchjobs.reproduce import Runs
from searchjobs.states import State


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run: its genotype, and what the run had cost by then."""

    number: int
    genotype: str
    cost: float
    seconds: float


@dataclass(frozen=True)
class Protocol:
    """How cells were trained from scratch; only equal protocols are averaged.

    Attributes:
        dataset: the name of the source.
        split: what the accuracy is measured on.
        rate: at which the weights began to learn; None where the spec has none.
        settings: all else of the training, as text that is equal for equal ones.
    """

    dataset: str
    split: str
    epochs: int
    cells: int
    rate: float | None = None
    settings: str = ""

    @property
    def words(self) -> str:
        split = {"test": "test set", "held-out": "held-out images"}.get(self.split, "")
        name = benchmark.DATASETS.get(self.dataset, self.dataset)
        rate = "" if self.rate is None else f"learning rate {self.rate:g}"
        parts = [name, split, f"{self.epochs} epochs", f"N = {self.cells}", rate]
        return ", ".join(part for part in parts if part)


def _protocol(evaluation: Evaluation) -> Protocol:
    """Return how a cell was trained, and on which pixels: its spec without the cell,
    its width, its seed and where it was computed; a recipe is only a name for settings
    that stand beside it."""
    spec = evaluation.spec
    parts = {
        section: {k: v for k, v in spec.get(section, {}).items() if k != left_out}
        for section, left_out in (
            ("space", "channels"),
            ("augmentation", ""),
            ("training", "recipe"),
        )
    }
    return Protocol(
        evaluation.dataset,
        evaluation.split,
        evaluation.epochs,
        evaluation.cells,
        parts["training"].get("learning_rate"),
        json.dumps([parts, evaluation.data_fingerprint], sort_keys=True),
    )


@dataclass
class Known:
    """All that a table's page reads about cells, in a few queries.

    Attributes:
        entries: of the benchmark table, by space and encoding.
        epochs: by run, where a row asks for another cell than the derived one.
        trained: accuracies by architecture, channels and protocol.
    """

    entries: dict[tuple[str, str], TableEntry] = field(default_factory=dict)
    epochs: dict[int, list[Epoch]] = field(default_factory=dict)
    trained: dict[tuple[int, int, Protocol], list[float]] = field(default_factory=dict)

    def look_up(self, run: Run, genotype: str, column: Column) -> float | None:
        entry = self.entries.get((points.space_of(run.experiment.spec), genotype))
        value = entry.get(column.dataset, column.split) if entry else None
        return value.value if value else None


def read(team: Team, table: Table, found: Runs) -> Known:
    """Read epochs, table values and trainings of the runs that succeeded."""
    done = {
        run.pk: run
        for held in found.values()
        for run in held.values()
        if run.job.state == State.SUCCEEDED
    }
    known = Known(epochs=_epochs(_read_by_epoch(table, found, done)))
    wanted: dict[str, set[str]] = defaultdict(set)
    for run in done.values():
        space = points.space_of(run.experiment.spec)
        if run.architecture is not None:
            wanted[space].add(run.architecture.encoding)
        wanted[space] |= {each["architecture"] for each in run.architectures}
        wanted[space] |= {each.genotype for each in known.epochs.get(run.pk, ())}
    for space, encodings in wanted.items():
        for encoding, entry in benchmark.lookup(space, encodings).items():
            known.entries[space, encoding] = entry
    if table.trained:
        known.trained = _trained(team, done.values())
    return known


def _read_by_epoch(table: Table, found: Runs, done: Mapping[int, Run]) -> set[int]:
    """Return the runs of which some row wants another epoch than the last."""
    names = {
        name
        for row in table.rows
        if row.reading.needs_epochs
        for column in table.columns
        for name in row.of(column)
    }
    runs = {run.pk for name in names for run in found.get(name, {}).values()}
    return runs & done.keys()


def _epochs(runs: set[int]) -> dict[int, list[Epoch]]:
    if not runs:
        return {}
    rows = EpochRecord.objects.filter(run__in=runs).order_by("run", "epoch")
    found: dict[int, list[Epoch]] = defaultdict(list)
    for run, number, genotype, cost, seconds in rows.values_list(
        "run", "epoch", "genotype", "cost_units", "seconds_search"
    ):
        found[run].append(Epoch(number, genotype, cost, seconds))
    return found


def _trained(
    team: Team, runs: Iterable[Run]
) -> dict[tuple[int, int, Protocol], list[float]]:
    """Return the accuracies of each cell, width and protocol, each seed once: the same
    seed again is no other observation."""
    rows = Evaluation.objects.filter(
        job__team=team,
        job__state=State.SUCCEEDED,
        accuracy__isnull=False,
        architecture__in={run.architecture_id for run in runs} - {None},
    ).defer("curve")
    found: dict[tuple[int, int, Protocol], dict[int, float]] = defaultdict(dict)
    for row in rows.order_by("pk"):
        place = row.architecture_id, row.channels, _protocol(row)
        found[place].setdefault(row.seed, row.accuracy or 0.0)
    return {place: list(by_seed.values()) for place, by_seed in found.items()}


def cell_of(
    known: Known, run: Run, reading: Reading, column: Column, budget: float | None
) -> str | None:
    """Return the encoding of the architecture that a row reads from a run, None if
    there is none."""
    epochs = known.epochs.get(run.pk, [])
    if reading.rule:
        for each in run.architectures:
            same = reading.criterion in ("", each.get("criterion", ""))
            if each["derivation"] == reading.rule and same:
                return str(each["architecture"])
        return epochs[-1].genotype if epochs else None
    if reading.best_epoch:
        test = column.model_copy(update={"split": "test"})
        worth = [
            (value, each.genotype)
            for each in epochs
            if (value := known.look_up(run, each.genotype, test)) is not None
        ]
        return max(worth)[1] if worth else None
    if reading.at_cost_of:
        paid = affordable(epochs, budget)
        return paid.genotype if paid else None
    return run.architecture.encoding if run.architecture else None


def affordable(epochs: Sequence[Epoch], budget: float | None) -> Epoch | None:
    """Return the last epoch that a budget of cost units pays for."""
    if budget is None:
        return None
    paid = [each for each in epochs if each.cost <= budget * (1 + 1e-9)]
    return paid[-1] if paid else None


def protocol_of(known: Known, column: Column, scale: str) -> Protocol | None:
    """Return the protocol in which most cells were trained for a column; of equal
    ones the longest."""
    counts: Counter[Protocol] = Counter()
    for (_, channels, protocol), values in known.trained.items():
        if channels == column.channels and _fits(protocol.dataset, column, scale):
            counts[protocol] += len(values)
    if not counts:
        return None
    return max(counts, key=lambda at: (counts[at], at.epochs, at.dataset, at.settings))


def _fits(dataset: str, column: Column, scale: str) -> bool:
    """Say whether cells trained on a data set stand in a column: on its own, and at a
    small scale on the images that stand for CIFAR-100."""
    if dataset == column.dataset:
        return True
    small = scale != PAPER and column.dataset == "cifar100"
    return small and not dataset.startswith("imagenet")


def trained_value(
    known: Known, run: Run, column: Column, protocol: Protocol | None
) -> tuple[float, int] | None:
    """Return the mean over the trainings of a run's cell, and how many there are."""
    if protocol is None or run.architecture_id is None or column.channels is None:
        return None
    values = known.trained.get((run.architecture_id, column.channels, protocol))
    return (statistics.fmean(values), len(values)) if values else None
