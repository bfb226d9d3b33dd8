"""Write a cell as NAS-Bench-201's string and as its official index, and back.

String: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, one group a node, the number names
the source node.  A cell is also a tuple of six operation names in the order of
``ROWS``.  Source: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020, and its public code.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import cache

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
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target, source) of each row of the table; node 0 is the input, 3 the output."""
ROWS = tuple(f"{target}←{source}" for target, source in EDGES)
CELLS = len(OPERATIONS) ** len(EDGES)
_SHUFFLE_SEED = 88
_EXAMPLE = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)


def encode(choice: Mapping[str, Sequence[str]]) -> str:
    """Return the string of the operation names in ``choice["cell"]``, by row.

    Raises ValueError for a wrong number of names or an unknown name.
    """
    if set(choice) != {TABLE}:
        raise ValueError(
            f"A NAS-Bench-201 cell has one table named {TABLE!r}; "
            f"you gave {', '.join(map(repr, choice)) or 'none'}."
        )
    names = tuple(choice[TABLE])
    if len(names) != len(EDGES):
        raise ValueError(
            f"A NAS-Bench-201 cell has {len(EDGES)} operations, one for each of "
            f"{', '.join(ROWS)}; you gave {len(names)}."
        )
    for name in names:
        _check_operation(name)
    nodes = [
        "".join(
            f"{name}~{source}|"
            for name, (target, source) in zip(names, EDGES, strict=True)
            if target == node
        )
        for node in (1, 2, 3)
    ]
    return "+".join(f"|{edges}" for edges in nodes)


def decode(architecture: str) -> tuple[str, ...]:
    """Return the six operation names of a string, in the order of ``ROWS``.

    Raises ValueError, in one sentence, for anything but a well-formed string.
    """
    groups = architecture.split("+")
    if len(groups) != 3:
        raise _malformed(architecture, "it has not three groups joined by '+'")
    names: list[str] = []
    for node, group in enumerate(groups, start=1):
        terms = group.split("|")
        if len(terms) != node + 2 or terms[0] or terms[-1]:
            raise _malformed(
                architecture,
                f"group {node} has not {node} term{'s' if node > 1 else ''} "
                "between '|' signs",
            )
        for source, term in enumerate(terms[1:-1]):
            name, separator, number = term.partition("~")
            if not separator or number != str(source):
                raise _malformed(architecture, f"{term!r} does not end in '~{source}'")
            _check_operation(name)
            names.append(name)
    return tuple(names)


def index_of(architecture: str) -> int:
    """Return the official index (0 to 15,624) of a string."""
    return _positions()[_rank(decode(architecture))]


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
        encode({TABLE: names})
        for names in itertools.product(OPERATIONS, repeat=len(EDGES))
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
    reached = {0}
    for name, (target, source) in zip(decode(architecture), EDGES, strict=True):
        if name != "none" and source in reached:
            reached.add(target)
    return 3 in reached


def _check_operation(name: str) -> None:
    if name not in OPERATIONS:
        raise ValueError(
            f"NAS-Bench-201 has no operation named {name!r}; "
            f"choose among {', '.join(OPERATIONS)}."
        )


def _malformed(architecture: str, why: str) -> ValueError:
    shown = architecture if len(architecture) <= 100 else architecture[:97] + "..."
    return ValueError(
        f"{shown!r} is not a NAS-Bench-201 cell: {why}; write it like {_EXAMPLE}."
    )
