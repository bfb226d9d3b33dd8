"""Time the half-steps of every method against those of first-order DARTS.

    python tests/benchmarks/methods.py [--channels C] [--cells N] [--rounds R] [NAME]

One process, one thread.  Every round times one weight step and one architecture step
of each method, in an order that rotates, on batches that all share; a ratio is taken
within its round, and a table after each round shows the median so far.  Beside it
stands the ratio that the count of multiply-adds predicts (forward and backward of the
same step, counted by PyTorch), and the ratio of what the method announces as its cost
(``step_cost``: a forward is 1, with its backward 3).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from searchjobs.engine.batch import Level
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Batch, Method, Search, methods
from searchjobs.engine.validation import validate

BATCH = 64
REFERENCE = "darts"
LEVELS: tuple[Level, ...] = ("weights", "architecture")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Batches = Sequence[Batch]


@dataclass
class Measured:
    """One method: its search, and what each round found for each half-step."""

    search: Search
    seconds: dict[Level, list[float]] = field(default_factory=dict)
    flops: dict[Level, list[float]] = field(default_factory=dict)

    def step(self, level: Level, batches: Batches) -> Callable[[], object] | None:
        """Return a half-step to call, or None if the method has no such thing."""
        method, options = self.search.method, self.search.spec.method
        if level == "weights":
            return lambda: method.weight_step(batches[0])
        epoch = self.search.spec.training.epochs
        if not method.trains_architecture(self.search.spec, epoch):
            return None
        train = batches[2 : 2 + method.unrolls(options)]
        return lambda: method.architecture_step(batches[1], train)


def prepared(name: str, channels: int, cells: int) -> Measured:
    """Return a method that stands in the middle of its search, past any warm-up."""
    spec = validate(
        {
            "space": {"name": "nas-bench-201", "channels": channels, "cells": cells},
            "dataset": {"name": "digits"},
            "method": {"name": name},
            "training": {"batch_size": BATCH},
            "compute": {"device": DEVICE.type},
        }
    )
    search = compose(spec)
    epochs = range(1, spec.training.epochs + 1)
    trained = [e for e in epochs if search.method.trains_architecture(spec, e)]
    search.method.start_epoch(trained[0] if trained else 1)
    search.supernet.train()
    return Measured(search)


def random_batches(count: int, generator: torch.Generator) -> list[Batch]:
    """Return batches of noise of CIFAR-10's size."""
    return [
        Batch(
            torch.randn(BATCH, 3, 32, 32, generator=generator).to(DEVICE),
            torch.randint(10, (BATCH,), generator=generator).to(DEVICE),
            torch.arange(BATCH, device=DEVICE),
        )
        for _ in range(count)
    ]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of one call: of this process on a CPU, else of the wall."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    work()
    return time.process_time() - start


class Counter(TorchDispatchMode):
    """Sums the floating-point operations that PyTorch's own formulas give.

    PyTorch's ``FlopCounterMode`` also follows modules, by hooks that fail where the
    gradient of an input of a module is asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        found = function(*arguments, **(keywords or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.total += formula(*arguments, **(keywords or {}), out_val=found)
        return found


def counted(work: Callable[[], object]) -> float:
    """Return the multiply-adds of one call, backward included."""
    with Counter() as counter:
        work()
    return counter.total / 2


def measure(names: Sequence[str], channels: int, cells: int, rounds: int) -> None:
    found = {name: prepared(name, channels, cells) for name in names}
    generator = torch.Generator().manual_seed(1)
    most = max(m.search.method.unrolls(m.search.spec.method) for m in found.values())
    for position in range(rounds + 1):
        batches = random_batches(2 + most, generator)
        turn = position % len(names)
        for name in [*names[turn:], *names[:turn]]:
            for level in LEVELS:
                work = found[name].step(level, batches)
                if work is None:
                    continue
                found[name].flops.setdefault(level, []).append(counted(work))
                spent = timed(work)
                if position:  # the first round warms up
                    found[name].seconds.setdefault(level, []).append(spent)
                told = "warm-up" if not position else f"round {position} of {rounds}"
                print(f"{told}: {name}, {level}: {spent:.2f} s", file=sys.stderr)
        if position:
            show(found, channels, cells, position)


def show(found: dict[str, Measured], channels: int, cells: int, rounds: int) -> None:
    print(
        f"PyTorch {torch.__version__}, {DEVICE.type}, C={channels}, N={cells}, batch "
        f"{BATCH}, {rounds} rounds; ratios to the same half-step of {REFERENCE}"
    )
    reference = found[REFERENCE]
    for level in LEVELS:
        base = reference.seconds[level]
        print(f"\n{level} step ({statistics.median(base):.3f} s)")
        print(f"  {'method':<14} {'time':>6} [least, greatest]  counted  announced")
        for name, measured in found.items():
            if level not in measured.seconds:
                print(f"  {name:<14} {'none':>6}")
                continue
            ratios = [
                own / other
                for own, other in zip(measured.seconds[level], base, strict=True)
            ]
            count = statistics.mean(measured.flops[level])
            count /= statistics.mean(reference.flops[level])
            print(
                f"  {name:<14} {statistics.median(ratios):6.2f} "
                f"[{min(ratios):5.2f}, {max(ratios):8.2f}]  {count:7.2f}  "
                f"{announced(measured, level) / announced(reference, level):9.2f}"
            )


def announced(measured: Measured, level: Level) -> float:
    method = measured.search.method
    return method.step_cost(measured.search.spec.method)[level]


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("names", nargs="*", metavar="NAME", help="methods; all if none")
    reader.add_argument("--channels", type=int, default=16)
    reader.add_argument("--cells", type=int, default=5)
    reader.add_argument("--rounds", type=int, default=5)
    given = reader.parse_args()
    torch.set_num_threads(1)
    known = [part.name for part in methods.all() if issubclass(part, Method)]
    chosen = [name for name in known if name in given.names or not given.names]
    if REFERENCE not in chosen:
        chosen.insert(0, REFERENCE)
    measure(chosen, given.channels, given.cells, given.rounds)


if __name__ == "__main__":
    main()
