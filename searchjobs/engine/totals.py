"""What a search adds up: on the device inside an epoch, as numbers over epochs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .contracts import Batch, StepResult, Tables


class EpochTotals:
    """Losses and hits of one epoch, summed on the device, read once by ``close``."""

    def __init__(
        self, device: torch.device, weight_steps: int, architecture_steps: int
    ) -> None:
        self.weight_steps = weight_steps
        self.architecture_steps = architecture_steps
        self._sums = torch.zeros(5, device=device, dtype=torch.float64)
        self._samples = [0, 0]
        self._values: list[float] = []

    def add_weights(self, batch: Batch, result: StepResult) -> None:
        self._add(0, batch, result)

    def add_architecture(self, batch: Batch, result: StepResult) -> None:
        self._add(2, batch, result)

    def before(self, alpha: Tables) -> list[Tensor]:
        return [table.clone() for table in alpha.values()]

    def add_travel(self, before: list[Tensor], alpha: Tables) -> None:
        """Add the mean |change of alpha| of one architecture step."""
        for old, new in zip(before, alpha.values(), strict=True):
            self._sums[4] += (new - old).abs().mean() / len(before)

    def _add(self, first: int, batch: Batch, result: StepResult) -> None:
        size = len(batch.ids)
        self._samples[first // 2] += size
        self._sums[first] += result.loss * size
        self._sums[first + 1] += (result.logits.argmax(-1) == batch.labels).sum()

    def close(self) -> None:
        """Read the sums: the one synchronisation of the epoch."""
        self._values = self._sums.tolist()

    @property
    def finite(self) -> bool:
        return all(math.isfinite(value) for value in self._values)

    @property
    def travel(self) -> float:
        return self._values[4]

    def mean(self, level: int) -> tuple[float | None, float | None]:
        """Return mean loss and accuracy of level 0 (weights) or 1 (architecture)."""
        samples = self._samples[level]
        if samples == 0:
            return None, None
        loss, correct = self._values[2 * level : 2 * level + 2]
        return loss / samples, correct / samples


class Totals:
    """Cost so far, over all epochs and attempts."""

    def __init__(self) -> None:
        self.cost_units = 0.0
        self.seconds_search = 0.0
        self.seconds_preparation = 0.0
        """Of ``seconds_search``, those before the first epoch."""
        self.seconds_evaluation = 0.0
        self.alpha_travel = 0.0
        self.epoch: EpochTotals

    def state_dict(self) -> dict[str, Any]:
        return {
            "cost_units": self.cost_units,
            "seconds_search": self.seconds_search,
            "seconds_preparation": self.seconds_preparation,
            "seconds_evaluation": self.seconds_evaluation,
            "alpha_travel": self.alpha_travel,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
