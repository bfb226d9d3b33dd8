"""PC-DARTS: operations see a part of the channels, and edges have weights too.

Y. Xu, L. Xie, X. Zhang, X. Chen, G.-J. Qi, Q. Tian, H. Xiong, PC-DARTS: Partial
Channel Connections for Memory-Efficient Architecture Search, ICLR 2020.
Partial channel connection and edge normalisation.

The supernet parts the channels: the first C/K of a node go through the mixture of an
edge, the rest pass it by, and the channels of the two are interleaved.  An edge weighs
softmax(beta) among those that enter the same node, and beta learns with alpha.
Everything else is first-order DARTS with the paper's learning rates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..contracts import Search, methods
from ..optimisation import alpha_optimiser
from ..registry import Options as AnyOptions
from ..registry import setting
from ._edges import EdgeWeighted


class PcDartsOptions(AnyOptions):
    name: Literal["pc-darts"] = "pc-darts"
    partial: int = setting(
        4,
        "Partial channels K",
        "Operations see one channel in K of each edge, the others pass them by; 1: "
        "all of them.",
        ge=1,
        le=64,
    )
    edge_normalisation: bool = setting(
        True,
        "Edge normalisation",
        "Learn a weight for each edge too, softmax(beta) over the edges that enter one "
        "node; off: edges are added as they are.",
    )


@methods.register
class PcDarts(EdgeWeighted):
    name = "pc-darts"
    label = "PC-DARTS"
    summary = (
        "DARTS on a quarter of the channels, with learned weights of the edges; alpha "
        "rests for 15 epochs."
    )
    source = "Xu et al., PC-DARTS, ICLR 2020: partial channels, edge normalisation."
    family = "Gradient of alpha"
    Options = PcDartsOptions
    options: PcDartsOptions
    capturable = True
    defaults = {
        "training": {
            "recipe": "smooth",
            "epochs": 50,
            "warmup_epochs": 15,
            "batch_size": 256,
            "weight_lr": 0.1,
            "weight_lr_min": 0.0,
            "alpha_lr": 6e-4,
        }
    }

    def first_edges(self, search: Search) -> Callable[[int], Tensor]:
        """Beta begins as alpha does: 1e-3 N(0, 1)."""
        stream = search.streams["edges"]
        return lambda count: 1e-3 * torch.randn(count, generator=stream)

    @property
    def weighs_edges(self) -> bool:
        return self.options.edge_normalisation

    def edge_weight(self, vector: Tensor) -> Tensor:
        """Edge normalisation: softmax of beta over the edges that enter one node."""
        return vector.softmax(-1)

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        """Alpha and beta learn together."""
        return alpha_optimiser(self.alpha_leaves(), self.search.spec.training)
