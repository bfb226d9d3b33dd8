"""Write checked rows to PostgreSQL and rank every column: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from searchjobs.models import Architecture, BenchmarkImport, BenchmarkResult

from .rows import CheckedRow

_RESULTS = BenchmarkResult._meta.db_table
_ARCHITECTURES = Architecture._meta.db_table

# The rank inside the file spares a whole table's import the second write of each row.
# A second import of the same file finds nothing to change and writes nothing.
_UPSERT = f"""
    INSERT INTO {_RESULTS} AS stored
        (architecture_id, dataset, split, protocol, value, trials, by_trial, rank)
    SELECT architecture_id, dataset, split, protocol, value, trials,
        by_trial::float8[],
        rank() OVER (PARTITION BY dataset, split, protocol ORDER BY value DESC)
    FROM unnest(
        %s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::int[],
        %s::text[]
    ) AS given(architecture_id, dataset, split, protocol, value, trials, by_trial)
    ON CONFLICT (architecture_id, dataset, split, protocol) DO UPDATE
    SET value = excluded.value, trials = excluded.trials, by_trial = excluded.by_trial
    WHERE (stored.value, stored.trials, stored.by_trial)
        IS DISTINCT FROM (excluded.value, excluded.trials, excluded.by_trial)
"""

# A file that tells no seconds leaves those that are there.
_SECONDS = f"""
    UPDATE {_ARCHITECTURES} AS stored
    SET train_seconds = given.train,
        valid_seconds = coalesce(given.valid, stored.valid_seconds)
    FROM unnest(%s::bigint[], %s::float8[], %s::float8[]) AS given(id, train, valid)
    WHERE stored.id = given.id
        AND (stored.train_seconds, stored.valid_seconds)
        IS DISTINCT FROM (given.train, coalesce(given.valid, stored.valid_seconds))
"""

# Without it the planner may take both tables for empty: autovacuum can have looked at
# them when an import had just been rolled back, and it sees the new rows only after the
# commit.  The join below would then compare every row with every architecture, which
# takes many minutes; so would the first pages after the import.
_ANALYZE = f"ANALYZE {_ARCHITECTURES}, {_RESULTS}"

# What was there before and what came now are ranked together.
_RANK = f"""
    UPDATE {_RESULTS} AS stored
    SET rank = ranked.rank
    FROM (
        SELECT result.id, rank() OVER (
            PARTITION BY result.dataset, result.split, result.protocol
            ORDER BY result.value DESC) AS rank
        FROM {_RESULTS} AS result
        JOIN {_ARCHITECTURES} AS architecture
            ON architecture.id = result.architecture_id
        WHERE architecture.space = %s
    ) AS ranked
    WHERE stored.id = ranked.id AND stored.rank IS DISTINCT FROM ranked.rank
"""


@dataclass(frozen=True)
class Stored:
    """How many architectures and accuracies an import wrote or found unchanged."""

    architectures: int
    accuracies: int


def store(space: str, rows: Sequence[CheckedRow], source: str = "") -> Stored:
    """Upsert architectures, accuracies and seconds in one transaction, then rank;
    ``source`` names the file for people."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two imports at one time would rank half of each other's rows; readers
            # are not held up.
            cursor.execute(f"LOCK TABLE {_RESULTS} IN SHARE ROW EXCLUSIVE MODE")
        ids = _store_architectures(space, rows)
        results = list(_result_rows(rows, ids))
        columns = zip(*results, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_UPSERT, [_array(column) for column in columns])
            cursor.execute(_ANALYZE)
            cursor.execute(_RANK, [space])
            timed = [(ids[r.encoding], *r.seconds) for r in rows if r.seconds]
            if timed:
                columns = zip(*timed, strict=True)
                cursor.execute(_SECONDS, [_array(column) for column in columns])
        BenchmarkImport.objects.create(
            space=space, source=source[:200], architectures=len(rows)
        )
    return Stored(len(rows), len(results))


def _store_architectures(space: str, rows: Sequence[CheckedRow]) -> dict[str, int]:
    # Sorted, so that two writers meet the rows in the same order and never wait for
    # each other in a circle.
    ordered = sorted(rows, key=lambda row: row.encoding)
    stored = Architecture.objects.bulk_create(
        [
            Architecture(space=space, encoding=row.encoding, **row.description)
            for row in ordered
        ],
        batch_size=2_000,
        update_conflicts=True,
        unique_fields=["space", "encoding"],
        update_fields=["index", "canonical", "parameters", "flops"],
    )
    return {architecture.encoding: architecture.pk for architecture in stored}


def _result_rows(
    rows: Sequence[CheckedRow], ids: dict[str, int]
) -> Iterator[tuple[int, str, str, str, float, int | None, str | None]]:
    for row in rows:
        for accuracy in row.accuracies:
            *plain, by_trial = accuracy
            several = f'"{_array(by_trial)}"' if by_trial else None
            yield (ids[row.encoding], *plain, several)  # type: ignore[misc]


def _array(column: Sequence[object]) -> str:
    """Write numbers and our own plain names as one literal, which PostgreSQL reads
    several times faster than an ARRAY of so many expressions."""
    return (
        "{" + ",".join("NULL" if cell is None else str(cell) for cell in column) + "}"
    )
