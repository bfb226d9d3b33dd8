"""Parameters of the edges themselves, and supernets of partial channels.

Y. Xu et al., PC-DARTS, ICLR 2020; section 3.3 (edge normalisation).  Methods that
weigh the edges of a cell against each other, beside the operations of each, share this.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..contracts import EdgeTerms, Search, SetName, Tables
from ..events import MethodReport
from ..problems import Problem
from ..registry import Options as AnyOptions
from ._alternating import Alternating

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


class EdgeWeighted(Alternating):
    """Alternating steps with partial channels, whose edges weigh something too.

    Attributes:
        edges: the parameters of the edges; they learn with alpha.
    """

    edges: EdgeParameters

    def __init__(self, options: AnyOptions, search: Search) -> None:
        self.edges = EdgeParameters(search, self.first_edges(search))
        super().__init__(options, search)

    @abstractmethod
    def first_edges(self, search: Search) -> Callable[[int], Tensor]:
        """Return what makes the first vector (n,) of a node with n entering edges."""

    @property
    @abstractmethod
    def weighs_edges(self) -> bool:
        """Say whether edges weigh anything; where they do not, they do not learn."""

    def edge_weight(self, vector: Tensor) -> Tensor:
        """Map the vector of a node (n,) to the weights of its edges."""
        return vector

    @classmethod
    def partial_channels(cls, options: Any) -> int:
        return int(options.partial)

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        return partial_problems(spec, "method.partial", [spec.method.partial])

    def alpha_leaves(self) -> list[Tensor]:
        edges = self.edges.leaves() if self.weighs_edges else []
        return [*super().alpha_leaves(), *edges]

    def edge_terms(self) -> EdgeTerms | None:
        if not self.weighs_edges:
            return None
        return EdgeTerms(scale=self.edges.rows(self.edge_weight))

    def report(self) -> MethodReport:
        terms = self.edge_terms()
        scale: Tables = terms.scale if terms else {}
        return MethodReport(edges={name: row.tolist() for name, row in scale.items()})

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"edges": self.edges.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.edges.load_state_dict(state["edges"])
        super().load_state_dict(state)


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
