"""The proxy data of Na et al.: drawn by the histogram of what a network is sure of.

Na et al., "Accelerating Neural Architecture Search via Proxy Data", IJCAI 2021.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..contracts import Pool, Scores, Scoring, selections
from ..registry import setting
from ..sampling import gumbel
from ..scoring_network import (
    NetworkOptions,
    NetworkReduction,
    ScoringNetwork,
    training_cost,
)

FLOOR = 1e-30
"""Entropies below count as this: 0 has no logarithm."""
Weights = Literal["P1", "P2", "P3"]


class EntropyHistogramOptions(NetworkOptions):
    name: Literal["entropy-histogram"] = "entropy-histogram"
    keep_train: float = setting(
        0.1,
        "Share of T that is kept",
        "r: T keeps this share of its samples, chosen once before the search; 1 keeps "
        "all.",
        unit="share",
        advanced=False,
        gt=0,
        le=1,
    )
    weights: Weights = setting(
        "P1",
        "Weights of the bins",
        "Of a bin with h samples, each equally likely. P1: max h - h + 1, so that very "
        "sure and very unsure samples come often (the paper's); P2: all bins alike; "
        "P3: 1 / h.",
    )
    bin_width: float = setting(
        0.5,
        "Width of a bin",
        "In log10 of the entropy: 0.5 for CIFAR-10, 0.25 for CIFAR-100 and ImageNet, "
        "0.2 for SVHN.",
        gt=0,
        le=10,
    )


@selections.register
class EntropyHistogram(NetworkReduction):
    name = "entropy-histogram"
    label = "Entropy histogram (Na et al.)"
    summary = "Draws samples by the histogram of their entropies, its tails the most."
    source = "Na et al., Accelerating NAS via Proxy Data, IJCAI 2021."
    family = "Proxies"
    score_label = "draw by the weight of the entropy's bin, small stays"
    Options = EntropyHistogramOptions

    @classmethod
    def score(
        cls, options: Any, pool: Pool, state: dict[str, Any] | None = None
    ) -> Scoring:
        network = ScoringNetwork(pool, options)
        yield from network.train(state)
        found = entropies(network.logits()).cpu()
        likelihoods = log_likelihoods(found, options.weights, options.bin_width)
        keys = draw_keys(likelihoods, pool.streams[f"{pool.purpose}/draw"])
        cost = cls.scoring_cost(options, len(pool.ids))
        return Scores(-keys, cost, {"entropy": found.numpy()})

    @classmethod
    def scoring_cost(cls, options: Any, samples: int) -> float:
        return training_cost(options, samples) + samples


def draw_keys(likelihoods: Tensor, generator: torch.Generator) -> Tensor:
    """Return keys, in the shape of the logarithms (..., n), whose largest are a draw
    without replacement: one after the other, each by its likelihood among those left
    (W. Kool et al., Stochastic Beams and Where to Find Them, ICML 2019, 4.1)."""
    return likelihoods + gumbel(likelihoods.shape, generator).double()


def entropies(logits: Tensor) -> Tensor:
    """Return - sum p log p of the softmax of logits (n, M), in nats, float64 (n,)."""
    logs = logits.double().log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def log_likelihoods(found: Tensor, weights: Weights, width: float) -> Tensor:
    """Return the logarithm of each sample's likelihood to be the first drawn, (n,).

    Args:
        found: entropies, float64 (n,).
        weights: how the bins count.
        width: of the bins of log10 of the entropy; they are half open, [a, a + width),
            and 0 is the border of two.
    """
    places = (found.clamp(min=FLOOR).log10() / width).floor()
    _, bins, counts = places.unique(return_inverse=True, return_counts=True)
    h = counts.double()
    weight = {"P1": h.max() - h + 1, "P2": torch.ones_like(h), "P3": 1 / h}[weights]
    # the weight of a bin is shared evenly by its samples
    return (weight / weight.sum() / h).log()[bins]
