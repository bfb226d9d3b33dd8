"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from .files import write_whole
from .problems import SearchError

VERSION = 3
KEPT = 2
#: What PyTorch's reader raises on a damaged file, depending on where the damage is.
UNREADABLE = (
    *(RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError),
    *(AttributeError, pickle.UnpicklingError),
)
_NAME = re.compile(r"epoch-(\d+)\.pt")


def path_of(folder: Path, epoch: int) -> Path:
    return folder / "checkpoints" / f"epoch-{epoch:05d}.pt"


def save(folder: Path, epoch: int, state: dict[str, Any]) -> tuple[Path, int]:
    """Write the state after ``epoch`` and drop all but the newest checkpoints.

    The file appears under its name only when it is complete and on the disk, so a
    kill at any moment leaves the one before.  Returns path and size in bytes.
    """
    path = path_of(folder, epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "epoch": epoch, **state}, buffer)
    write_whole(path, buffer.getvalue())
    for old in newest_first(folder)[KEPT:]:
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    return path, buffer.tell()


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, the newest first."""
    found = [
        (int(match.group(1)), path)
        for path in (folder / "checkpoints").glob("epoch-*.pt")
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found, reverse=True)]


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint that can be read, or None if there is none.

    A damaged file (a full disk, a broken copy) is passed over for the one before.
    """
    for path in newest_first(folder):
        with contextlib.suppress(*UNREADABLE):
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["version"] == VERSION:
                return dict(state)
    return None


def require_spec(state: dict[str, Any], fingerprint: str) -> None:
    """Raise SearchError unless a checkpoint was made by a spec of this fingerprint."""
    if state["spec"] != fingerprint:
        raise SearchError(
            "The checkpoint in this folder belongs to another spec. Choose an empty "
            "folder for this one, or run the spec that the folder was made with.",
            "spec",
        )
