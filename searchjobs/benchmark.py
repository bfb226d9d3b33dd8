"""Look architectures up in the benchmark table of their space.

For pages and reports only.  A search that trains never reads the table: the engine
cannot import this module, and nothing here is written back to a job.  A search on the
table gets it as a file (``table_file``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache as once

from django.core.cache import cache
from django.db.models import Count, Max, Min, Q

from searchjobs.engine.contracts import Space, spaces
from searchjobs.engine.contracts.table import DATASETS as DATASETS
from searchjobs.models import Architecture, BenchmarkResult

PROTOCOLS = {"200": "200 epochs", "12": "12 epochs"}
_SECONDS = 30
"""How long a page may go on with what the table held a moment ago."""


@dataclass(frozen=True)
class TableValue:
    """One accuracy of the table.

    Attributes:
        value: top-1 accuracy in per cent, mean of ``trials`` trainings.
        trials: None where the file does not say.
        rank: 1 is the best of ``of`` architectures; equal values share a rank.
        distance: percentage points below the best of the column.
    """

    value: float
    trials: int | None
    rank: int
    of: int
    distance: float


@dataclass(frozen=True)
class TableEntry:
    """All that the table says of one architecture under one protocol.

    ``datasets["cifar10"]["valid"]`` is a TableValue; a column that the imported file
    does not have is absent.
    """

    encoding: str
    datasets: Mapping[str, Mapping[str, TableValue]]

    def get(self, dataset: str, split: str) -> TableValue | None:
        return self.datasets.get(dataset, {}).get(split)


@dataclass(frozen=True)
class Optimum:
    """The best value of a column, who reaches it, and among how many."""

    encoding: str
    value: float
    of: int


@once
def space_named(name: str) -> Space:
    """Return the space with its default options; KeyError names those there are."""
    part = spaces.get(name)
    return part(part.Options())


def resolve(space: str, encodings: Iterable[str]) -> dict[str, Architecture]:
    """Return the rows of these architectures; new ones are made with their figures.

    Raises:
        ValueError: one of the strings is no architecture of the space.
    """
    wanted = set(encodings)
    found = _stored(space, wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        described = space_named(space)
        Architecture.objects.bulk_create(
            [
                Architecture(
                    space=space, encoding=encoding, **described.describe(encoding)
                )
                for encoding in missing
            ],
            ignore_conflicts=True,  # another worker may have met it first
        )
        found |= _stored(space, missing)
    return found


def resolve_one(space: str, encoding: str) -> Architecture:
    """Return the row of one architecture, made if it is new."""
    return resolve(space, [encoding])[encoding]


def _stored(space: str, encodings: Iterable[str]) -> dict[str, Architecture]:
    rows = Architecture.objects.filter(space=space, encoding__in=list(encodings))
    return {row.encoding: row for row in rows}


def optimum(space: str, protocol: str = "200") -> dict[tuple[str, str], Optimum]:
    """Return the best of each column by (data set, split); empty without a table."""
    key = _cache_key(space, protocol)
    known = cache.get(key)
    if known is None:
        known = _read_optimum(space, protocol)
        cache.set(key, known, _SECONDS)
    return known


def _read_optimum(space: str, protocol: str) -> dict[tuple[str, str], Optimum]:
    columns = (
        BenchmarkResult.objects.filter(architecture__space=space, protocol=protocol)
        .order_by()
        .values("dataset", "split")
        .annotate(
            best=Max("value"),
            of=Count("id"),
            encoding=Min("architecture__encoding", filter=Q(rank=1)),
        )
    )
    return {
        (column["dataset"], column["split"]): Optimum(
            column["encoding"], column["best"], column["of"]
        )
        for column in columns
    }


class Tables:
    """The tables as one page sees them: the best of each column is read once, however
    often somebody looks something up."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], Mapping[tuple[str, str], Optimum]] = {}

    def optimum(
        self, space: str, protocol: str = "200"
    ) -> Mapping[tuple[str, str], Optimum]:
        """Return the best of each column by (data set, split)."""
        key = (space, protocol)
        if key not in self._best:
            self._best[key] = optimum(space, protocol)
        return self._best[key]

    def loaded(self, space: str) -> bool:
        """Say whether any table of the space was imported."""
        return any(self.optimum(space, protocol) for protocol in PROTOCOLS)

    def lookup(
        self,
        space: str,
        encodings: Iterable[str],
        protocol: str = "200",
        *,
        column: tuple[str, str] | None = None,
        whole: Iterable[str] = (),
    ) -> dict[str, TableEntry]:
        """Return what the table says of these architectures, in one query.

        Architectures that are not in the table are absent; without a table the answer
        is empty.  With a ``column`` (data set, split) the entries hold that one alone,
        but for the architectures in ``whole``: curves need no more.
        """
        best = self.optimum(space, protocol)
        if not best:
            return {}
        wanted = Q(architecture__encoding__in=set(encodings))
        if column is not None:
            wanted &= Q(dataset=column[0], split=column[1])
            wanted |= Q(architecture__encoding__in=set(whole))
        results = BenchmarkResult.objects.filter(
            wanted, architecture__space=space, protocol=protocol
        ).values_list(
            "architecture__encoding", "dataset", "split", "value", "trials", "rank"
        )
        found: dict[str, dict[str, dict[str, TableValue]]] = {}
        for encoding, dataset, split, value, trials, rank in results:
            known = best.get((dataset, split))
            if known is None or rank is None:
                continue  # a column that arrived after the optimum was read
            found.setdefault(encoding, {}).setdefault(dataset, {})[split] = TableValue(
                value, trials, rank, known.of, known.value - value
            )
        return {encoding: TableEntry(encoding, its) for encoding, its in found.items()}


def table_loaded(space: str) -> bool:
    """Say whether any table of the space was imported."""
    return Tables().loaded(space)


def why_no_table(space: str) -> str:
    """Return why nothing of a space can ever be looked up and what to do instead, one
    sentence; empty where a table may be imported."""
    why = next((part.why_no_table for part in spaces.all() if part.name == space), "")
    if not why:
        return ""
    return f"These cells are in no table, for {why}: train them from scratch."


def forget_table(space: str) -> None:
    """Make the next look-up read the table anew; called after an import."""
    cache.delete_many([_cache_key(space, protocol) for protocol in PROTOCOLS])


def _cache_key(space: str, protocol: str) -> str:
    return f"benchmark:{space}:{protocol}"


def lookup(
    space: str, encodings: Iterable[str], protocol: str = "200"
) -> dict[str, TableEntry]:
    """Return what the table says of these architectures, in two queries at most.

    Architectures that are not in the table are absent; without a table the answer
    is empty.
    """
    return Tables().lookup(space, encodings, protocol)
