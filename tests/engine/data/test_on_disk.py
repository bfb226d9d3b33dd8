"""Loader processes end with the images that they read for."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from searchjobs.engine.data.on_disk import PixelsOnDisk


def test_loaders_end_at_once_with_the_search_that_they_read_for(tmp_path: Path) -> None:
    """A search is full of cycles, so what it holds goes when the collector comes."""
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    files = np.array([name.encode() for name in names])
    pixels = PixelsOnDisk(tmp_path, files, size=8, workers=2)
    batches = list(torch.arange(8).split(2))
    known = set(psutil.Process().children())
    for name in ("T", "V"):
        pixels.expect(name, batches)
    assert torch.equal(pixels[batches[0]], torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    loaders = set(psutil.Process().children()) - known
    assert len(loaders) == 4
    search: dict[str, Any] = {"images": pixels}
    search["itself"] = search
    begun = time.monotonic()

    del pixels, search
    gc.collect()

    assert time.monotonic() - begun < 4, "nothing waits until a loader is killed"
    _, left = psutil.wait_procs(loaders, timeout=4)
    assert not left
