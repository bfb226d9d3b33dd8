"""A small classifier that is trained on a pool to score its samples.

It is no part of a search: one fixed cell of NAS-Bench-201 (all 3x3 convolutions and a
skip connection over them, so a small residual network) in the usual skeleton, for
images of any size from 8x8 on, trained by SGD with a cosine schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .contracts import Pool, Reduction, ReductionOptions
from .fitting import Fit, Fitting, fit
from .optimisation import cosine
from .registry import setting
from .spaces.nas_bench_201.counting import flops
from .spaces.nas_bench_201.network import DiscreteNetwork

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
MOMENTUM = 0.9
#: Images of a forward that only measures.
SCORING_BATCH = 1024

Observe = Callable[[int, Tensor, Tensor, Tensor], None]
"""Told of every batch that trains, without waiting for the device: 1-based epoch, ids
int64 (B,), logits (B, M) of the augmented images, detached, and labels int64 (B,)."""


class NetworkOptions(ReductionOptions):
    """How a scoring network is built and trained."""

    epochs: int = setting(
        20,
        "Epochs",
        "Passes over the set that the scoring network is trained for.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=1000,
    )
    batch_size: int = setting(
        64, "Batch size", "Of that training.", unit="images", ge=2, le=8192
    )
    learning_rate: float = setting(
        0.1,
        "Learning rate",
        "Start of its cosine schedule, which falls to 0 (SGD, Nesterov momentum 0.9).",
        gt=0,
        le=10,
    )
    weight_decay: float = setting(
        5e-4, "Weight decay", "L2 penalty on its weights.", ge=0, le=1
    )
    channels: int = setting(
        16, "Channels", "C, the width of its first stage.", ge=1, le=256
    )
    cells: int = setting(1, "Cells per stage", "N, its depth.", ge=1, le=20)


def training_cost(options: NetworkOptions, samples: int) -> float:
    """Return the forwards of one image of one training: a sample of a step takes
    three, forward and backward."""
    return 3.0 * options.epochs * samples


class NetworkReduction(Reduction):
    """A reduction that reads its scores from one training of a ``ScoringNetwork``,
    unless it says that it takes more."""

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        return training_cost(options, samples)

    @classmethod
    def multiply_adds(cls, options: Any, classes: int, side: int) -> float:
        return flops(CELL, options.channels, options.cells, classes, side)


class ScoringNetwork:
    """One training of the classifier on the samples of a pool.

    ``run`` numbers independent trainings on one pool: each has streams of its own.
    """

    def __init__(self, pool: Pool, options: NetworkOptions, run: int = 0) -> None:
        self.pool, self.options = pool, options
        self._purpose = f"{pool.purpose}/network-{run}"
        self.network = DiscreteNetwork(
            CELL,
            pool.classes,
            options.channels,
            options.cells,
            pool.streams[f"{self._purpose}/weights"],
        )
        dtype = pool.data.batch(pool.ids[:1]).images.dtype
        self.network.to(pool.device, dtype)

    def train(
        self, state: dict[str, Any] | None = None, observe: Observe | None = None
    ) -> Fitting:
        """Train with the augmentation of the pool: yield ``Progress``, and after each
        epoch a ``Snapshot`` whose step is the epoch.

        Whoever observes adds what it holds to the state of the snapshots, and takes it
        out of the ``state`` from which a training goes on.
        """
        pool, options = self.pool, self.options
        noise = pool.streams.on_device(f"{self._purpose}/augmentation")

        def loss(epoch: int, _: Tensor, ids: Tensor) -> Tensor:
            batch = pool.data.batch(ids, pool.augmentation, noise)
            logits = self._forward(batch.images)
            if observe is not None:
                observe(epoch, ids, logits.detach(), batch.labels)
            return cross_entropy(logits, batch.labels)

        optimiser = torch.optim.SGD(
            self.network.parameters(),
            lr=options.learning_rate,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=options.weight_decay,
        )
        work = Fit(
            network=self.network,
            optimiser=optimiser,
            pool=pool,
            purpose=f"{self._purpose}/order",
            epochs=options.epochs,
            batch_size=options.batch_size,
            loss=loss,
            rate=lambda epoch: cosine(epoch, options.epochs, options.learning_rate, 0),
        )
        yield from fit(work, state)

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Return the logits (n, M) of the pool's samples, on the device: images as
        they are, running statistics of batch norm."""
        self.network.eval()
        parts = self.pool.ids.split(SCORING_BATCH)
        self.pool.data.expect("scoring", parts)
        return torch.cat(
            [self._forward(self.pool.data.batch(ids).images) for ids in parts]
        )

    def _forward(self, images: Tensor) -> Tensor:
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        return self.network(images)
