"""Time a DARTS step shared by two processes against the same step in one.

    python tests/benchmarks/several.py [--batches 64 256] [--rounds R] [--quick]

Every process has one thread.  The two ways take turns, round by round, each time in
fresh processes; a ratio is that of the medians of one round, and the table shows
median, least and greatest of the rounds.  The seconds of CPU time that a process
works in a step do not move with what else the machine does; they leave out the time in
which a process waits for the other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from searchjobs.engine import launcher, parallel
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Search, methods
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images
from searchjobs.engine.validation import validate

IMAGES = 2000
STEPS = 4


def composed(channels: int, cells: int, batch: int, devices: int) -> Search:
    """Return a search whose images are noise of 32x32 pixels."""
    spec = validate(
        {
            "space": {"name": "nas-bench-201", "channels": channels, "cells": cells},
            "dataset": {"name": "digits"},
            "training": {"batch_size": batch},
            "compute": {"device": "cpu", "threads": 1, "devices": devices},
        }
    )
    search = compose(spec)
    generator = torch.Generator().manual_seed(1)
    shape = (IMAGES, 3, 32, 32)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (IMAGES,), generator=generator)
    half = (0.5, 0.5, 0.5)
    noise = Images(pixels, labels, search.data.classes, half, half, "noise")
    search.data = ResidentImages(noise, torch.device("cpu"))
    search.method = methods.get("darts")(spec.method, search)
    return search


def one_process(channels: int, cells: int, batch: int, devices: int) -> None:
    """Make steps, and print their median seconds on the wall and on the CPU."""
    search = composed(channels, cells, batch, devices)
    seconds, worked = [], []
    generator = torch.Generator().manual_seed(2)
    for _ in range(1 + STEPS):
        ids = torch.randperm(IMAGES, generator=generator)[: 2 * batch]
        train, valid = search.data.batch(ids[:batch]), search.data.batch(ids[batch:])
        started, busy = time.perf_counter(), time.process_time()
        search.method.weight_step(train)
        search.method.architecture_step(valid, [])
        seconds.append(time.perf_counter() - started)
        worked.append(time.process_time() - busy)
    if search.parallel.leads:
        found = statistics.median(seconds[1:]), statistics.median(worked[1:])
        print(json.dumps(found))
    parallel.leave()


def measured(shape: tuple[int, int, int], devices: int) -> tuple[float, float]:
    """Return seconds of a step on the wall and on the CPU, in fresh processes."""
    command = [sys.executable, __file__, "--process", *map(str, (*shape, devices))]
    with tempfile.TemporaryDirectory() as folder:
        place = {launcher.MEETING_PLACE: str(Path(folder, "store"))}
        ranks = []
        for rank in range(devices):
            who = {"RANK": str(rank), "WORLD_SIZE": str(devices)}
            extra = {**place, **who} if devices > 1 else {}
            extra["GLOO_SOCKET_IFNAME"] = "lo"
            ranks.append(
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, env={**os.environ, **extra}
                )
            )
        told = [process.communicate()[0] for process in ranks]
    seconds, worked = json.loads(told[0])
    return seconds, worked


def compare(channels: int, cells: int, batch: int, rounds: int) -> None:
    shape = (channels, cells, batch)
    one, two = [], []
    for _ in range(rounds):
        one.append(measured(shape, 1))
        two.append(measured(shape, 2))
    print(f"C={channels} N={cells} batch {batch}")
    for at, clock in enumerate(("wall", "CPU")):
        alone = statistics.median(each[at] for each in one)
        shared = statistics.median(each[at] for each in two)
        ratios = [a[at] / b[at] for a, b in zip(one, two, strict=True)]
        print(
            f"  {clock:4} one {alone:6.2f} s, each of two {shared:6.2f} s: "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--quick", action="store_true", help="C=8, N=1 only")
    reader.add_argument("--process", type=int, nargs=4, help=argparse.SUPPRESS)
    given = reader.parse_args()
    torch.set_num_threads(1)
    if given.process:
        one_process(*given.process)
        return
    print(f"PyTorch {torch.__version__}, 1 thread a process, load {os.getloadavg()}")
    shapes = [(8, 1)] if given.quick else [(8, 1), (16, 5)]
    for channels, cells in shapes:
        for batch in given.batches:
            compare(channels, cells, batch, given.rounds)


if __name__ == "__main__":
    main()
