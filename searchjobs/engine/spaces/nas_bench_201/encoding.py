"""Write a cell as NAS-Bench-201's string and as its official index, and back.

String: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, one group a node, the number names
the source node.  A cell is also a tuple of operation names in the order of its rows.
Source: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020, and its public code, whose
``max_nodes`` is the number of nodes.  Only cells of four nodes have an index.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

OPERATIONS = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)
CONVOLUTIONS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""The operations that hold weights, with the side of their kernel."""
TABLE = "cell"
_SHUFFLE_SEED = 88
_WORDS = ("no", "one", "two", "three", "four", "five")


@dataclass(frozen=True)
class Wiring:
    """How a cell is wired: node 0 is the input, the last one the output, and into every
    node leads one edge from each node before it: v (v - 1) / 2 edges of v nodes."""

    nodes: int

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(target, source) of each row: (1, 0), (2, 0), (2, 1), (3, 0) and so on."""
        return tuple(
            (target, source)
            for target in range(1, self.nodes)
            for source in range(target)
        )

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """The names of the rows, target first."""
        return tuple(f"{target}←{source}" for target, source in self.edges)

    @property
    def targets(self) -> tuple[int, ...]:
        """The node that each row leads into."""
        return tuple(target for target, _ in self.edges)

    @property
    def leaving(self) -> tuple[tuple[int, ...], ...]:
        """The rows that leave each node but the output, in order."""
        return tuple(
            tuple(row for row, (_, source) in enumerate(self.edges) if source == node)
            for node in range(self.nodes - 1)
        )

    @property
    def label(self) -> str:
        return f"NAS-Bench-201 cell of {_WORDS[self.nodes]} nodes"

    def encode(self, choice: Mapping[str, Sequence[str]]) -> str:
        """Return the string of the operation names in ``choice["cell"]``, by row.

        Raises ValueError for a wrong number of names or an unknown name.
        """
        if set(choice) != {TABLE}:
            raise ValueError(
                f"A {self.label} has one table named {TABLE!r}; "
                f"you gave {', '.join(map(repr, choice)) or 'none'}."
            )
        names = tuple(choice[TABLE])
        if len(names) != len(self.edges):
            raise ValueError(
                f"A {self.label} has {len(self.edges)} operations, one for each of "
                f"{', '.join(self.rows)}; you gave {len(names)}."
            )
        for name in names:
            _check_operation(name)
        groups = [
            "".join(
                f"{name}~{source}|"
                for name, (target, source) in zip(names, self.edges, strict=True)
                if target == node
            )
            for node in range(1, self.nodes)
        ]
        return "+".join(f"|{group}" for group in groups)

    def decode(self, architecture: str) -> tuple[str, ...]:
        """Return the operation names of a string, in the order of the rows.

        Raises ValueError, in one sentence, for anything but a well-formed string.
        """
        groups = architecture.split("+")
        if len(groups) != self.nodes - 1:
            count = _WORDS[self.nodes - 1]
            raise self._malformed(
                architecture, f"it has not {count} groups joined by '+'"
            )
        names: list[str] = []
        for node, group in enumerate(groups, start=1):
            terms = group.split("|")
            if len(terms) != node + 2 or terms[0] or terms[-1]:
                raise self._malformed(
                    architecture,
                    f"group {node} has not {node} term{'s' if node > 1 else ''} "
                    "between '|' signs",
                )
            for source, term in enumerate(terms[1:-1]):
                name, separator, number = term.partition("~")
                if not separator or number != str(source):
                    raise self._malformed(
                        architecture, f"{term!r} does not end in '~{source}'"
                    )
                _check_operation(name)
                names.append(name)
        return tuple(names)

    def _malformed(self, architecture: str, why: str) -> ValueError:
        shown = architecture if len(architecture) <= 100 else architecture[:97] + "..."
        example = self.encode(
            {TABLE: [OPERATIONS[(row + 3) % 5] for row in range(len(self.edges))]}
        )
        return ValueError(
            f"{shown!r} is not a {self.label}: {why}; write it like {example}."
        )


FOUR = Wiring(4)
"""The cell of the benchmark: six edges."""
FIVE = Wiring(5)
"""The cell that B. Moser et al., Less is More, search: ten edges."""
CELLS = len(OPERATIONS) ** len(FOUR.edges)


def read(architecture: str) -> tuple[Wiring, tuple[str, ...]]:
    """Return how the cell of a string is wired, and its operations by row.

    Raises ValueError for anything but a cell of four or five nodes.
    """
    wiring = FIVE if architecture.count("+") == FIVE.nodes - 2 else FOUR
    return wiring, wiring.decode(architecture)


def index_of(architecture: str) -> int:
    """Return the official index (0 to 15,624) of a string."""
    return _positions()[_rank(FOUR.decode(architecture))]


def from_index(index: int) -> str:
    """Return the string of an official index (0 to 15,624)."""
    if not 0 <= index < CELLS:
        raise ValueError(
            f"A NAS-Bench-201 index lies between 0 and {CELLS - 1}; you gave {index}."
        )
    return all_architectures()[index]


@cache
def all_architectures() -> tuple[str, ...]:
    """Return all 15,625 strings in the order of the official index.

    The benchmark enumerated the cells, first row slowest, and shuffled the list
    with Python's generator seeded by 88; the position is the index.
    """
    strings = [
        FOUR.encode({TABLE: names})
        for names in itertools.product(OPERATIONS, repeat=len(FOUR.edges))
    ]
    return tuple(strings[rank] for rank in _order())


@cache
def _order() -> tuple[int, ...]:
    order = list(range(CELLS))
    random.Random(_SHUFFLE_SEED).shuffle(order)
    return tuple(order)


@cache
def _positions() -> dict[int, int]:
    return {rank: index for index, rank in enumerate(_order())}


def _rank(names: Sequence[str]) -> int:
    """Return the place in the enumeration before the shuffle."""
    rank = 0
    for name in names:
        rank = rank * len(OPERATIONS) + OPERATIONS.index(name)
    return rank


def connected(architecture: str) -> bool:
    """Say whether a path without ``none`` leads from the input to the output."""
    wiring, names = read(architecture)
    reached = {0}
    for name, (target, source) in zip(names, wiring.edges, strict=True):
        if name != "none" and source in reached:
            reached.add(target)
    return wiring.nodes - 1 in reached


def _check_operation(name: str) -> None:
    if name not in OPERATIONS:
        raise ValueError(
            f"NAS-Bench-201 has no operation named {name!r}; "
            f"choose among {', '.join(OPERATIONS)}."
        )
