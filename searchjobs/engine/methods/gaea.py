"""GAEA: alpha lives on the simplex and moves by exponentiated gradient.

L. Li, M. Khodak, M.-F. Balcan, A. Talwalkar, Geometry-Aware Gradient Algorithms for
Neural Architecture Search, ICLR 2021; section 2 (bilevel objective), section 3 and
Algorithm 1 (mirror descent on a product of simplices).

A row of alpha is the mixture of its edge itself, without a softmax.  A step multiplies
it by exp(-eta g) and divides it by its sum, which is mirror descent for the entropy:
small weights fall fast, so the mixture becomes sparse.  The weights of the supernet
learn as in DARTS.

GAEA PC-DARTS adds partial channels and weights of the edges, which lie
on a simplex too: that of the edges that enter one node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..contracts import Search, Tables, methods
from ..registry import Options as AnyOptions
from ..registry import setting
from ._edges import EdgeWeighted

#: Below this no weight falls, or it could never rise again (the authors' code).
FLOOR = 1e-5


class SimplexOptions(AnyOptions):
    """What both objectives of the paper can be told."""

    eta: float = setting(
        0.1,
        "Step size eta",
        "Of the exponentiated gradient, for operations and edges. It takes the place "
        "of the alpha learning rate; an exchange of learning rates leaves it alone.",
        gt=0,
        le=10,
    )
    partial: int = setting(
        1,
        "Partial channels K",
        "Operations see one channel in K of each edge (GAEA PC-DARTS: 4); 1: all.",
        ge=1,
        le=64,
    )
    edge_weights: bool = setting(
        False,
        "Weights of the edges",
        "Learn weights of the edges too; those that enter one node sum up to one (GAEA "
        "PC-DARTS).",
    )


class GaeaOptions(SimplexOptions):
    name: Literal["gaea"] = "gaea"


class ExponentiatedGradient(torch.optim.Optimizer):
    """Steps on the simplex, along the last dimension of each tensor.

    A number that is zero stays zero: an operation that is left out.
    """

    def __init__(self, tensors: Iterable[Tensor], eta: float) -> None:
        super().__init__(list(tensors), {"lr": eta})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """a <- a exp(-eta g), then not below the floor, then divided by its sum."""
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    moved = tensor * torch.exp(-group["lr"] * tensor.grad)
                    moved = moved.clamp_min(FLOOR).where(tensor > 0, 0)
                    tensor.copy_(moved / moved.sum(-1, keepdim=True))


@methods.register
class Gaea(EdgeWeighted):
    name = "gaea"
    family = "Gradient of alpha"
    label = "GAEA, bilevel"
    summary = (
        "Alpha on the simplex, moved by exponentiated gradient; the paper leaves none "
        "out of the space."
    )
    source = "Li et al., Geometry-Aware Gradient Algorithms for NAS, ICLR 2021, Alg. 1."
    Options: ClassVar[type[SimplexOptions]] = GaeaOptions
    options: SimplexOptions
    strength_label = "alpha, no softmax"
    capturable = True
    defaults = {"training": {"recipe": "gaea"}, "space": {"without": ["none"]}}

    def first_edges(self, search: Search) -> Callable[[int], Tensor]:
        """A simplex of n corners begins in its middle."""
        return lambda count: torch.full((count,), 1 / count)

    @property
    def weighs_edges(self) -> bool:
        return self.options.edge_weights

    def initial_tables(self) -> dict[str, Tensor]:
        """Return the same weight for every operation that a row may take."""
        space, tables = self.search.space, {}
        for name, rows in space.tables.items():
            allowed = space.allowed(name)
            if allowed is None:
                allowed = torch.ones(len(rows), len(space.columns(name)))
            table = allowed / allowed.sum(-1, keepdim=True)
            moved = table.to(self.search.device, self.search.spec.compute.dtype)
            tables[name] = moved.requires_grad_()
        return tables

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        return ExponentiatedGradient(self.alpha_leaves(), self.options.eta)

    def relaxation(self, tables: Tables) -> Tables:
        """Return the tables: they are weights.  What a derivation or a stage has taken
        from a row counts as zero, and the others share its weight."""
        return {name: self._kept(name, table) for name, table in tables.items()}

    def _kept(self, name: str, table: Tensor) -> Tensor:
        allowed = self.search.space.allowed(name, table.device)
        if allowed is None:
            return table
        kept = table.where(allowed, 0)
        return kept / kept.detach().sum(-1, keepdim=True)

    def set_rates(self, epoch: int, epochs: int | None = None) -> None:
        """Set the rate of the weights alone: eta stays what it is."""
        self.weights.start_epoch(epoch, epochs)
