"""Count GPUs without importing PyTorch: settings must load in milliseconds."""

from __future__ import annotations

import os
from pathlib import Path


def gpus_found() -> int:
    """Return the number of NVIDIA GPUs that this process may use.

    ``CUDA_VISIBLE_DEVICES`` may hide some; it never adds any.
    """
    found = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    named = [part for part in visible.split(",") if part.strip() not in ("", "-1")]
    return min(found, len(named))
