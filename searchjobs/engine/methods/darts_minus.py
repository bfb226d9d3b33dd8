"""DARTS-: an identity beside the operations takes from the skip what is not a choice.

X. Chu, X. Wang, B. Zhang, S. Lu, X. Wei, J. Yan, DARTS-: Robustly Stepping out of
Performance Collapse Without Indicators, ICLR 2021: the auxiliary skip connection, its
decay, and Algorithm 1.

    edge output = beta x + sum over o of softmax(alpha[e])_o o(x)

with beta falling from 1 in the first epoch towards 0; all else is first-order DARTS.
Where the skip connection of a space is the plain identity on every edge, beta x is
beta more on the skip's edge weight, the same numbers for nothing: that is how it is
computed.  Where it is not (DARTS: edges that halve the map), the auxiliary branch
would need an operation of its own, and such spaces are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch

from ..contracts import Search, SetName, Tables, methods, spaces
from ..events import MethodReport
from ..optimisation import cosine
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ._alternating import Alternating

if TYPE_CHECKING:
    from ..spec import SearchSpec


class DartsMinusOptions(AnyOptions):
    name: Literal["darts-minus"] = "darts-minus"
    beta: float = setting(
        1.0,
        "Weight of the auxiliary identity",
        "What the identity beside the operations is multiplied by in the first epoch; "
        "0 is plain DARTS.",
        ge=0,
        le=10,
    )
    decay: Literal["linear", "cosine"] = setting(
        "linear",
        "Decay of the identity",
        "How its weight falls to 0 over the search.",
    )


@methods.register
class DartsMinus(Alternating):
    name = "darts-minus"
    label = "DARTS-"
    summary = (
        "First-order DARTS with an auxiliary identity on every edge that fades out, so "
        "that the skip connection need not serve as a shortcut for the gradient."
    )
    source = "Chu et al., DARTS-, ICLR 2021, the auxiliary skip and Algorithm 1."
    family = "Gradient of alpha, held against collapse"
    Options = DartsMinusOptions
    curves = {
        "beta": "weight of the auxiliary skip beside every edge, 1 to 0",
    }
    options: DartsMinusOptions
    capturable = True

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        space = spaces.get(spec.space.name)(spec.space)
        if space.identity is None:
            return [
                Problem(
                    "method.name",
                    f"{cls.label} needs a space with an operation that is the identity "
                    f"on every edge, and {space.label} has none; choose another "
                    "method or space.",
                )
            ]
        for name in space.tables:
            allowed = space.allowed(name)
            column = space.columns(name).index(space.identity)
            if allowed is not None and not allowed[:, column].all():
                return [
                    Problem(
                        "space.without",
                        f"{cls.label} takes from {space.identity} what is not a "
                        "choice, and it is left out of the space; keep it, or choose "
                        "another method.",
                    )
                ]
        return []

    def __init__(self, options: AnyOptions, search: Search) -> None:
        #: beta of the present epoch, a number on the device
        self.beta = torch.zeros(
            (), device=search.device, dtype=search.spec.compute.dtype
        )
        super().__init__(options, search)

    def build(self) -> None:
        super().build()
        #: one for the identity, zero for the others, (O,)
        self._identity = {
            name: self.beta.new_tensor(
                [
                    float(column == self.search.space.identity)
                    for column in self.search.space.columns(name)
                ]
            )
            for name in self.tables
        }

    def start_epoch(self, epoch: int) -> bool:
        epochs = self.search.spec.training.epochs
        self.beta.fill_(auxiliary_weight(self.options, epoch, epochs))
        return super().start_epoch(epoch)

    def relaxation(self, tables: Tables) -> Tables:
        """The softmax, and beta on the identity beside it."""
        return {
            name: table + self.beta * self._identity[name]
            for name, table in super().relaxation(tables).items()
        }

    def strengths(self) -> Tables:
        """The softmax alone: the auxiliary identity is no part of the architecture."""
        with torch.no_grad():
            return super().relaxation(self.alpha())

    def mixture(self) -> Tables:
        with torch.no_grad():
            return self.relaxation(self.alpha())

    def report(self) -> MethodReport:
        return MethodReport(scalars={"beta": self.beta.item()})


def auxiliary_weight(options: DartsMinusOptions, epoch: int, epochs: int) -> float:
    """Return beta in the 1-based ``epoch`` of a search of ``epochs``: the whole weight
    at first, 0 where an epoch after the last would stand."""
    if options.decay == "cosine":
        return cosine(epoch, epochs, options.beta, 0.0)
    return options.beta * (1 - (epoch - 1) / epochs)
