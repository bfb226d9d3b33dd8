"""Parameters of the edges themselves, and supernets of partial channels.

Y. Xu et al., PC-DARTS, ICLR 2020; section 3.3 (edge normalisation).  Methods that
weigh the edges of a cell against each other, beside the operations of each, share this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..contracts import Search, Tables
from ..problems import Problem

if TYPE_CHECKING:
    from ..spec import SearchSpec


class EdgeParameters:
    """A number for each edge, kept as one vector for each node that edges enter.

    So what a node's edges share, softmax or a sum of one, is that of a vector.

    Args:
        search: gives the tables and the nodes that their rows lead into.
        first: makes the vector (n,) of a node with n entering edges.
    """

    def __init__(self, search: Search, first: Callable[[int], Tensor]) -> None:
        self._vectors: dict[str, list[Tensor]] = {}
        self._places: dict[str, Tensor] = {}
        for name in search.space.tables:
            entering: dict[int, list[int]] = {}
            for row, node in enumerate(search.space.targets(name)):
                entering.setdefault(node, []).append(row)
            rows = [row for members in entering.values() for row in members]
            self._places[name] = torch.tensor(rows).argsort().to(search.device)
            self._vectors[name] = [
                first(len(members))
                .to(search.device, search.spec.compute.dtype)
                .requires_grad_()
                for members in entering.values()
            ]

    def leaves(self) -> list[Tensor]:
        """Return the vectors of all nodes of all tables."""
        return [vector for vectors in self._vectors.values() for vector in vectors]

    def rows(self, weights_of: Callable[[Tensor], Tensor]) -> Tables:
        """Return the weights of the edges per table and row, (R,), differentiable;
        ``weights_of`` maps the vector of a node to weights."""
        return {
            name: torch.cat([weights_of(v) for v in vectors])[self._places[name]]
            for name, vectors in self._vectors.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            name: [vector.detach().cpu() for vector in vectors]
            for name, vectors in self._vectors.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, vectors in self._vectors.items():
                for vector, saved in zip(vectors, state[name], strict=True):
                    vector.copy_(saved)


def partial_problems(
    spec: SearchSpec, field: str, shares: Iterable[int]
) -> list[Problem]:
    """Say which of the wanted K the channels of the space cannot be parted by."""
    channels = getattr(spec.space, "channels", None)
    if channels is None:
        return []
    return [
        Problem(
            field,
            f"{channels} channels cannot be parted in {share} equal groups; choose K "
            f"among the divisors of {channels}, or channels C that {share} divides.",
        )
        for share in shares
        if channels % share
    ]
