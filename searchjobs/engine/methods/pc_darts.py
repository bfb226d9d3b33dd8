"""PC-DARTS: operations see a part of the channels, and edges have weights too.

Y. Xu, L. Xie, X. Zhang, X. Chen, G.-J. Qi, Q. Tian, H. Xiong, PC-DARTS: Partial
Channel Connections for Memory-Efficient Architecture Search, ICLR 2020.
Eq. 1 (partial channels), Eq. 2 (edge normalisation).

The supernet does Eq. 1: the first C/K channels of a node go through the mixture of an
edge, the rest pass it by, and the channels of the two are interleaved.  An edge weighs
softmax(beta) among those that enter the same node, and beta learns with alpha.
Everything else is first-order DARTS with the paper's learning rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..contracts import EdgeTerms, Search, SetName, Tables, methods
from ..events import MethodReport
from ..optimisation import alpha_optimiser
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ._alternating import Alternating
from ._edges import EdgeParameters, partial_problems

if TYPE_CHECKING:
    from ..spec import SearchSpec


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
class PcDarts(Alternating):
    name = "pc-darts"
    label = "PC-DARTS"
    summary = (
        "DARTS on a quarter of the channels, with learned weights of the edges; alpha "
        "rests for 15 epochs."
    )
    source = "Xu et al., PC-DARTS, ICLR 2020, Eq. 1 and 2."
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

    def __init__(self, options: AnyOptions, search: Search) -> None:
        stream = search.streams["edges"]
        self.edges = EdgeParameters(
            search, lambda count: 1e-3 * torch.randn(count, generator=stream)
        )
        super().__init__(options, search)

    @classmethod
    def partial_channels(cls, options: PcDartsOptions) -> int:
        return options.partial

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        return partial_problems(spec, "method.partial", [spec.method.partial])

    def alpha_leaves(self) -> list[Tensor]:
        """Alpha and beta learn together."""
        edges = self.edges.leaves() if self.options.edge_normalisation else []
        return [*super().alpha_leaves(), *edges]

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        return alpha_optimiser(self.alpha_leaves(), self.search.spec.training)

    def edge_terms(self) -> EdgeTerms | None:
        """Eq. 2: softmax of beta over the edges that enter one node."""
        if not self.options.edge_normalisation:
            return None
        return EdgeTerms(scale=self.edges.rows(lambda beta: beta.softmax(-1)))

    def report(self) -> MethodReport:
        terms = self.edge_terms()
        scale: Tables = terms.scale if terms else {}
        return MethodReport(edges={name: row.tolist() for name, row in scale.items()})

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"edges": self.edges.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.edges.load_state_dict(state["edges"])
        super().load_state_dict(state)
