"""DARTS, first order: weights and alpha in turn, each by its own gradient.

H. Liu, K. Simonyan, Y. Yang, DARTS: Differentiable Architecture Search, ICLR 2019.
The continuous relaxation and the bilevel problem, approximated with xi = 0.

Every step is that of ``_alternating``: the weights descend L_train while alpha stands
still, alpha descends L_val at the present weights, and the mixture of an edge is the
softmax over its operations.
"""

from __future__ import annotations

from typing import Literal

from ..contracts import Tables, methods
from ..registry import Options
from ._alternating import Alternating


class DartsOptions(Options):
    name: Literal["darts"] = "darts"


@methods.register
class Darts(Alternating):
    name = "darts"
    label = "DARTS, first order"
    summary = (
        "Weights and alpha in turn; on NAS-Bench-201 it is known to collapse to skip "
        "connections."
    )
    source = "Liu, Simonyan, Yang, DARTS, ICLR 2019, approximation with xi = 0."
    family = "Gradient of alpha"
    Options = DartsOptions
    capturable = True

    def edge_weights(self) -> Tables:
        """The continuous relaxation: softmax over the operations of each edge."""
        return self.relaxation(self.tables)
