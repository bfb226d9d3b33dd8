"""Read the topology folder of NATS-Bench (``NATS-tss-v1_0-3ffb9-simple``).

``meta.pickle.pbz2`` lists the 15,625 strings in official order; ``000011.pickle.pbz2``
holds what was trained of architecture 11: ``{"12": record, "200": record}``.  A
folder with some of the architectures is imported as far as it goes.
"""

from __future__ import annotations

import bz2
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas_201_api import ArchResults

from .official import accuracies, seconds_of
from .restricted_unpickler import restricted_loads
from .rows import PROTOCOLS, Table, TableError, TableRow

META = "meta.pickle.pbz2"
_ARCHITECTURE = re.compile(r"(\d{6})\.pickle\.pbz2")
_LARGEST = 256 * 2**20
"""Bytes a file may unpack to: hundreds of times what the official ones hold, and far
less than would fill the memory."""


def open_nats_folder(folder: Path) -> Table:
    """Open the folder; its architectures are read one by one."""
    if not (folder / META).is_file():
        raise TableError(_no_meta(folder))
    encodings = _meta(folder / META)
    files = sorted(
        file for file in folder.iterdir() if _ARCHITECTURE.fullmatch(file.name)
    )
    if not files:
        raise TableError(
            f"{folder} has {META} but no architecture such as 000000.pickle.pbz2; "
            "unpack the whole archive."
        )
    return Table(
        f"NATS-Bench folder {folder.name}", len(files), _rows(files, encodings)
    )


def _no_meta(folder: Path) -> str:
    inside = sorted(file.parent for file in folder.glob(f"*/{META}"))
    if inside:
        return f"{folder} holds the table one level deeper; give {inside[0]}."
    if not any(folder.iterdir()):
        return f"{folder} is empty; give the unpacked NATS-Bench topology folder."
    return (
        f"{folder} has no {META}; give the unpacked NATS-Bench topology folder, the "
        "official .pth or a CSV."
    )


def _meta(file: Path) -> list[str]:
    meta = _unpickled(file)
    encodings = meta.get("meta_archs") if isinstance(meta, dict) else None
    if not isinstance(encodings, list) or not all(
        isinstance(encoding, str) for encoding in encodings
    ):
        raise TableError(
            f"{file} does not list the architectures (meta_archs); give the folder of "
            "the NATS-Bench topology search space."
        )
    return encodings


def _rows(files: list[Path], encodings: list[str]) -> Iterator[TableRow]:
    for file in files:
        index = int(file.name[:6])
        records = _unpickled(file)
        if index >= len(encodings) or not isinstance(records, dict):
            raise TableError(
                f"{file} does not belong to the architectures that {META} lists; "
                "take a fresh copy of the official folder."
            )
        where = str(file)
        trained = {
            protocol: _record(file, records[protocol], encodings[index])
            for protocol in PROTOCOLS
            if protocol in records
        }
        values = [
            value
            for protocol, record in trained.items()
            for value in accuracies(record, protocol, where)
        ]
        if not values:
            raise TableError(
                f"{file} holds no 200-epoch or 12-epoch training; give the topology "
                "folder (tss), not the size one (sss)."
            )
        timed = seconds_of(trained.values())
        yield TableRow(where, index, encodings[index], tuple(values), timed)


def _record(file: Path, state: Any, encoding: str) -> ArchResults:
    try:
        record = ArchResults.create_from_state_dict(state)
        belongs = record.arch_str == encoding
    except (AssertionError, AttributeError, TypeError, ValueError):
        belongs = False
    if not belongs:
        raise TableError(
            f"{file} is not the record of {encoding}; take a fresh copy of the "
            "official folder."
        )
    return record


def _unpickled(file: Path) -> Any:
    try:
        with bz2.open(file) as stream:
            data = stream.read(_LARGEST + 1)
    except (EOFError, OSError) as error:
        raise TableError(
            f"{file} is cut off or damaged ({error}); copy it again."
        ) from error
    if len(data) > _LARGEST:
        raise TableError(
            f"{file} unpacks to more than {_LARGEST // 2**20} MiB; give the "
            "-simple folder, which comes without trained weights."
        )
    try:
        return restricted_loads(data)
    except pickle.UnpicklingError as error:
        raise TableError(
            f"{file} cannot be read safely: {error}; take the official -simple folder."
        ) from error
