"""The contract of a search space and of its supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..problems import Problem, SpecError
from ..registry import Options, Part

Tables = dict[str, Tensor]
"""A named set of architecture tables, each (R, O): one for a cell space with one
cell type, two for DARTS (normal, reduce), one row a layer for chain spaces."""
ActiveOperations = Mapping[str, Sequence[Sequence[int]]]
"""Per table and row, the operations that must run; the others count as weight 0."""


@dataclass(frozen=True)
class EdgeTerms:
    """What an edge adds beside its weighted operations; differentiable.

    Attributes:
        constant: per table (R,), a number added to every element of what the edge
            brings (GDAS: operations that were not drawn, as if they gave ones).
        scale: per table (R,), what all that the edge brings is multiplied by: its
            weighted operations and the channels that pass them by (PC-DARTS).
    """

    constant: Tables = field(default_factory=dict)
    scale: Tables = field(default_factory=dict)


class Supernet(nn.Module):
    """The weight-sharing network of a space.  Owns w and never alpha.

    Its batch norms are PyTorch's modules, or ask ``shared_norm.is_active``: a batch may
    be spread over several processes.

    Attributes:
        skip_dropout: share of the elements behind an identity that are dropped while
            it trains (P-DARTS, VP-DARTS); nothing is dropped while it is measured.
        noise: where that dropout draws from, a generator on the supernet's device.
        stem: what turns images into the first maps, alike for all architectures; two
            supernets may share it (CDARTS).
    """

    stem: nn.Module
    skip_dropout: float = 0.0
    noise: torch.Generator | None = None

    def forward(
        self,
        images: Tensor,
        edge_weights: Tables,
        active: ActiveOperations | None = None,
        terms: EdgeTerms | None = None,
    ) -> Tensor:
        """Return logits (B, M) for edge weights given per table as (R, O).

        ``active`` names the operations that must run; None runs them all.
        """
        raise NotImplementedError

    def copied_channels(
        self, narrow: Self, generator: torch.Generator
    ) -> dict[str, tuple[Tensor, ...]]:
        """Say how this supernet grows out of a narrower one (more of the channels go
        through its operations): by the name of a tensor in the state, for each of its
        first dimensions, which channel of the narrow one every channel copies, int64
        on the CPU.  Tensors of one size are not named.
        """
        raise NotImplementedError

    def use_backend(self, backend: str) -> None:
        """Choose how the forward is computed; never what is computed.

        ``eager`` is the reference; a backend that cannot run here raises
        ``SpecError`` with a sentence.
        """
        if backend != "eager":
            raise SpecError(
                [
                    Problem(
                        "compute.backend",
                        f"This search space has no {backend} backend; choose eager.",
                    )
                ]
            )

    def twice_differentiable(self) -> AbstractContextManager[None]:
        """Return a context in which the forward has second derivatives, whatever
        the backend."""
        return nullcontext()


class Space(Part, ABC):
    """A set of architectures, with its supernet and its discrete networks."""

    tables: ClassVar[Mapping[str, tuple[str, ...]]]
    """Names of the rows of each architecture table, in order."""
    why_no_table: ClassVar[str] = ""
    """Why no benchmark table holds its architectures, a clause without a full stop;
    empty: there may be a table."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._allowed: dict[str, Tensor] = {}
        self._copies: dict[tuple[str, torch.device], Tensor] = {}

    @property
    @abstractmethod
    def operations(self) -> tuple[str, ...]:
        """Names of the operations, in the order of the alpha columns."""

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of the columns of one table: the operations, except in a
        table that chooses something else (NAS-Bench-1Shot1: parents of a node)."""
        return self.operations

    def targets(self, table: str) -> tuple[int, ...]:
        """Return the node that each row of a table leads into; rows of one node are
        the edges that it sums up.  In a chain every row leads into a node of its own.
        """
        return tuple(range(len(self.tables[table])))

    def allowed(self, table: str, device: torch.device | None = None) -> Tensor | None:
        """Return which columns each row may take, bool (R, O); None: all.

        It lies on the CPU, or on ``device``, where one copy is kept: a step that made
        its own would wait for the device, and could not be recorded as a graph.

        Rows differ where a layer offers no identity (MobileNet) and after a method
        has pruned operations (P-DARTS, SGAS)."""
        allowed = self._allowed.get(table)
        if allowed is None or device is None or device == allowed.device:
            return allowed
        if (table, device) not in self._copies:
            self._copies[table, device] = allowed.to(device)
        return self._copies[table, device]

    def mask(self, table: str) -> Tensor:
        """Return which columns each row of a table may take, bool (R, O) on the CPU."""
        allowed = self.allowed(table)
        if allowed is not None:
            return allowed
        return torch.ones(len(self.tables[table]), len(self.columns(table))).bool()

    def restrict(self, table: str, allowed: Tensor) -> None:
        """Leave every row of a table only the columns that ``allowed``, bool (R, O),
        marks; a row that may take nothing raises ValueError."""
        if not allowed.any(-1).all():
            raise ValueError(f"a row of table {table} would have no operation left")
        self._allowed[table] = allowed.cpu()
        self._copies.clear()

    def active(self) -> ActiveOperations | None:
        """Return the operations that rows may take, or None if they may take all."""
        if not self._allowed:
            return None
        return {
            name: [
                range(len(self.columns(name)))
                if (allowed := self.allowed(name)) is None
                else allowed[row].nonzero().flatten().tolist()
                for row in range(len(rows))
            ]
            for name, rows in self.tables.items()
        }

    def resized(self, **sizes: int) -> Self:
        """Return this space with other options (``channels``, ``cells``) and the
        same restrictions, for a method whose stages differ in size."""
        other = type(self)(self.options.model_copy(update=sizes))
        other._allowed = dict(self._allowed)
        return other

    @property
    @abstractmethod
    def parameter_free(self) -> frozenset[str]:
        """Those of the operations that hold no weights."""

    @property
    def identity(self) -> str | None:
        """The operation that gives every edge back what comes in, unchanged; None
        where there is no such thing (DARTS: edges that halve the map)."""
        return None

    @property
    def silent(self) -> frozenset[str]:
        """Those of the operations that bring nothing (``none``): without one of them,
        every output is the same to the last bit."""
        return frozenset()

    @abstractmethod
    def supernet(
        self, classes: int, generator: torch.Generator, *, partial: int = 1
    ) -> Supernet:
        """Build a freshly initialised supernet on the CPU.

        ``partial`` is K of PC-DARTS: operations see the first C/K channels of a map,
        the rest pass them by, and the channels are shuffled afterwards.
        """

    @abstractmethod
    def network(
        self,
        architecture: str,
        classes: int,
        channels: int,
        cells: int,
        generator: torch.Generator | None = None,
    ) -> nn.Module:
        """Build the discrete network of an encoded architecture; its weights come from
        the generator, else they are those of seed 0."""

    @abstractmethod
    def encode(self, choice: Mapping[str, Sequence[str]]) -> str:
        """Write operation names, per table and row, as the space's own string."""

    @abstractmethod
    def decode(self, architecture: str) -> dict[str, tuple[str, ...]]:
        """Read the string back; a malformed one raises ValueError in a sentence."""

    @abstractmethod
    def connected(self, architecture: str) -> bool:
        """Say whether the input reaches the output."""

    @abstractmethod
    def describe(self, architecture: str) -> dict[str, Any]:
        """Return ``index``, ``parameters`` and ``flops`` (multiply-adds, CIFAR-10
        evaluation network), ``canonical`` (isomorphism class)."""

    @abstractmethod
    def multiply_adds(
        self, classes: int, side: int, *, partial: int = 1, drawn: bool = False
    ) -> float:
        """Return the multiply-adds of one image of ``side`` pixels through the
        supernet: through all operations that rows may take, or ``drawn``, through one
        a row, in the mean of even draws."""

    @abstractmethod
    def discrete_weights(self, architecture: str) -> Tables:
        """Return one-hot edge weights (R, O) that select this architecture."""


def allowed_only(table: Tensor, allowed: Tensor | None) -> Tensor:
    """Return a table (R, O) with -inf where ``Space.allowed`` says no."""
    if allowed is None:
        return table
    return table.masked_fill(~allowed.to(table.device), -torch.inf)
