"""The imported benchmark table as a file for the engine, which knows no database.

The file is written anew when the newest import is another one than it was made from,
and is left alone where nothing was ever imported: somebody may have put it there.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any

from .engine import places
from .engine.files import write_whole


def provide() -> None:
    """From now on, whoever looks for a table in this process gets the imported one."""
    if refresh not in places.table_providers:
        places.table_providers.append(refresh)


def refresh(space: str) -> None:
    """Bring the file of a space up to date with the newest import; one query if it is.

    Raises OSError if the data folder cannot be written to.
    """
    from .models import BenchmarkImport

    newest = BenchmarkImport.objects.filter(space=space).first()
    if newest is None:
        return
    path = places.table_path(space)
    stamp = path.with_name(f"{space}.stamp")
    wanted = f"{newest.pk} {newest.imported.isoformat()}\n"
    if path.exists() and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_rows(space))
    # mtime 0: the same table is the same file
    write_whole(path, gzip.compress(text.getvalue().encode(), mtime=0))
    write_whole(stamp, wanted.encode())


def refresh_for(plan: dict[str, Any], spec: dict[str, Any]) -> None:
    """Do so if a search with this plan reads a table."""
    if plan.get("table"):
        refresh(spec["space"]["name"])


def _rows(space: str) -> Iterator[list[Any]]:
    """Yield the header and a row for each architecture, as the engine reads them."""
    from .models import Architecture, BenchmarkResult

    values: dict[int, dict[str, float]] = {}
    results = BenchmarkResult.objects.filter(architecture__space=space).values_list(
        *("architecture_id", "dataset", "split", "protocol", "value", "by_trial")
    )
    for key, dataset, split, protocol, value, by_trial in results.iterator(20_000):
        stem = f"{dataset}_{split}{'' if protocol == '200' else f'_e{protocol}'}"
        row = values.setdefault(key, {})
        row[stem] = value
        for number, trial in enumerate(by_trial or (), start=1):
            row[f"{stem}_seed{number}"] = trial
    names = sorted({name for row in values.values() for name in row})
    yield ["arch", "train_time_s", "valid_time_s", *names]
    rows = Architecture.objects.filter(space=space, pk__in=values).order_by("index")
    for key, encoding, *seconds in rows.values_list(
        "pk", "encoding", "train_seconds", "valid_seconds"
    ):
        told = values[key]
        yield [encoding, *seconds, *(told.get(name) for name in names)]
