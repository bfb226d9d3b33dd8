"""Loss, entropy and margin of a small network: the plain baselines of selection."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Pool, Scores, Scoring, selections
from ..scoring_network import (
    NetworkOptions,
    NetworkReduction,
    ScoringNetwork,
    training_cost,
)


class LossOptions(NetworkOptions):
    name: Literal["loss"] = "loss"


class EntropyOptions(NetworkOptions):
    name: Literal["entropy"] = "entropy"


class MarginOptions(NetworkOptions):
    name: Literal["margin"] = "margin"


class _OfOneNetwork(NetworkReduction):
    """A score that is read off the logits of a trained network, images as they are."""

    family = "Scores of a training"

    @classmethod
    @abstractmethod
    def read(cls, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scores (n,) from logits float64 (n, M) and labels (n,)."""

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        network = ScoringNetwork(pool, options)
        yield from network.train(state)
        values = cls.read(network.logits().double(), pool.labels)
        return Scores(values.cpu(), cls.scoring_cost(options, len(pool.ids)))

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        return training_cost(options, samples) + samples


@selections.register
class Loss(_OfOneNetwork):
    name = "loss"
    label = "Loss of a small network"
    summary = "Samples that a small network trained on them finds hardest leave."
    source = "Baseline: cross-entropy, data specification B.6."
    score_label = "cross-entropy of a small network"
    Options = LossOptions

    @classmethod
    def read(cls, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, reduction="none")


@selections.register
class Entropy(_OfOneNetwork):
    name = "entropy"
    label = "Entropy of a small network"
    summary = "Samples about which a small network is most undecided leave."
    source = "Baseline: Shannon entropy of the prediction, data specification B.6."
    score_label = "entropy of the prediction in nats"
    Options = EntropyOptions

    @classmethod
    def read(cls, logits: Tensor, labels: Tensor) -> Tensor:
        logarithms = logits.log_softmax(1)
        return -(logarithms.exp() * logarithms).sum(1)


@selections.register
class SmallMargin(_OfOneNetwork):
    name = "margin"
    label = "Margin of a small network"
    summary = "Samples whose two likeliest classes are closest leave."
    source = "Baseline: best against second best, data specification B.6."
    score_label = "1 - (best - second probability)"
    Options = MarginOptions

    @classmethod
    def read(cls, logits: Tensor, labels: Tensor) -> Tensor:
        best = logits.softmax(1).topk(2, dim=1).values
        return 1 - (best[:, 0] - best[:, 1])
