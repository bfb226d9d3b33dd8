"""Time a DARTS step of the fused supernet against that of the textbook supernet.

    python tests/benchmarks/step.py [--rounds R] [--quick] [--no-compile]

One process, one thread.  Every round times one weight step and one architecture step
of each variant, in an order that rotates, on a fresh random batch that all variants
share.  A ratio is taken within its round; the table shows median, least and greatest.
Before anything is timed, the losses of all variants on one batch are compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from searchjobs.engine.contracts import Batch, Search, methods, spaces
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images
from searchjobs.engine.seeding import Streams
from searchjobs.engine.selection.sample_error import sample_error
from searchjobs.engine.selection.voe import VarianceOfError
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import validate
from tests.engine.spaces.plain_supernet import PlainSupernet, copy_weights

Step = Callable[[Batch, Batch], tuple[float, float]]
"""(batch of T, batch of V) -> losses of the weight and the architecture step."""
BATCH = 64
IMAGES = 5000
GOALS = {"eager": 2.0, "compiled": 2.6, "graphs": 3.0}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def specification(channels: int, cells: int) -> SearchSpec:
    return validate(
        {
            "space": {"name": "nas-bench-201", "channels": channels, "cells": cells},
            "dataset": {"name": "digits"},
            "training": {"batch_size": BATCH},
            "compute": {"device": DEVICE.type},
        }
    )


def composed(channels: int, cells: int, backend: str) -> Search:
    """Return a DARTS search on random images of CIFAR-10's size."""
    spec = specification(channels, cells)
    generator = torch.Generator().manual_seed(1)
    shape = (IMAGES, 3, 32, 32)
    images = Images(
        torch.randint(256, shape, generator=generator, dtype=torch.uint8),
        torch.randint(10, (IMAGES,), generator=generator),
        tuple("0123456789"),
        (0.5, 0.5, 0.5),
        (0.25, 0.25, 0.25),
        "random",
    )
    streams = Streams(0, DEVICE)
    space = spaces.get(spec.space.name)(spec.space)
    supernet = space.supernet(10, streams["weights"]).to(DEVICE)
    supernet.use_backend(backend)
    search = Search(
        spec, DEVICE, streams, ResidentImages(images, DEVICE), space, supernet, 10, {}
    )
    search.method = methods.get("darts")(spec.method, search)
    return search


def ours(channels: int, cells: int, backend: str) -> Step:
    """Return the engine's own two half-steps."""
    search = composed(channels, cells, backend)

    def step(train: Batch, valid: Batch) -> tuple[float, float]:
        first = search.method.weight_step(train)
        second = search.method.architecture_step(valid, ())
        return first.loss.item(), second.loss.item()

    return step


def plain(channels: int, cells: int) -> Step:
    """Return the textbook's half-steps: both call ``loss.backward()``."""
    search = composed(channels, cells, "eager")
    network = PlainSupernet(10, channels, cells).to(DEVICE)
    copy_weights(search.supernet, network)
    training = search.spec.training
    alpha = search.method.alpha()["cell"].clone().requires_grad_()
    sgd = torch.optim.SGD(
        network.parameters(),
        training.weight_lr,
        training.momentum,
        nesterov=True,
        weight_decay=training.weight_decay,
    )
    adam = alpha_adam(alpha, search.spec)

    def half(batch: Batch) -> Tensor:
        sgd.zero_grad()
        adam.zero_grad()
        logits = network(batch.images, alpha.softmax(-1))
        loss = cross_entropy(logits, batch.labels)
        loss.backward()
        return loss

    def step(train: Batch, valid: Batch) -> tuple[float, float]:
        first = half(train)
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip)
        sgd.step()
        second = half(valid)
        adam.step()
        return first.item(), second.item()

    return step


def alpha_adam(alpha: Tensor, spec: SearchSpec) -> torch.optim.Adam:
    training = spec.training
    betas = (training.alpha_beta1, training.alpha_beta2)
    decay = training.alpha_weight_decay
    return torch.optim.Adam([alpha], training.alpha_lr, betas, weight_decay=decay)


def variant(name: str, channels: int, cells: int) -> Step:
    if name == "plain":
        return plain(channels, cells)
    return ours(channels, cells, name)


def random_batch(generator: torch.Generator) -> Batch:
    images = torch.randn(BATCH, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (BATCH,), generator=generator)
    return Batch(images.to(DEVICE), labels.to(DEVICE), torch.arange(BATCH).to(DEVICE))


