"""Tell what a path holds by its content, and open it."""

from __future__ import annotations

from pathlib import Path

from .csv_table import open_csv
from .nasbench201_pth import open_pth
from .nats_folder import open_nats_folder
from .rows import Table, TableError

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_BZIP2 = b"BZh"
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch before 1.6 begin: a pickled magic number."""
_TAR = (257, b"ustar")


def open_table(path: Path, *, partial: bool = False) -> Table:
    """Open a CSV, the official ``.pth`` or the NATS-Bench folder.

    Args:
        path: file or folder.
        partial: accept a CSV that lacks architectures.

    Raises:
        TableError: the path holds none of them, or a damaged one.
    """
    if not path.exists():
        raise TableError(f"There is no file or folder {path}; check the path.")
    if path.is_dir():
        return open_nats_folder(path)
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start:
        raise TableError(f"{path} is empty; copy it again.")
    if start.startswith((_ZIP, _TORCH_LEGACY)):
        return open_pth(path)
    if start.startswith(_BZIP2):
        raise TableError(
            f"{path} is one file of NATS-Bench or an archive; give the unpacked "
            "folder that holds meta.pickle.pbz2."
        )
    if start[_TAR[0] :].startswith(_TAR[1]):
        raise TableError(f"{path} is a tar archive; unpack it and give the folder.")
    return open_csv(path, partial)
