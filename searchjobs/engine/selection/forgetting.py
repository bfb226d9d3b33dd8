"""Forgetting: how often a training unlearns a sample.

M. Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network
Learning", ICLR 2019, Definition 2.1.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..contracts import Pool, Scores, Scoring, selections
from ..contracts.reduction import End
from ..registry import setting
from ..scoring_network import NetworkOptions, NetworkReduction, ScoringNetwork
from ._trained import Sums, column, watched
from .sample_error import sample_error


class ForgettingOptions(NetworkOptions):
    name: Literal["forgetting"] = "forgetting"
    drop_train: End = setting(
        "lowest",
        "End that leaves T",
        "lowest, as in the paper: what is never forgotten leaves T.",
        advanced=False,
    )
    drop_valid: End = setting("lowest", "End that leaves V", "The same for V.")


class Forgetting(Sums):
    """Transitions from correct to wrong, from one visit of a sample to the next."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, "was_correct", "ever_correct", "forgotten", "error")

    def observe(self, epoch: int, ids: Tensor, logits: Tensor, labels: Tensor) -> None:
        correct = (logits.argmax(1) == labels).double()
        self["forgotten"][ids] += self["was_correct"][ids] * (1 - correct)
        self["ever_correct"][ids] = torch.maximum(self["ever_correct"][ids], correct)
        self["was_correct"][ids] = correct
        self["error"][ids] += sample_error(logits, labels)


@selections.register
class ForgettingEvents(NetworkReduction):
    """A sample that was never classified correctly counts as forgotten in every epoch.
    Counts tie: the fraction of a score is half the mean error, at most 0.71."""

    name = "forgetting"
    label = "Forgetting events"
    summary = "Samples that a training never unlearns leave."
    source = "Toneva et al., An Empirical Study of Example Forgetting, ICLR 2019, 2.1."
    family = "Scores of a training"
    score_label = "forgetting events, ties by mean error"
    Options = ForgettingOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        found = Forgetting(pool)
        yield from watched(ScoringNetwork(pool, options), found, state)
        never = found["ever_correct"] == 0
        events = found["forgotten"].masked_fill(never, options.epochs)
        errors = found["error"] / options.epochs
        return Scores(
            (events + errors / 2)[pool.ids].cpu(),
            cls.scoring_cost(options, len(pool.ids)),
            {"mean_error": column(pool, errors)},
        )
