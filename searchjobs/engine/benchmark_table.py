"""The benchmark table of a space, as the engine reads it: one file, no database.

A CSV, plain or gzip, with a header row and one row for each architecture of the space,
accuracies in per cent:

===========================  ==========================================================
``arch``                     the architecture, as the space writes it
``cifar10_valid`` and so on  200 epochs, mean of the trials; also ``_test``, and the
                             same for ``cifar100`` and ``imagenet16``
``..._e12``                  the same after 12 epochs, on a schedule of their own
``..._seed777``              optional: single trials of a column, of which a look-up
                             draws one; empty where there is none
``..._e12_at4``              optional: the accuracy of the 12-epoch training after 4
``train_time_s``             seconds of 200 training epochs on half of CIFAR-10
``valid_time_s``             optional: seconds of a pass over the other half
===========================  ==========================================================

The site writes it from the imported table (``searchjobs.table_file``); the
compact CSV that ``import_nasbench201`` reads is such a file already.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .contracts import Space, spaces
from .contracts.table import DATASETS as DATASETS
from .places import table_path, table_providers
from .problems import Problem, SpecError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Spaces of which there is a table, with the command that imports it.
IMPORTERS = {"nas-bench-201": "manage.py import_nasbench201 PATH"}
SPLITS = ("valid", "test")
#: Training images of the protocol behind ``valid``, against half of CIFAR-10; the
#: benchmark's recorded seconds are in exactly these proportions.
TRAIN_SHARE = {"cifar10": 1.0, "cifar100": 2.0, "imagenet16": 151_700 / 25_000}
#: Images of a validation pass, against the other half of CIFAR-10.
VALID_SHARE = {"cifar10": 1.0, "cifar100": 0.2, "imagenet16": 0.12}
#: A validation pass over half of CIFAR-10 as a share of a training epoch on the other,
#: for tables that do not tell it.  Three official records say 0.35, 0.33 and 0.49; with
#: 12 epochs, 0.1 more or less changes the price of an architecture by 1 %.
PASS_SHARE = 0.4
#: Epochs that ``train_time_s`` counts.
TIMED_EPOCHS = 200
_SUFFIX = {"200": "", "12": "_e12"}
_TRIAL = re.compile(r"_seed\d+")


class MissingTableError(SpecError):
    """There is no table, or none that fits; the sentence says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__([Problem("space", sentence)])


@dataclass(frozen=True)
class BenchmarkTable:
    """Accuracies and times of all architectures of a space.

    Attributes:
        space: its name.
        encodings: the architectures, (n,).
        columns: column name of the file -> (n,) numbers, NaN where there is none.
        fingerprint: equal exactly when the contents are.
    """

    space: str
    encodings: tuple[str, ...]
    columns: Mapping[str, Floats]
    fingerprint: str

    def trials(self, dataset: str, split: str, protocol: str) -> Floats:
        """Return single trials (n, k) in per cent, the present ones first in each
        row and NaN behind them; where the file has only means, they are the one."""
        stem = f"{dataset}_{split}{_SUFFIX[protocol]}"
        found = [
            values
            for name, values in self.columns.items()
            if name.startswith(stem) and _TRIAL.fullmatch(name.removeprefix(stem))
        ]
        if not found:
            return self.columns[stem][:, None]
        stacked = np.stack(found, axis=1)
        order = np.argsort(np.isnan(stacked), axis=1, kind="stable")
        return np.take_along_axis(stacked, order, axis=1)

    def mean(self, dataset: str, split: str, protocol: str) -> Floats:
        """Return the mean over the trials (n,), per cent."""
        return self.columns[f"{dataset}_{split}{_SUFFIX[protocol]}"]

    def curve(self, dataset: str, epoch: int) -> Floats | None:
        """Return the validation accuracy (n,) of the 12-epoch training after
        ``epoch``; None if the file does not tell it."""
        return self.columns.get(f"{dataset}_valid_e12_at{epoch}")

    def train_seconds(self, dataset: str) -> Floats:
        """Return the seconds of one training epoch (n,)."""
        return self.columns["train_time_s"] / TIMED_EPOCHS * TRAIN_SHARE[dataset]

    def valid_seconds(self, dataset: str) -> Floats:
        """Return the seconds of one pass over the validation images (n,)."""
        epoch = self.columns["train_time_s"] / TIMED_EPOCHS
        known = self.columns.get("valid_time_s", np.full(len(epoch), np.nan))
        return (
            np.where(np.isnan(known), PASS_SHARE * epoch, known)
            * (VALID_SHARE[dataset])
        )

    @cached_property
    def choices(self) -> Indices:
        """Return the operations (n, E) of each architecture, as columns of its rows."""
        space = _space(self.space)
        position = {
            name: {operation: at for at, operation in enumerate(space.columns(name))}
            for name in space.tables
        }
        return np.array(
            [
                [
                    position[name][operation]
                    for name, row in space.decode(encoding).items()
                    for operation in row
                ]
                for encoding in self.encodings
            ],
            dtype=np.int64,
        )


