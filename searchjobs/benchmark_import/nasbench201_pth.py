"""Read the official ``.pth`` of NAS-Bench-201, versions 1.0 and 1.1.

``torch.load(weights_only=True)`` reads it, with the names of the restricted
unpickler allowed besides; the dictionary then goes to the benchmark's own package,
which takes one in place of a path.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from nas_201_api import NASBench201API

from .official import accuracies, seconds_of
from .restricted_unpickler import ALLOWED
from .rows import PROTOCOLS, Table, TableError, TableRow

_KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")
_AT_ONCE = 64
"""Architectures handed to the package at one time: it copies all that it is given."""


def open_pth(path: Path) -> Table:
    """Load the file; the accuracies are read architecture by architecture."""
    content = _loaded(path)
    if not _is_table(content):
        raise TableError(
            f"{path} is a PyTorch file but not NAS-Bench-201 (which has "
            f"{', '.join(_KEYS)}); give NAS-Bench-201-v1_1-096897.pth."
        )
    total = len(content["arch2infos"])
    if total == 0:
        raise TableError(f"{path} holds no architecture; give the official file.")
    return Table(f"NAS-Bench-201 file {path.name}", total, _rows(path, content))


def _is_table(content: Any) -> bool:
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        return False
    encodings, infos = content["meta_archs"], content["arch2infos"]
    return (
        isinstance(encodings, list)
        and all(isinstance(encoding, str) for encoding in encodings)
        and isinstance(infos, dict)
        and all(index in range(len(encodings)) for index in infos)
    )


def _loaded(path: Path) -> Any:
    allowed: list[Any] = [(stand_in, name) for name, stand_in in ALLOWED.items()]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise TableError(
            f"{path} does not fit into memory; use the NATS-Bench topology folder, "
            "which is read one architecture at a time."
        ) from error
    except Exception as error:
        # PyTorch promises no list of errors for a damaged file: RuntimeError,
        # UnpicklingError, EOFError, KeyError and others were seen.
        raise TableError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in str(error):
        return (
            f"{path} asks for more than numbers and text, which could run code; give "
            "the official NAS-Bench-201 file."
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                return (
                    f"{path} is an ordinary zip archive and not a PyTorch file; unpack "
                    "it and give what is inside."
                )
    return f"{path} is cut off or damaged; copy it again."


def _rows(path: Path, content: dict[str, Any]) -> Iterator[TableRow]:
    infos = content["arch2infos"]
    order = sorted(infos)
    for start in range(0, len(order), _AT_ONCE):
        # Taken out of the dictionary, so that memory falls as the import goes on.
        part = {index: infos.pop(index) for index in order[start : start + _AT_ONCE]}
        api = _api(path, content["meta_archs"], part)
        for index in part:
            where = f"{path}, architecture {index},"
            encoding = api.arch(index)
            trained = api.arch2infos_dict[index]
            values = tuple(
                value
                for protocol in PROTOCOLS
                for value in accuracies(trained[protocol], protocol, where)
            )
            timed = seconds_of(trained[protocol] for protocol in PROTOCOLS)
            yield TableRow(where, index, encoding, values, timed)


def _api(path: Path, encodings: list[str], part: dict[int, Any]) -> NASBench201API:
    try:
        return NASBench201API(
            {
                "meta_archs": encodings,
                "arch2infos": part,
                "evaluated_indexes": list(part),
            },
            verbose=False,
        )
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise TableError(
            f"{path} holds records that the nas-bench-201 package cannot read "
            f"({error}); give the official file."
        ) from error
