"""VoE once: the variance of the error over a window of a training of its own.

Tu et al., "Efficient Architecture Search via Bi-level Data Pruning", Eq. 4, chosen by
before the search, as their Table 2 does with EL2N.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import Pool, Scores, Scoring, selections
from ..contracts.reduction import End
from ..problems import Problem
from ..registry import setting
from ..scoring_network import NetworkOptions, NetworkReduction, ScoringNetwork
from ._trained import column, watched
from .sample_error import sample_error
from .voe import VarianceOfError


class VoEOptions(NetworkOptions):
    name: Literal["voe"] = "voe"
    keep_valid: float = setting(
        0.5,
        "Share of V that is kept",
        "The same for V; 1 leaves V alone.",
        unit="share",
        advanced=False,
        gt=0,
        le=1,
    )
    drop_train: End = setting(
        "lowest",
        "End that leaves T",
        "lowest: the samples whose error varies least leave T, as in BDP.",
        advanced=False,
    )
    drop_valid: End = setting(
        "highest",
        "End that leaves V",
        "highest: the samples whose error varies most leave V, as in BDP.",
        advanced=False,
    )
    window: int = setting(
        5,
        "Window",
        "The last epochs of the training, over which the variance of each sample's "
        "error is taken. Early on, low variance means never learned.",
        unit="epochs",
        advanced=False,
        ge=2,
    )
    voe_mean: Literal["window", "running"] = setting(
        "window",
        "Mean of the variance",
        "Reading of Eq. 4: window: one mean over the window, the population variance; "
        "running: the mean of the errors so far.",
    )


class WindowVoE:
    """VoE of the forwards that train, from an epoch on."""

    def __init__(self, pool: Pool, options: VoEOptions) -> None:
        self._first = options.epochs - options.window + 1
        self.voe = VarianceOfError(
            len(pool.data), pool.device, options.voe_mean, torch.float64
        )

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        if epoch >= self._first:
            self.voe.update(ids, sample_error(logits, labels))

    def state_dict(self) -> dict[str, Any]:
        return self.voe.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.voe.load_state_dict(state)


@selections.register
class OneShotVoE(NetworkReduction):
    name = "voe"
    label = "Variance of the error, once (VoE)"
    summary = (
        "Samples whose error varies least (T) or most (V) late in a training of its "
        "own leave before the search."
    )
    source = "Tu et al. (BDP), Eq. 4 and Table 2."
    family = "Scores of a training"
    score_label = "VoE"
    Options = VoEOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        statistic = WindowVoE(pool, options)
        yield from watched(ScoringNetwork(pool, options), statistic, state)
        voe = statistic.voe
        columns = {
            "mean_error": column(pool, voe.mean),
            "observations": column(pool, voe.count).astype(np.int32),
        }
        values = voe.scores(pool.ids).cpu()
        return Scores(values, cls.scoring_cost(options, len(pool.ids)), columns)

    @classmethod
    def size_problems(cls, options: Any, sizes: dict[SetName, int]) -> list[Problem]:
        return super().size_problems(options, sizes) + window_problems(options)


def window_problems(options: Any) -> list[Problem]:
    """Say if a window does not fit into the training."""
    if options.window <= options.epochs:
        return []
    return [
        Problem(
            "selection.window",
            f"A window of {options.window} epochs does not fit into a training of "
            f"{options.epochs}; train longer or take a shorter window.",
        )
    ]