def find(space: str) -> Path:
    """Return the table's file, or raise MissingTableError."""
    if space not in IMPORTERS:
        known = {part.name: part.why_no_table for part in spaces.all()}
        why = known.get(space) or f"there is no benchmark table of the space {space}"
        raise MissingTableError(
            f"{why[0].upper()}{why[1:]}, and this method looks every architecture up "
            f"in one; choose {' or '.join(IMPORTERS)}."
        )
    path = table_path(space)
    for provide in table_providers:
        try:
            provide(space)
        except OSError as error:
            raise MissingTableError(
                f"The imported table cannot be written to {path} ({error.strerror}); "
                "make room or mend its permissions."
            ) from None
    if not path.is_file():
        raise MissingTableError(
            f"The table of {space} is not here; import it with {IMPORTERS[space]}, or "
            f"put its CSV at {path}."
        )
    return path


def load(space: str) -> BenchmarkTable:
    """Return the table of a space; read once as long as its file stays the same."""
    path = find(space)
    state = path.stat()
    return _cached(space, path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _cached(space: str, path: Path, _time: int, _size: int) -> BenchmarkTable:
    return read(path, space)


def read(path: Path, space: str) -> BenchmarkTable:
    """Read a file, plain or gzip; raise MissingTableError if it is not whole."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise MissingTableError(
            f"The table {path} cannot be read ({error}); import it again with "
            f"{IMPORTERS[space]}."
        ) from None
    rows = [row for row in rows if row]
    _check(path, space, header, rows)
    at = header.index("arch")
    encodings = tuple(row[at] for row in rows)
    try:
        columns = {
            name: np.array([float(row[place] or "nan") for row in rows])
            for place, name in enumerate(header)
            if _is_known(name)
        }
    except (ValueError, IndexError):
        raise MissingTableError(
            f"The table {path} holds something that is no number; import it again with "
            f"{IMPORTERS[space]}."
        ) from None
    empty = [name for name in REQUIRED[1:] if np.isnan(columns[name]).any()]
    if empty:
        raise _lacks(path, space, empty)
    return BenchmarkTable(space, encodings, columns, _fingerprint(encodings, columns))


def _check(
    path: Path, space: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise _lacks(path, space, missing)
    whole = size_of(_space(space))
    at = header.index("arch")
    if len({row[at] for row in rows}) != whole:
        raise MissingTableError(
            f"The table {path} has {len(rows):,} of the {whole:,} architectures, and a "
            f"search may ask for any; import the whole table with {IMPORTERS[space]}."
        )


def _lacks(path: Path, space: str, names: Sequence[str]) -> MissingTableError:
    return MissingTableError(
        f"The table {path} lacks values of {', '.join(names)}, which a simulated "
        f"search needs; import one that has them with {IMPORTERS[space]}."
    )


def size_of(space: Space) -> int:
    """Return the number of architectures of a space."""
    size = 1
    for name, rows in space.tables.items():
        size *= len(space.columns(name)) ** len(rows)
    return size


def _names(protocols: Sequence[str]) -> list[str]:
    return [
        f"{dataset}_{split}{_SUFFIX[protocol]}"
        for protocol in protocols
        for dataset in DATASETS
        for split in SPLITS
    ]


REQUIRED = ("arch", "train_time_s", *_names(("200", "12")))


def _is_known(name: str) -> bool:
    """Say whether a column is one of those that the module's text names."""
    stem = re.sub(r"_seed\d+$|_at\d+$", "", name)
    return name != "arch" and (stem in REQUIRED or name == "valid_time_s")


def _fingerprint(encodings: Sequence[str], columns: Mapping[str, Floats]) -> str:
    digest = hashlib.sha256("\n".join(encodings).encode())
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(columns[name].tobytes())
    return digest.hexdigest()[:16]


@lru_cache
def _space(name: str) -> Space:
    part = spaces.get(name)
    return part(part.Options())
