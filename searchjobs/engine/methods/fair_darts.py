"""FairDARTS: each operation has a gate of its own, pushed towards open or shut.

X. Chu, T. Zhou, B. Zhang, J. Li, Fair DARTS: Eliminating Unfair Advantages in
Differentiable Architecture Search, ECCV 2020: gates sigmoid(alpha) in the place of the
softmax, the zero-one loss (squared and absolute) beside that of the validation, and the
threshold below which operations are dropped.

    edge output = sum over o of sigmoid(alpha[e, o]) o(x)
    loss of alpha = L_val - w01 * mean of (sigmoid(alpha) - 0.5)^2

The space of the paper has no ``none``; an edge falls away where no gate reaches the
threshold.  ``none`` says the same here: it brings nothing, so no loss trains its gate,
and arg max reads the threshold in its place: it takes ``none`` exactly where no other
gate is above.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, SetName, Space, Tables, methods, spaces
from ..problems import Problem
from ..registry import Options, setting
from ._alternating import Alternating

if TYPE_CHECKING:
    from ..spec import SearchSpec


class FairDartsOptions(Options):
    name: Literal["fair-darts"] = "fair-darts"
    zero_one: Literal["squared", "absolute"] = setting(
        "squared",
        "Zero-one loss",
        "Distance of a gate from one half, which is to grow: squared (the paper's "
        "choice) pushes little near one half, absolute pushes alike everywhere.",
    )
    zero_one_weight: float = setting(
        10.0,
        "Weight of the zero-one loss",
        "How strongly gates are pushed towards 0 or 1 beside the validation loss.",
        ge=0,
        le=10_000,
    )
    threshold: float = setting(
        0.85,
        "Threshold of a gate",
        "An edge none of whose gates is above it gets the operation none. Gates begin "
        "at 0.5 and few reach 0.85 in a short search; 0: the largest gate always "
        "counts.",
        ge=0,
        lt=1,
    )


@methods.register
class FairDarts(Alternating):
    name = "fair-darts"
    label = "FairDARTS"
    summary = (
        "A sigmoid for each operation in the place of the softmax, so that operations "
        "do not compete, and a loss that drives each gate to 0 or 1."
    )
    source = "Chu, Zhou, Zhang, Li, Fair DARTS, ECCV 2020, sigmoid and zero-one loss."
    family = "Gradient of alpha, held against collapse"
    strength_label = "sigmoid(alpha)"
    Options = FairDartsOptions
    options: FairDartsOptions
    defaults = {
        "training": {
            "recipe": "smooth",
            "epochs": 50,
            "batch_size": 128,
            "weight_lr": 0.005,
            "alpha_lr": 3e-3,
            "alpha_beta1": 0.9,
        }
    }
    capturable = True

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        space = spaces.get(spec.space.name)(spec.space)
        if spec.method.threshold > 0 and not _falls_to_nothing(space):
            return [
                Problem(
                    "method.threshold",
                    "An edge below the threshold gets an operation that brings "
                    "nothing, and there is none in the space; set the threshold to 0, "
                    "or leave fewer operations out.",
                )
            ]
        return []

    def initial_tables(self) -> dict[str, Tensor]:
        """Zero: every gate half open."""
        return {
            name: torch.zeros_like(table).requires_grad_()
            for name, table in super().initial_tables().items()
        }

    def relaxation(self, tables: Tables) -> Tables:
        """A sigmoid for each operation; 0 where a row may not take it."""
        gates = {}
        for name, table in tables.items():
            gates[name] = table.sigmoid()
            allowed = self.search.space.allowed(name, table.device)
            if allowed is not None:
                gates[name] = gates[name] * allowed
        return gates

    def preferences(self, strengths: Tables) -> Tables:
        """The gates, and the threshold in the place of that of ``none``, unless
        ``none`` may not be chosen."""
        found = {}
        for name, table in strengths.items():
            barred = table.isneginf()
            bar = torch.full_like(table, self.options.threshold)
            found[name] = torch.where(
                _silent(self.search.space, name).to(table.device) & ~barred, bar, table
            )
        return found

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """L_val and the weighted zero-one loss."""
        gates = self.relaxation(self.tables)
        logits = self.forward(batch.images, gates)
        spread = zero_one_loss(self._trained(gates), self.options.zero_one)
        loss = cross_entropy(logits, batch.labels)
        return loss + self.options.zero_one_weight * spread, logits

    def _trained(self, gates: Tables) -> Tensor:
        """Return the gates (n,) of what a row may take, ``none`` apart."""
        return torch.cat([gates[n].flatten()[at] for n, at in self._places.items()])

    def build(self) -> None:
        super().build()
        #: where they lie in the flattened tables
        self._places = {name: self._places_in(name) for name in self.tables}

    def _places_in(self, name: str) -> Tensor:
        space, table = self.search.space, self.tables[name]
        trained = (~_silent(space, name)).expand(table.shape)
        if (allowed := space.allowed(name)) is not None:
            trained = trained & allowed
        return trained.flatten().nonzero().flatten().to(table.device)


def _silent(space: Space, table: str) -> Tensor:
    """Return which columns (O,) bring nothing, on the CPU."""
    return torch.tensor([column in space.silent for column in space.columns(table)])


def _falls_to_nothing(space: Space) -> bool:
    """Say whether every row may take an operation that brings nothing."""
    for name in space.tables:
        silent, allowed = _silent(space, name), space.allowed(name)
        takes = silent if allowed is None else (silent & allowed).any(-1).all()
        if not takes.any():
            return False
    return True


def zero_one_loss(gates: Tensor, kind: str) -> Tensor:
    """Return minus the mean distance of gates, of any shape, from one half, a
    scalar: lowest where every gate is 0 or 1."""
    distance = gates - 0.5
    return -(distance.square() if kind == "squared" else distance.abs()).mean()