def timed(step: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the seconds of one call and its result.

    On a CPU they are those of this process: with one thread they are the wall's,
    but for the neighbours on the machine.  A GPU is idle before and after.
    """
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = step(*arguments)
        torch.cuda.synchronize()
        return time.perf_counter() - start, result
    start = time.process_time()
    result = step(*arguments)
    return time.process_time() - start, result


def compare(channels: int, cells: int, names: list[str], rounds: int) -> float:
    """Print the table of one network; return the eager step's median seconds."""
    print(f"\nC={channels}, N={cells}, batch {BATCH}, {DEVICE.type}, {rounds} rounds")
    generator = torch.Generator().manual_seed(2)
    steps = {name: variant(name, channels, cells) for name in names}
    first = (random_batch(generator), random_batch(generator))
    losses = {}
    for name, step in steps.items():
        start = time.perf_counter()
        losses[name] = step(*first)
        if name in ("compiled", "graphs"):
            print(f"  first step of {name}: {time.perf_counter() - start:.0f} s")
    for name, (weight_loss, _) in losses.items():
        gap = abs(weight_loss - losses["plain"][0]) / losses["plain"][0]
        if gap > 1e-4:
            raise SystemExit(f"{name} computes another loss (relative gap {gap:.1e})")
    times: dict[str, list[float]] = {name: [] for name in names}
    for position in range(rounds + 1):
        batches = (random_batch(generator), random_batch(generator))
        turn = position % len(names)
        for name in names[turn:] + names[:turn]:
            spent, _ = timed(steps[name], *batches)
            if position:  # the first round warms up
                times[name].append(spent)
    print("  variant     seconds   plain / variant: median [least, greatest]   goal")
    for name, spent in times.items():
        ratios = [a / b for a, b in zip(times["plain"], spent, strict=True)]
        goal = GOALS.get(name)
        verdict = ""
        if goal:
            reached = statistics.median(ratios) >= goal
            verdict = f"{goal:.1f} {'reached' if reached else 'MISSED'}"
        print(
            f"  {name:<9} {statistics.median(spent):9.3f}   "
            f"{statistics.median(ratios):5.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            f"{'':<24}{verdict}"
        )
    return statistics.median(times["eager"])


def memory(name: str, channels: int, cells: int) -> None:
    """Run two steps in this fresh process and print the peak in bytes."""
    generator = torch.Generator().manual_seed(3)
    step = variant(name, channels, cells)
    for _ in range(2):
        step(random_batch(generator), random_batch(generator))
    if DEVICE.type == "cuda":
        print(torch.cuda.max_memory_allocated())
    else:
        print(peak_memory())


def peak_memory() -> int:
    """Return the peak of this program in bytes.

    On Linux ``ru_maxrss`` still counts the parent that started the program, so the
    kernel's own mark of the present address space is read instead.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def compare_memory(channels: int, cells: int, names: list[str]) -> None:
    peaks = {}
    for name in names:
        command = [sys.executable, __file__, "--memory", name]
        command += [str(channels), str(cells)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[name] = int(done.stdout.split()[-1])
    print(f"\nPeak memory of a fresh process, C={channels}, N={cells} (goal 45 %)")
    for name, peak in peaks.items():
        share = peak / peaks["plain"]
        print(f"  {name:<9} {peak / 2**20:7.0f} MiB  {share:6.1%} of plain")


def shares(channels: int, cells: int, step: float) -> None:
    """Print what statistics and data cost, in parts of one step of two batches."""
    search = composed(channels, cells, "eager")
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(BATCH, 10, generator=generator).to(DEVICE)
    ids = torch.randperm(IMAGES, generator=generator)[:BATCH].to(DEVICE)
    labels = search.data.labels[ids]
    voe = VarianceOfError(50_000, DEVICE)
    augmentation = search.spec.augmentation
    draws = search.streams.on_device("augmentation")
    statistics_time = component(lambda: voe.update(ids, sample_error(logits, labels)))
    data_time = component(lambda: search.data.batch(ids, augmentation, draws))
    print(f"\nShares of an eager step (C={channels}, N={cells}, {step:.3f} s)")
    for label, spent, goal in (
        ("BDP statistics", statistics_time, "goal 1 %"),
        ("data and augmentation", data_time, ""),
    ):
        share = 2 * spent / step
        print(f"  {label:<22} {2e3 * spent:7.3f} ms  {share:8.3%}  {goal}")


def component(work: Callable[[], object], repeats: int = 200) -> float:
    """Return the median seconds of a call that is too short for a comparison."""
    for _ in range(10):
        work()
    return statistics.median(timed(work)[0] for _ in range(repeats))


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument(
        "--quick", action="store_true", help="C=8, N=1 only, eager only"
    )
    reader.add_argument("--no-compile", action="store_true")
    reader.add_argument("--memory", nargs=3, metavar=("VARIANT", "C", "N"))
    given = reader.parse_args()
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if given.memory:
        name, channels, cells = given.memory
        memory(name, int(channels), int(cells))
        return
    names = ["plain", "eager"]
    if not (given.quick or given.no_compile):
        names.append("compiled")
    if DEVICE.type == "cuda":
        names.append("graphs")
    print(f"PyTorch {torch.__version__}, 1 thread, float32, TF32 off")
    largest = (8, 1)
    step = compare(*largest, names, given.rounds)
    if not given.quick:
        largest = (16, 5)
        step = compare(*largest, names, given.rounds)
    shares(*largest, step)
    compare_memory(*largest, names)


if __name__ == "__main__":
    main()
