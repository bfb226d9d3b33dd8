"""Time proxies of all 50,000 training images of CIFAR-10, each in a process of its own.

    python tests/benchmarks/proxies.py [--methods random ...] [--threads N] [--epochs E]

Wants cifar10_jpeg.npz in the folder that NASWEB_SHARED_DATA names or in
../shared/data.  Every method runs as a job does: ``python -m searchjobs.engine proxy``.
Seconds are those of scoring and choice, the images being loaded; CPU seconds and the
peak of memory are those of the whole process.  Scores do not depend on the share r, so
each method scores once, and the choice is made for every r from the same scores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from searchjobs.engine.contracts import selections
from searchjobs.engine.selection.class_limit import balance
from searchjobs.engine.selection.reducing import choose_kept
from searchjobs.engine.subset import NAME, read_subset

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("random", "class-random", "kmeans-outlier", "class-outlier", "autoencoder")
SHARES = (0.25, 0.5, 0.75)


def write_images(path: Path) -> None:
    """Decode the training images into an npz file that the engine reads."""
    folder = Path(os.environ.get("NASWEB_SHARED_DATA", ROOT.parent / "shared" / "data"))
    source = folder / "cifar10_jpeg.npz"
    if not source.is_file():
        sys.exit(f"There is no {source}; NASWEB_SHARED_DATA names the folder with it.")
    with np.load(source, allow_pickle=False) as found:
        stored = {name: found[name] for name in found.files}
    chosen = np.flatnonzero(~stored["is_test"].astype(bool))
    images = np.empty((len(chosen), 32, 32, 3), np.uint8)
    for place, row in enumerate(chosen):
        start, end = stored["offset"][row : row + 2]
        content = io.BytesIO(stored["jpeg"][start:end].tobytes())
        images[place] = np.asarray(Image.open(content).convert("RGB"))
    labels = stored["label"][chosen].astype(np.int64)
    np.savez(path, images=images, labels=labels, classes=stored["classes"])


def run(
    images: Path, selection: dict[str, Any], threads: int, folder: Path
) -> dict[str, Any]:
    """Score and choose by one method; return its last event, with ``cpu`` seconds."""
    busy, name = children_seconds(), selection["name"]
    spec = {
        "dataset": {"name": "npz", "path": str(images)},
        "selection": {"keep_train": 0.5, **selection},
        "whole": True,
        "compute": {"device": "cpu", "threads": threads},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-m", "searchjobs.engine", "proxy", str(file)]
    done = subprocess.run(
        [*command, "--out", str(folder / name)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout.strip().splitlines()[-1])
    return {**made, "cpu": children_seconds() - busy}


def children_seconds() -> float:
    """Return the CPU time of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def choices(subset: Path, labels: Tensor) -> list[str]:
    """Return one cell a share: samples that stay, b of their classes, seconds."""
    found = read_subset(subset)
    options = found.spec.selection
    scores = torch.from_numpy(found.arrays["T"]["scores"])
    cells = []
    for share in SHARES:
        begun = time.perf_counter()
        kept = choose_kept(
            scores, labels, share, options.drop_train, options.class_rule
        )
        seconds = time.perf_counter() - begun
        b = balance(labels[kept].bincount())
        cells.append(f"{int(kept.sum()):,}, b {b:.3f}, {1000 * seconds:.0f} ms")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--epochs", type=int, help="of a method that trains; without it, its own"
    )
    options = parser.parse_args()
    shares = " | ".join(f"r = {share}" for share in SHARES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = folder / "images.npz"
        write_images(images)
        with np.load(images, allow_pickle=False) as arrays:
            labels = torch.from_numpy(arrays["labels"])
        print(
            f"| method | seconds | CPU seconds | peak memory | cost units | {shares} |"
        )
        print("| --- " * (5 + len(SHARES)) + "|")
        for name in options.methods:
            selection: dict[str, Any] = {"name": name}
            fields = selections.get(name).Options.model_fields
            if options.epochs and "epochs" in fields:
                selection["epochs"] = options.epochs
            made = run(images, selection, options.threads, folder)
            cells = " | ".join(choices(folder / name / NAME, labels))
            memory = f"{made['peak_memory'] / 2**20:,.0f} MiB"
            print(
                f"| `{name}` | {made['seconds']:,.1f} | {made['cpu']:,.0f} | {memory} "
                f"| {made['cost_units']:,.0f} | {cells} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
