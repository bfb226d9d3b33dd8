"""Where files lie on this machine that a search reads and no spec names.

Nothing here imports PyTorch: Django's processes ask too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID


def data_root() -> Path:
    """Return the folder where downloaded data sets live.

    The environment variable NASWEB_DATA_ROOT names it; without it, it is ``data``
    in NASWEB_HOME, and that is ``.nasweb`` where the command was started.
    """
    root = os.environ.get("NASWEB_DATA_ROOT")
    if root:
        return Path(root).expanduser()
    return Path(os.environ.get("NASWEB_HOME") or ".nasweb").expanduser() / "data"


def uploads_root() -> Path:
    """Return the folder of the data sets that came by upload: one folder each, named
    by an id that nobody can guess."""
    return data_root() / "uploads"


def table_path(space: str) -> Path:
    """Return where the benchmark table of a space lies."""
    return data_root() / "tables" / f"{space}.csv.gz"


#: Asked to bring the table of a space up to date before anybody looks for its file.
#: Where there is a database, ``searchjobs.table_file`` puts a function here.
table_providers: list[Callable[[str], None]] = []


def path_of(text: str) -> Path:
    """Return a path that a person has typed; a ``~`` of somebody whom this machine does
    not know stays, and then names nothing."""
    path = Path(text.strip())
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def subset_root() -> Path:
    """Return the folder where a site keeps the files of the subsets of all teams."""
    return data_root() / "subsets"


def subset_path(subset: str) -> Path:
    """Return the file of a subset: named by its path, or by its id on a site."""
    if subset_id(subset) is None:
        return path_of(subset)
    return subset_root() / f"{subset}.npz"


def subset_id(subset: str) -> UUID | None:
    """Return the id if a subset is named by one, as sites do."""
    try:
        found = UUID(subset)
    except ValueError:
        return None
    return found if str(found) == subset else None


#: Asked to bring the file of a subset that is named by its id.
subset_providers: list[Callable[[UUID], None]] = []
