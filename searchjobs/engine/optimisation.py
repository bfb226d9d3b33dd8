"""Optimisers and schedules that the gradient-based methods share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .contracts import Search, Space, Supernet
    from .sections import Training


def cosine(epoch: int, epochs: int, high: float, low: float) -> float:
    """Return low + (high - low)(1 + cos(pi e / E)) / 2 for the 1-based ``epoch``
    (e = epoch - 1): ``high`` in the first epoch, almost ``low`` in the last."""
    return low + (high - low) * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


def linear(epoch: int, epochs: int, first: float, last: float) -> float:
    """Return ``first`` in epoch 1, ``last`` in epoch ``epochs``, evenly between."""
    return first + (last - first) * (epoch - 1) / max(epochs - 1, 1)


class Rates(NamedTuple):
    """Learning rates of one epoch."""

    weights: float
    architecture: float


def rates(training: Training, epoch: int, epochs: int | None = None) -> Rates:
    """Return the learning rates of the 1-based ``epoch``.

    With an exchange (EX-DARTS, section 3.2) the two levels change sides.  Where only
    the values do, the weights keep a cosine: its end is lowered to its new start if it
    stands above it, or the rate would rise from epoch to epoch.

    ``epochs`` is the length of the schedule where it is not the spec's (a stage).
    """
    length = epochs or training.schedule_epochs or training.epochs
    high, low = training.weight_lr, training.weight_lr_min
    alpha_high, alpha_low = training.alpha_lr, training.alpha_lr_min
    if training.exchange == "values":
        high, alpha_high = alpha_high, high
        low = min(low, high)
        alpha_low = None if alpha_low is None else min(alpha_low, alpha_high)
    of_weights = cosine(epoch, length, high, low)
    of_alpha = alpha_high
    if alpha_low is not None:
        of_alpha = cosine(epoch, length, alpha_high, alpha_low)
    if training.exchange == "schedules":
        return Rates(of_alpha, of_weights)
    return Rates(of_weights, of_alpha)


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


def weight_rate_scale(search: Search) -> float:
    """Return what the weight learning rate is multiplied by (``weight_lr_steps``)."""
    from .plan import plan  # it knows all methods, and they know this module

    training = search.spec.training
    if training.weight_lr_steps == 0:
        return 1.0
    return training.weight_lr_steps / max(sum(plan(search.spec).weight_steps), 1)


class WeightOptimiser:
    """SGD on w with a schedule per epoch and a clip of the global norm.

    ``scale`` multiplies the rate (see ``weight_lr_steps`` of the spec).  A weight that
    no operation of the step used has no gradient and stays as it is: neither momentum
    nor decay moves it.
    """

    def __init__(
        self, supernet: Supernet, training: Training, scale: float = 1.0
    ) -> None:
        self.training = training
        self.scale = scale
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

    def start_epoch(self, epoch: int, epochs: int | None = None) -> None:
        """Set the rate of an epoch; ``epochs`` is the length of a stage's schedule."""
        rate = rates(self.training, epoch, epochs).weights
        self.optimiser.param_groups[0]["lr"] = self.scale * rate

    def restart(self, rate: float) -> None:
        """Forget the momentum, and stay at ``rate`` until an epoch sets another."""
        self.optimiser.state.clear()
        self.optimiser.param_groups[0]["lr"] = rate

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
