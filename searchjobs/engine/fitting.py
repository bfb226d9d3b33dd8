"""Train a small network epoch by epoch on the samples of a pool, resumably.

What the reductions that learn something share: order of the samples, progress, and a
snapshot after every epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from .epoch import PROGRESS_SECONDS
from .events import Progress
from .problems import SearchError
from .schedule import batches
from .spaces.nas_bench_201.skeleton import initialise

if TYPE_CHECKING:  # the contracts know reductions, and they know this module
    from .contracts import Pool, Snapshot

N = TypeVar("N", bound=nn.Module)
Fitting = Generator["Progress | Snapshot", None, None]


@dataclass(frozen=True)
class Fit:
    """What is to be trained, and how.

    Attributes:
        network: on the device of the pool, its weights drawn.
        optimiser: over its weights.
        pool: the samples.
        purpose: of the random stream that shuffles; apart from all others.
        epochs: passes over the pool.
        batch_size: samples of a step.
        loss: returns the mean loss of a step, given the 1-based epoch, the places int64
            (B,) of its samples in the pool, and their ids (B,), both on the device.
        rate: learning rate of a 1-based epoch; None leaves it alone.
        reads: whether its steps look at images, so that those on the disk are to be
            read ahead.
        phase: what it is, for people who wait for it.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    pool: Pool
    purpose: str
    epochs: int
    batch_size: int
    loss: Callable[[int, Tensor, Tensor], Tensor]
    rate: Callable[[int], float] | None = None
    reads: bool = True
    phase: str = "scoring"


def fit(work: Fit, state: dict[str, Any] | None = None) -> Fitting:
    """Train: yield ``Progress``, and a ``Snapshot`` after each epoch.

    Args:
        work: what to train.
        state: of a snapshot to go on from.

    Raises:
        SearchError: the loss is no longer finite.
    """
    from .contracts import Snapshot

    done = 0
    if state is not None:
        work.network.load_state_dict(state["network"])
        work.optimiser.load_state_dict(state["optimiser"])
        done = state["epoch"]
    pool = work.pool
    stream = pool.streams[work.purpose]
    told = time.perf_counter()
    for epoch in range(done + 1, work.epochs + 1):
        if work.rate is not None:
            work.optimiser.param_groups[0]["lr"] = work.rate(epoch)
        order = torch.randperm(len(pool.ids), generator=stream).to(pool.device)
        parts = batches(order, work.batch_size)
        ids = batches(pool.ids[order], work.batch_size)
        if work.reads:
            pool.data.expect("scoring", ids)
        work.network.train()
        total = torch.zeros((), dtype=torch.float64, device=pool.device)
        begun = time.perf_counter()
        for step, places in enumerate(parts, start=1):
            loss = work.loss(epoch, places, ids[step - 1])
            work.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            work.optimiser.step()
            total += loss.detach()
            now = time.perf_counter()
            if now - told >= PROGRESS_SECONDS:
                told = now
                yield _progress(work, epoch, step, len(parts), now - begun)
        if not math.isfinite(total.item()):
            raise SearchError(
                f"The training loss is no longer a finite number in epoch {epoch} "
                f"({work.phase}). Lower the learning rate of this training.",
                "diverged",
            )
        yield Snapshot(
            epoch,
            {
                "epoch": epoch,
                "network": work.network.state_dict(),
                "optimiser": work.optimiser.state_dict(),
            },
        )


def _progress(work: Fit, epoch: int, step: int, steps: int, seconds: float) -> Progress:
    steps_left = steps - step + (work.epochs - epoch) * steps
    return Progress(
        phase=work.phase,
        epoch=epoch,
        epochs=work.epochs,
        step=step,
        steps=steps,
        samples_per_second=step * work.batch_size / seconds,
        seconds_left=steps_left * seconds / step,
    )


def drawn(build: Callable[[], N], generator: torch.Generator) -> N:
    """Return a network whose weights are drawn from a CPU generator, by PyTorch's own
    rule: uniform within 1 / sqrt(fan in).

    The global random state is neither read nor moved.
    """
    with torch.device("meta"):
        network = build()
    network.to_empty(device="cpu")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            # of a transposed convolution PyTorch counts the outputs, too
            fan_in = layer.weight[0].numel()
            initialise(layer.weight, fan_in, generator)
            if layer.bias is not None:
                initialise(layer.bias, fan_in, generator)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()
    return network
