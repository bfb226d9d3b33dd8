"""Guess whether there is a GPU: settings must load in milliseconds.

How many slots a worker has is decided by ``searchjobs.workers.slots_offered`` alone,
which asks the driver; this only sets a default.
"""

from __future__ import annotations

import os
from pathlib import Path


def gpu_likely() -> bool:
    """Say whether this process may use an NVIDIA GPU, as far as files tell."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in {"", "-1"}:
        return False
    devices = Path("/dev")
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()
