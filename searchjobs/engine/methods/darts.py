"""DARTS, first order: weights and alpha in turn, each by its own gradient.

H. Liu, K. Simonyan, Y. Yang, DARTS: Differentiable Architecture Search, ICLR 2019.
Eq. 2 (continuous relaxation), Eq. 3 and 4 (bilevel problem), Eq. 5 with xi = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, Method, Search, StepResult, Tables, methods
from ..graphs import half_step
from ..optimisation import WeightOptimiser, alpha_optimiser, initial_alpha
from ..registry import Options as AnyOptions


class DartsOptions(AnyOptions):
    name: Literal["darts"] = "darts"


@methods.register
class Darts(Method):
    name = "darts"
    label = "DARTS, first order"
    summary = (
        "Weights and alpha in turn; on NAS-Bench-201 it is known to collapse to skip "
        "connections."
    )
    source = "Liu, Simonyan, Yang, DARTS, ICLR 2019, Eq. 2 to 5 with xi = 0."
    Options = DartsOptions

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        training = search.spec.training
        self._alpha: dict[str, Tensor] = initial_alpha(
            search.space,
            search.streams["alpha"],
            search.device,
            search.spec.compute.dtype,
        )
        self._weights = WeightOptimiser(search.supernet, training)
        self._alpha_optimiser = alpha_optimiser(self._alpha.values(), training)
        self._weight_half = half_step(
            self._train_loss, self._weights.parameters, search
        )
        self._alpha_half = half_step(
            self._valid_loss, list(self._alpha.values()), search
        )

    def start_epoch(self, epoch: int) -> bool:
        self._weights.start_epoch(epoch)
        return False

    def edge_weights(self) -> Tables:
        """Eq. 2: softmax over the operations of each edge."""
        return self.relaxation(self._alpha)

    def weight_step(self, batch: Batch) -> StepResult:
        """Descend L_train in w; alpha stands still and gets no gradient."""
        result, gradients = self._weight_half(batch)
        self._weights.step(gradients)
        return result

    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        """Descend L_val in alpha at the present w (Eq. 5, xi = 0)."""
        result, gradients = self._alpha_half(batch)
        for table, gradient in zip(self._alpha.values(), gradients, strict=True):
            table.grad = gradient
        self._alpha_optimiser.step()
        return result

    def _train_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            edge_weights = self.edge_weights()
        return self._loss(batch, edge_weights)

    def _valid_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._loss(batch, self.edge_weights())

    def _loss(self, batch: Batch, edge_weights: Tables) -> tuple[Tensor, Tensor]:
        logits = self.search.supernet(batch.images, edge_weights)
        return cross_entropy(logits, batch.labels), logits

    def alpha(self) -> Tables:
        return {name: table.detach() for name, table in self._alpha.items()}

    def learning_rates(self) -> dict[str, float]:
        return {
            "weights": self._weights.learning_rate,
            "architecture": self._alpha_optimiser.param_groups[0]["lr"],
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "alpha": {name: t.detach().cpu() for name, t in self._alpha.items()},
            "weights": self._weights.state_dict(),
            "alpha_optimiser": self._alpha_optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, table in self._alpha.items():
                table.copy_(state["alpha"][name])
        self._weights.load_state_dict(state["weights"])
        self._alpha_optimiser.load_state_dict(state["alpha_optimiser"])
