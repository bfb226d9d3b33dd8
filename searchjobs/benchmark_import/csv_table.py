"""Read the table from a CSV, plain or gzip, with a header row.

Columns: ``index``, ``arch``, ``n_trials``, six accuracies of 200 epochs named
``<data set>_<split>`` and the same six with ``_e12`` for 12 epochs.  Optional: single
trials of any of them (``cifar10_valid_seed777``), and ``train_time_s`` and
``valid_time_s``, seconds of 200 training epochs on half of CIFAR-10 and of a pass over
the other half.  Others are left alone.  The number of trials of the 12-epoch columns is
that of the published benchmark.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from .rows import (
    ARCHITECTURES,
    SPLITS,
    Accuracy,
    Seconds,
    Table,
    TableError,
    TableRow,
)

_ACCURACY_COLUMNS = {
    f"{dataset}_{split}{suffix}": (dataset, split, protocol)
    for protocol, suffix in (("200", ""), ("12", "_e12"))
    for dataset, split in SPLITS
}
TRAIN, VALID = "train_time_s", "valid_time_s"
_TRIAL = re.compile(r"_seed\d+$")
REQUIRED = ("index", "arch", "n_trials", *_ACCURACY_COLUMNS)


def open_csv(path: Path, partial: bool) -> Table:
    """Open a CSV; ``partial`` accepts fewer rows than the space has."""
    lines = _text(path).splitlines()
    reader = csv.reader(lines)
    header = next(reader, [])
    if "arch" not in header and "index" not in header:
        raise TableError(
            f"{path} is not the table as CSV: its first line should name the columns "
            f"{', '.join(REQUIRED[:4])} and so on; give another file."
        )
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise TableError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}; add what is missing, or give another file."
        )
    total = sum(1 for line in lines[1:] if line.strip())
    if total < ARCHITECTURES and not partial:
        raise TableError(
            f"{path} has {total:,} of the {ARCHITECTURES:,} architectures and seems "
            "cut off; give the whole file, or add --partial to import what is there."
        )
    return Table(f"CSV {path.name}", total, _rows(path, header, reader))


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise TableError(
                f"{path} is cut off or damaged ({error}); copy it again."
            ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is not text; give a CSV in UTF-8, the official .pth, or the "
            "NATS-Bench topology folder."
        ) from error


def _rows(
    path: Path, header: list[str], reader: Iterator[list[str]]
) -> Iterator[TableRow]:
    wanted = [*REQUIRED, *filter(_is_optional, header)]
    position = {name: header.index(name) for name in wanted}
    for number, cells in enumerate(reader, start=2):
        if not cells:
            continue
        where = f"{path}, line {number},"
        if len(cells) != len(header):
            raise TableError(
                f"{where} has {len(cells)} of {len(header)} values; the file seems "
                "cut off or damaged, so copy it again."
            )
        yield _row(where, {name: cells[at] for name, at in position.items()})


def _row(where: str, cells: dict[str, str]) -> TableRow:
    trials = _whole(where, cells, "n_trials")
    accuracies = tuple(
        Accuracy(
            dataset,
            split,
            protocol,
            _number(where, cells, column),
            _trials(dataset, split, protocol, trials),
            _by_trial(where, cells, column),
        )
        for column, (dataset, split, protocol) in _ACCURACY_COLUMNS.items()
    )
    index = _whole(where, cells, "index")
    return TableRow(where, index, cells["arch"], accuracies, _seconds(where, cells))


def _is_optional(name: str) -> bool:
    return name in {TRAIN, VALID} or _TRIAL.sub("", name) in _ACCURACY_COLUMNS


def _by_trial(
    where: str, cells: dict[str, str], column: str
) -> tuple[float, ...] | None:
    """Return the trials of a column that the file tells; fewer in some rows."""
    found = tuple(
        _number(where, cells, name)
        for name in cells
        if name != column and _TRIAL.sub("", name) == column and cells[name]
    )
    return found or None


def _seconds(where: str, cells: dict[str, str]) -> Seconds | None:
    if not cells.get(TRAIN):
        return None
    known = _number(where, cells, VALID) if cells.get(VALID) else None
    return Seconds(_number(where, cells, TRAIN), known)


def _trials(dataset: str, split: str, protocol: str, trials: int) -> int:
    """Return the trials of a column; with 12 epochs they are the same in every row."""
    if protocol == "200":
        return trials
    return 2 if (dataset, split) == ("cifar10", "valid") else 1


def _whole(where: str, cells: dict[str, str], column: str) -> int:
    if not cells[column].isdecimal():
        raise TableError(
            f"{where} has {cells[column]!r} in column {column}, which is not a whole "
            "number; correct the file."
        )
    return int(cells[column])


def _number(where: str, cells: dict[str, str], column: str) -> float:
    try:
        return float(cells[column])
    except ValueError:
        raise TableError(
            f"{where} has {cells[column]!r} in column {column}, which is not a number; "
            "correct the file."
        ) from None
