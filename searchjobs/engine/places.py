"""Where files lie on this machine that a search reads and no spec names.

Nothing here imports PyTorch: Django's processes ask too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def data_root() -> Path:
    """Return the folder where downloaded data sets live.

    The environment variable NASWEB_DATA_ROOT names it; without it, it is ``data``
    in NASWEB_HOME, and that is ``.nasweb`` where the command was started.
    """
    root = os.environ.get("NASWEB_DATA_ROOT")
    if root:
        return Path(root).expanduser()
    return Path(os.environ.get("NASWEB_HOME") or ".nasweb").expanduser() / "data"


def table_path(space: str) -> Path:
    """Return where the benchmark table of a space lies."""
    return data_root() / "tables" / f"{space}.csv.gz"


#: Asked to bring the table of a space up to date before anybody looks for its file.
#: Where there is a database, ``searchjobs.table_file`` puts a function here.
table_providers: list[Callable[[str], None]] = []
