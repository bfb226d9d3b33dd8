"""NAS-Bench-201: five operations on every edge of a cell of four or five nodes.

Four nodes have six edges: 15,625 cells, all trained in a table.  Five have ten edges:
9,765,625 cells, which nobody has trained; they are a space of their own, because they
share neither strings nor a table with the others.
Sources: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020 (NATS-Bench topology space);
B. Moser et al., Less is More, arXiv 2203.06905, whose searches set max_nodes = 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import field_validator

from ...contracts import Space, Tables, spaces
from ...registry import Options as AnyOptions
from ...registry import setting
from . import counting, encoding
from .encoding import CONVOLUTIONS, FIVE, FOUR, OPERATIONS, TABLE, Wiring
from .isomorphism import canonical
from .network import DiscreteNetwork
from .supernet import NasBench201Supernet

Operation = Literal[
    "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"
]


class CellOptions(AnyOptions):
    """What both spaces can be told."""

    name: str
    channels: int = setting(
        16,
        "Channels C",
        "Channels of the first stage; the next two have twice and four times as many.",
        unit="channels",
        ge=1,
        le=256,
    )
    cells: int = setting(
        5, "Cells per stage N", "Three stages of N cells.", unit="cells", ge=1, le=20
    )
    without: tuple[Operation, ...] = setting(
        (),
        "Operations left out",
        "Operations that no edge may take, such as none (GAEA's paper) or "
        "skip_connect; at least two must remain.",
    )
    affine: bool = setting(
        False, "Affine batch norm", "Learn scale and shift in the cells' batch norm."
    )
    track_running_stats: bool = setting(
        False,
        "Running statistics",
        "Keep running batch-norm statistics in the cells; off, the statistics of the "
        "batch are used in evaluation too. Changes results: compare like with like.",
    )

    @field_validator("without")
    @classmethod
    def _leaves_a_choice(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        left = [name for name in OPERATIONS if name not in given]
        if len(left) < 2:
            raise ValueError(
                f"Operations left out leave {' and '.join(left) or 'nothing'} to "
                "choose from; leave out fewer, at least two must remain."
            )
        return given


class CellSpace(Space):
    """All cells of one wiring; a subclass names it."""

    wiring: ClassVar[Wiring]
    Options: ClassVar[type[AnyOptions]]
    options: CellOptions

    def __init__(self, options: AnyOptions) -> None:
        super().__init__(options)
        if self.options.without:
            row = torch.tensor(
                [name not in self.options.without for name in OPERATIONS]
            )
            self.restrict(TABLE, row.expand(len(self.wiring.rows), -1))

    @property
    def operations(self) -> tuple[str, ...]:
        return OPERATIONS

    def targets(self, table: str) -> tuple[int, ...]:
        return self.wiring.targets

    @property
    def parameter_free(self) -> frozenset[str]:
        return frozenset(OPERATIONS) - frozenset(CONVOLUTIONS)

    @property
    def identity(self) -> str:
        return "skip_connect"

    @property
    def silent(self) -> frozenset[str]:
        return frozenset({"none"})

    def supernet(
        self, classes: int, generator: torch.Generator, *, partial: int = 1
    ) -> NasBench201Supernet:
        return NasBench201Supernet(
            classes,
            self.options.channels,
            self.options.cells,
            generator,
            affine=self.options.affine,
            track_running_stats=self.options.track_running_stats,
            partial=partial,
            wiring=self.wiring,
        )

    def network(
        self,
        architecture: str,
        classes: int,
        channels: int = 16,
        cells: int = 5,
        generator: torch.Generator | None = None,
    ) -> DiscreteNetwork:
        """Build the evaluation network of an encoded architecture.

        Without a generator its weights are those of seed 0.
        """
        generator = generator or torch.Generator().manual_seed(0)
        return DiscreteNetwork(architecture, classes, channels, cells, generator)

    def encode(self, choice: Mapping[str, Sequence[str]]) -> str:
        return self.wiring.encode(choice)

    def decode(self, architecture: str) -> dict[str, tuple[str, ...]]:
        return {TABLE: self.wiring.decode(architecture)}

    def connected(self, architecture: str) -> bool:
        return encoding.connected(architecture)

    def describe(self, architecture: str) -> dict[str, Any]:
        self.wiring.decode(architecture)
        return {
            "index": None,
            "parameters": counting.parameters(architecture),
            "flops": counting.flops(architecture),
            "canonical": canonical(architecture),
        }

    def multiply_adds(
        self, classes: int, side: int, *, partial: int = 1, drawn: bool = False
    ) -> float:
        rows = []
        for allowed in self.mask(TABLE).tolist():
            names = [name for name, one in zip(OPERATIONS, allowed, strict=True) if one]
            rows.append(dict.fromkeys(names, 1 / len(names) if drawn else 1.0))
        options = self.options
        return counting.multiply_adds(
            rows, options.channels, options.cells, classes, side, partial=partial
        )

    def discrete_weights(self, architecture: str) -> Tables:
        """Return ``{"cell": (R, 5)}`` with a one for each chosen operation."""
        weights = torch.zeros(len(self.wiring.rows), len(OPERATIONS))
        for row, name in enumerate(self.wiring.decode(architecture)):
            weights[row, OPERATIONS.index(name)] = 1
        return {TABLE: weights}


class NasBench201Options(CellOptions):
    name: Literal["nas-bench-201"] = "nas-bench-201"


@spaces.register
class NasBench201(CellSpace):
    name = "nas-bench-201"
    label = "NAS-Bench-201"
    summary = "Four nodes, six edges, five operations: 15,625 cells, all in a table."
    source = "X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020."
    Options = NasBench201Options

    wiring = FOUR
    tables = {TABLE: FOUR.rows}

    def describe(self, architecture: str) -> dict[str, Any]:
        index = encoding.index_of(architecture)
        return {**super().describe(architecture), "index": index}


class NasBench201FiveOptions(CellOptions):
    name: Literal["nas-bench-201-five"] = "nas-bench-201-five"


@spaces.register
class NasBench201Five(CellSpace):
    name = "nas-bench-201-five"
    label = "NAS-Bench-201, five nodes"
    summary = (
        "Five nodes, ten edges, the same operations: 9,765,625 cells, which are in no "
        "table and are trained from scratch."
    )
    source = "B. Moser et al., Less is More, 2022, its code: max_nodes = 5."
    Options = NasBench201FiveOptions

    wiring = FIVE
    tables = {TABLE: FIVE.rows}
    why_no_table = "the benchmark table holds cells of four nodes"
