"""EL2N: the error of each sample early in a training, as a mean over trainings.

M. Paul, S. Ganguli, G. K. Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021,
Definition 2.2; Tu et al. (BDP), Table 2, halve T and V by it before a search.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from ..contracts import Pool, Scores, Scoring, Snapshot, selections
from ..contracts.reduction import End
from ..registry import setting
from ..scoring_network import (
    NetworkOptions,
    NetworkReduction,
    ScoringNetwork,
    training_cost,
)
from ._trained import MeanError, watched
from .sample_error import sample_error


class EL2NOptions(NetworkOptions):
    name: Literal["el2n"] = "el2n"
    keep_valid: float = setting(
        0.5,
        "Share of V that is kept",
        "The same for V; BDP's Table 2 halves both sets. 1 leaves V alone.",
        unit="share",
        advanced=False,
        gt=0,
        le=1,
    )
    drop_train: End = setting(
        "lowest",
        "End that leaves T",
        "lowest: the samples with the lowest error leave T, the best of BDP's Table 2 "
        "together with highest for V; highest: the other way round.",
        advanced=False,
    )
    drop_valid: End = setting(
        "highest",
        "End that leaves V",
        "highest: the samples with the highest error leave V.",
        advanced=False,
    )
    runs: int = setting(
        5,
        "Trainings",
        "Independent trainings whose errors are averaged: 5 in BDP, at least 10 where "
        "the score was proposed. 1 is the cheap mode.",
        advanced=False,
        ge=1,
        le=100,
    )
    epochs: int = setting(
        10,
        "Epochs",
        "Passes over the set before the error is measured: early in a training.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=1000,
    )
    clean: bool = setting(
        True,
        "Clean images",
        "On: the error of images as they are, after the last epoch, by the running "
        "statistics. Off: the mean error of the forwards that train, over all epochs, "
        "which takes no extra pass.",
    )


@selections.register
class EL2N(NetworkReduction):
    name = "el2n"
    label = "Error norm (EL2N)"
    summary = "Samples whose error early in a training is lowest (T) or highest (V) go."
    source = "Paul et al., NeurIPS 2021, Def. 2.2; Tu et al. (BDP), Eq. 3 and Table 2."
    family = "Scores of a training"
    score_label = "EL2N"
    Options = EL2NOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        first = 0 if state is None else state["run"]
        total = torch.zeros(len(pool.ids), dtype=torch.float64, device=pool.device)
        if state is not None:
            total += state["total"].to(pool.device)
        for run in range(first, options.runs):
            network, errors = ScoringNetwork(pool, options, run), MeanError(pool)
            begun = state["training"] if state is not None and run == first else None
            for item in watched(network, errors, begun, run=run, runs=options.runs):
                if isinstance(item, Snapshot):
                    held = {"run": run, "total": total.cpu(), "training": item.state}
                    item = Snapshot(item.step, held)
                yield item
            if options.clean:
                total += sample_error(network.logits(), pool.labels)
            else:
                total += errors["error"][pool.ids] / options.epochs
        values = (total / options.runs).cpu()
        return Scores(values, cls.scoring_cost(options, len(pool.ids)))

    @classmethod
    def describe_score(cls, options: Any) -> str:
        if options.runs == 1:
            return "EL2N, one training"
        return f"EL2N, mean of {options.runs} trainings"

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        measured = samples if options.clean else 0
        return options.runs * (training_cost(options, samples) + measured)
