"""Runs as rows of tables: progress, table accuracies, cost; mean and deviation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nasweb.comparison import Spread, spread
from nasweb.runs.points import whole_share
from nasweb.runs.status import share_done, within
from searchjobs import benchmark
from searchjobs.benchmark import TableEntry, TableValue
from searchjobs.models import Run
from searchjobs.states import HELD, TERMINAL, State

#: Columns of the benchmark table, in the order in which papers print them.
COLUMNS = tuple(
    (dataset, split) for dataset in benchmark.DATASETS for split in ("valid", "test")
)


@dataclass(frozen=True)
class MeanValue:
    """A table accuracy of the picks of a search on the table: mean, sample standard
    deviation, and over how many repeats."""

    value: float
    std: float | None
    repeats: int


@dataclass(frozen=True)
class Row:
    """One run with what the table knows of its present architecture."""

    run: Run
    entry: TableEntry | None

    @property
    def state(self) -> str:
        return self.run.job.state

    @property
    def active(self) -> bool:
        return self.state in HELD

    @property
    def over(self) -> bool:
        return self.state in TERMINAL

    @property
    def share(self) -> float:
        """Part of the search that is done, 0 to 1, inside the epoch included."""
        return share_done(self.run)

    @property
    def seconds_left(self) -> float | None:
        if not self.active:
            return None
        return within(self.run).get("seconds_left")

    @property
    def cost_share(self) -> float | None:
        """Cost so far against the whole search on all samples."""
        return whole_share(self.run)

    @property
    def values(self) -> list[TableValue | MeanValue | None]:
        """The table's columns, None where it has no value; of a search on the table,
        means over its repeats."""
        if self.run.repeats:
            return [self._mean(dataset, split) for dataset, split in COLUMNS]
        if self.entry is None:
            return [None] * len(COLUMNS)
        return [self.entry.get(dataset, split) for dataset, split in COLUMNS]

    @property
    def headline(self) -> TableValue | MeanValue | None:
        """CIFAR-10 test accuracy, the number that papers lead with."""
        if self.run.repeats:
            return self._mean("cifar10", "test")
        return self.entry.get("cifar10", "test") if self.entry else None

    def _mean(self, dataset: str, split: str) -> MeanValue:
        told = self.run.repeats or {}
        known = told["accuracies"][dataset][split]
        return MeanValue(known["mean"], known["std"], told["repeats"])


@dataclass(frozen=True)
class Summary:
    """What the runs that succeeded have in common."""

    n: int
    columns: list[Spread]
    inherited: Spread
    cost_share: Spread
    seconds: Spread


def rows(runs: Iterable[Run]) -> list[Row]:
    """Return a row for each run, looked up together: two queries a space at most.

    The runs come with their ``job`` and ``architecture`` selected.
    """
    runs = list(runs)
    by_space: dict[str, set[str]] = {}
    for run in runs:
        if run.architecture is not None:
            space, encoding = run.architecture.space, run.architecture.encoding
            by_space.setdefault(space, set()).add(encoding)
    found = {
        (space, encoding): entry
        for space, encodings in by_space.items()
        for encoding, entry in benchmark.lookup(space, encodings).items()
    }
    return [
        Row(
            run,
            found.get((run.architecture.space, run.architecture.encoding))
            if run.architecture
            else None,
        )
        for run in runs
    ]


def summary(of: Sequence[Row]) -> Summary:
    """Return mean and deviation over the runs that succeeded."""
    done = [row for row in of if row.state == State.SUCCEEDED]
    return Summary(
        n=len(done),
        columns=[
            spread(found.value for row in done if (found := row.values[place]))
            for place in range(len(COLUMNS))
        ],
        inherited=spread(
            100 * row.run.inherited_accuracy
            for row in done
            if row.run.inherited_accuracy is not None
        ),
        cost_share=spread(row.cost_share for row in done if row.cost_share is not None),
        seconds=spread(row.run.seconds_search for row in done),
    )
