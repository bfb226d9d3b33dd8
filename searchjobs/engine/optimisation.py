"""Optimisers and schedules that the gradient-based methods share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .contracts import Space, Supernet
    from .sections import Training


def cosine(epoch: int, epochs: int, high: float, low: float) -> float:
    """Return low + (high - low)(1 + cos(pi e / E)) / 2 for the 1-based ``epoch``
    (e = epoch - 1): ``high`` in the first epoch, almost ``low`` in the last."""
    return low + (high - low) * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


def initial_alpha(
    space: Space,
    generator: torch.Generator,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return a table (R, O) of 1e-3 N(0, 1) for each alpha table of the space."""
    tables = {}
    for name, rows in space.tables.items():
        drawn = torch.randn(len(rows), len(space.columns(name)), generator=generator)
        tables[name] = (1e-3 * drawn).to(device, dtype).requires_grad_()
    return tables


def alpha_optimiser(tables: Iterable[Tensor], training: Training) -> torch.optim.Adam:
    """Return Adam as all DARTS descendants use it for alpha."""
    return torch.optim.Adam(
        list(tables),
        lr=training.alpha_lr,
        betas=(training.alpha_beta1, training.alpha_beta2),
        weight_decay=training.alpha_weight_decay,
    )


class WeightOptimiser:
    """SGD on w with a cosine schedule per epoch and a clip of the global norm."""

    def __init__(self, supernet: Supernet, training: Training) -> None:
        self.training = training
        self.parameters = [p for p in supernet.parameters() if p.requires_grad]
        self.optimiser = torch.optim.SGD(
            self.parameters,
            lr=training.weight_lr,
            momentum=training.momentum,
            nesterov=training.nesterov and training.momentum > 0,
            weight_decay=training.weight_decay,
            foreach=True,
        )

    @property
    def learning_rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    def start_epoch(self, epoch: int) -> None:
        training = self.training
        self.optimiser.param_groups[0]["lr"] = cosine(
            epoch, training.epochs, training.weight_lr, training.weight_lr_min
        )

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Clip the gradients of ``parameters``, in their order, and step."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.training.clip > 0:
            torch.nn.utils.clip_grad_norm_(
                self.parameters, self.training.clip, foreach=True
            )
        self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state)
