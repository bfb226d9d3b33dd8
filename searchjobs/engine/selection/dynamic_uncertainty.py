"""Dynamic uncertainty: how much the probability of the true class moves in a training.

M. He, S. Yang, T. Huang, B. Zhao, "Large-scale Dataset Pruning with Dynamic
Uncertainty", CVPR workshops 2024, Eq. 1 and 2.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import Pool, Scores, Scoring, selections
from ..contracts.reduction import End
from ..problems import Problem
from ..registry import setting
from ..scoring_network import NetworkOptions, NetworkReduction, ScoringNetwork
from ._trained import watched
from .window_variance import window_problems


class DynamicUncertaintyOptions(NetworkOptions):
    name: Literal["dynamic-uncertainty"] = "dynamic-uncertainty"
    drop_train: End = setting(
        "lowest",
        "End that leaves T",
        "lowest, as in the paper: what the training is sure of leaves T.",
        advanced=False,
    )
    drop_valid: End = setting("lowest", "End that leaves V", "The same for V.")
    window: int = setting(
        10,
        "Window",
        "J: epochs over which a standard deviation is taken; windows slide by one "
        "epoch, and the score is their mean.",
        unit="epochs",
        ge=2,
        le=100,
    )


class SlidingDeviation:
    """Sum over sliding windows of the deviation of the true class's probability.

    Of the history only the newest window is kept, in a ring of J rows.
    """

    def __init__(self, pool: Pool, window: int) -> None:
        self.window = window
        shape = (window, len(pool.data))
        self._ring = torch.zeros(shape, dtype=torch.float64, device=pool.device)
        self.total = torch.zeros_like(self._ring[0])

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        chances = logits.double().softmax(1).gather(1, labels[:, None]).squeeze(1)
        self._ring[(epoch - 1) % self.window, ids] = chances
        if epoch >= self.window:
            self.total[ids] += self._ring[:, ids].std(0, correction=1)

    def state_dict(self) -> dict[str, Any]:
        return {"ring": self._ring.cpu().clone(), "total": self.total.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._ring.copy_(state["ring"])
        self.total.copy_(state["total"])


@selections.register
class DynamicUncertainty(NetworkReduction):
    name = "dynamic-uncertainty"
    label = "Dynamic uncertainty"
    summary = "Samples whose predicted probability a training moves least leave."
    source = (
        "He et al., Large-scale Dataset Pruning with Dynamic Uncertainty, Eq. 1, 2."
    )
    family = "Scores of a training"
    score_label = "dynamic uncertainty"
    Options = DynamicUncertaintyOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        found = SlidingDeviation(pool, options.window)
        yield from watched(ScoringNetwork(pool, options), found, state)
        values = found.total[pool.ids] / (options.epochs - options.window + 1)
        return Scores(values.cpu(), cls.scoring_cost(options, len(pool.ids)))

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        return super().size_problems(options, sizes) + window_problems(options)
