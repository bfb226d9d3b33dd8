"""What all methods share that take weight steps and architecture steps in turn.

Each of them differs from first-order DARTS in one or two of the methods below; what
its paper changes is what its file overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, Method, Search, StepResult, Tables
from ..graphs import half_step
from ..optimisation import (
    WeightOptimiser,
    alpha_optimiser,
    initial_alpha,
    rates,
    weight_rate_scale,
)
from ..registry import Options


class Alternating(Method):
    """Alpha tables under one optimiser, weights under another, a step each in turn.

    Attributes:
        tables: the raw architecture parameters, (R, O) each, leaves of the graph.
        weights: the optimiser of the supernet's weights.
        alpha_optimiser: the optimiser of ``tables``.
    """

    def __init__(self, options: Options, search: Search) -> None:
        super().__init__(options, search)
        self.tables = self.initial_tables()
        self.alpha_optimiser = self.new_alpha_optimiser()
        self.build()

    # -- what a method may override ---------------------------------------------------

    def initial_tables(self) -> dict[str, Tensor]:
        """Return alpha as it begins: 1e-3 N(0, 1)."""
        search = self.search
        return initial_alpha(
            search.space,
            search.streams["alpha"],
            search.device,
            search.spec.compute.dtype,
        )

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        """Return Adam, as most of the family use it."""
        return alpha_optimiser(self.tables.values(), self.search.spec.training)

    def alpha_leaves(self) -> list[Tensor]:
        """Return what an architecture step takes gradients of."""
        return list(self.tables.values())

    def edge_weights(self) -> Tables:
        """Return the mixture of a forward (R, O), differentiable in alpha."""
        return self.relaxation(self.tables)

    def weight_mixture(self) -> Tables:
        """Return the edge weights of a weight step, (R, O); no gradient is taken."""
        return self.edge_weights()

    def forward(self, images: Tensor, edge_weights: Tables) -> Tensor:
        """Return the supernet's logits (B, M) under edge weights just made."""
        return self.search.supernet(
            images, edge_weights, self.active(), self.edge_terms()
        )

    def weight_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss that w descends, and the logits."""
        with torch.no_grad():
            edge_weights = self.weight_mixture()
        logits = self.forward(batch.images, edge_weights)
        return cross_entropy(logits, batch.labels), logits

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss that alpha descends, and the logits."""
        logits = self.forward(batch.images, self.edge_weights())
        return cross_entropy(logits, batch.labels), logits

    def update_alpha(self, gradients: Sequence[Tensor | None]) -> None:
        """Step alpha by the gradients of ``alpha_leaves``, in their order."""
        for leaf, gradient in zip(self.alpha_leaves(), gradients, strict=True):
            leaf.grad = gradient
        self.alpha_optimiser.step()

    # -- the same for all -------------------------------------------------------------

    def build(self) -> None:
        """Make what hangs on the present supernet; again when it is another one."""
        search = self.search
        self.weights = WeightOptimiser(
            search.supernet, search.spec.training, weight_rate_scale(search)
        )
        self.weight_half = half_step(self.weight_loss, self.weights.parameters, search)
        self.alpha_half = half_step(self.alpha_loss, self.alpha_leaves(), search)

    def start_epoch(self, epoch: int) -> bool:
        self.set_rates(epoch)
        return False

    def set_rates(self, epoch: int, epochs: int | None = None) -> None:
        """Set both learning rates to those of an epoch of a schedule."""
        self.weights.start_epoch(epoch, epochs)
        rate = rates(self.search.spec.training, epoch, epochs).architecture
        for group in self.alpha_optimiser.param_groups:
            group["lr"] = rate

    def restart_weights(self, rate: float) -> None:
        self.weights.restart(rate)

    def weight_step(self, batch: Batch) -> StepResult:
        result, gradients = self.weight_half(batch)
        self.weights.step(gradients)
        return result

    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        result, gradients = self.alpha_half(batch)
        self.update_alpha(gradients)
        return result

    def alpha(self) -> Tables:
        return {name: table.detach() for name, table in self.tables.items()}

    def learning_rates(self) -> dict[str, float]:
        return {
            "weights": self.weights.learning_rate,
            "architecture": self.alpha_optimiser.param_groups[0]["lr"],
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "alpha": {name: t.detach().cpu() for name, t in self.tables.items()},
            "weights": self.weights.state_dict(),
            "alpha_optimiser": self.alpha_optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, table in self.tables.items():
                table.copy_(state["alpha"][name])
        self.weights.load_state_dict(state["weights"])
        self.alpha_optimiser.load_state_dict(state["alpha_optimiser"])
