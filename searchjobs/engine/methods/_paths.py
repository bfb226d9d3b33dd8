"""What methods share that train the weights on one drawn architecture a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import (
    PAIRING,
    ActiveOperations,
    Batch,
    Method,
    Search,
    SetName,
    StepResult,
    Tables,
)
from ..graphs import half_step
from ..optimisation import WeightOptimiser, weight_rate_scale
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..sampling import Choice, encoded, one_hots, running

if TYPE_CHECKING:
    from ..spec import SearchSpec


def path_loss(search: Search, choice: Choice, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return loss and logits of one architecture: only its operations run."""
    edge_weights = one_hots(search.space, choice, batch.images)
    logits = search.supernet(batch.images, edge_weights, running(choice))
    return cross_entropy(logits, batch.labels), logits


class SinglePath(Method):
    """Weight steps on drawn architectures, and no architecture step at all.

    Attributes:
        weights: the optimiser of the supernet's weights.
        drawn: the architecture that was drawn last.
    """

    ignores = PAIRING
    gradient_based = False
    sampled_paths = 10

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.weights = WeightOptimiser(
            search.supernet, search.spec.training, weight_rate_scale(search)
        )
        self.weight_half = half_step(self.weight_loss, self.weights.parameters, search)
        self.drawn: Choice = {}

    @classmethod
    def why_eager(cls, options: Any) -> str:
        return "runs one operation an edge"

    @classmethod
    def trains_architecture(cls, spec: SearchSpec, epoch: int) -> bool:
        return False

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        found = super().problems(spec, sizes)
        if spec.training.exchange != "off":
            found.append(
                Problem(
                    "training.exchange",
                    f"{cls.label} has no alpha whose learning rate the weights could "
                    "take over; switch the exchange off.",
                )
            )
        return found

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Choice:
        """Draw the architecture of a batch."""

    def sample(self, generator: torch.Generator) -> str:
        return encoded(self.search.space, self.draw(generator))

    def start_epoch(self, epoch: int) -> bool:
        self.weights.start_epoch(epoch)
        return False

    def edge_weights(self) -> Tables:
        """Return one-hot edge weights (R, O) of an architecture drawn anew."""
        self.drawn = self.draw(self.search.streams["paths"])
        return one_hots(self.search.space, self.drawn, self.weights.parameters[0])

    def active(self) -> ActiveOperations | None:
        return running(self.drawn) if self.drawn else super().active()

    def weight_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.drawn = self.draw(self.search.streams["paths"])
        return path_loss(self.search, self.drawn, batch)

    def weight_step(self, batch: Batch) -> StepResult:
        result, gradients = self.weight_half(batch)
        self.weights.step(gradients)
        return result

    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        raise RuntimeError(f"{self.label} has no architecture steps")

    def relaxation(self, tables: Tables) -> Tables:
        """What ``alpha`` returns are shares already."""
        return tables

    def learning_rates(self) -> dict[str, float]:
        return {"weights": self.weights.learning_rate}

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights.load_state_dict(state["weights"])
