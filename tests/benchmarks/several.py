"""Time a DARTS step shared by two processes against the same step in one.

    python tests/benchmarks/several.py [--batches 64 256] [--rounds R] [--quick]

Every process has one thread.  The two ways take turns, round by round, each time in
fresh processes; a ratio is that of the medians of one round, and the table shows
median, least and greatest of the rounds.  It also tells what part of a step the
exchanges take: the time in which a process talks to the other, or waits for it.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
import torch.distributed as dist

from searchjobs.engine import parallel
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
    """Make steps, and print their median seconds and those of the exchanges."""
    search = composed(channels, cells, batch, devices)
    talk = _Talk()
    seconds, talked = [], []
    generator = torch.Generator().manual_seed(2)
    for _ in range(1 + STEPS):
        ids = torch.randperm(IMAGES, generator=generator)[: 2 * batch]
        train, valid = search.data.batch(ids[:batch]), search.data.batch(ids[batch:])
        talk.seconds = 0.0
        started = time.perf_counter()
        search.method.weight_step(train)
        search.method.architecture_step(valid, [])
        seconds.append(time.perf_counter() - started)
        talked.append(talk.seconds)
    if search.parallel.leads:
        found = statistics.median(seconds[1:]), statistics.median(talked[1:])
        print(json.dumps(found))
    parallel.leave()


class _Talk:
    """The seconds that this process spends in collectives."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for name in ("all_reduce", "all_gather"):
            setattr(dist, name, self._timed(getattr(dist, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def measured(shape: tuple[int, int, int], devices: int) -> tuple[float, float]:
    """Return seconds of a step, and of the exchanges in it, in fresh processes."""
    command = [sys.executable, __file__, "--process", *map(str, (*shape, devices))]
    with tempfile.TemporaryDirectory() as folder:
        place = {parallel.MEETING_PLACE: str(Path(folder, "store"))}
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
    seconds, talked = json.loads(told[0])
    return seconds, talked


def compare(channels: int, cells: int, batch: int, rounds: int) -> None:
    shape = (channels, cells, batch)
    ratios, alone, shared, talk = [], [], [], []
    for _ in range(rounds):
        alone.append(measured(shape, 1)[0])
        seconds, talked = measured(shape, 2)
        shared.append(seconds)
        ratios.append(alone[-1] / seconds)
        talk.append(talked / seconds)
    print(
        f"C={channels} N={cells} batch {batch:4d}: "
        f"one {statistics.median(alone):6.2f} s, two {statistics.median(shared):6.2f} s"
        f", {statistics.median(ratios):.2f} times as fast "
        f"({min(ratios):.2f} to {max(ratios):.2f}), "
        f"exchanges {statistics.median(talk):.0%} of a step",
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
