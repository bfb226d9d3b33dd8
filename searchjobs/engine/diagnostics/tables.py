"""What an architecture table tells: genotype, magnitudes, entropy, margins.

Methods spec sections 5.4, 7 and 15.  Tables are (R, O) on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..contracts import Space, Tables, allowed_only


def genotype(space: Space, strengths: Tables, *, without: str | None = None) -> str:
    """Return the arg max of every row as the space's own string, leaving out the
    operation named ``without``."""
    choice = {}
    for name, table in strengths.items():
        columns = space.columns(name)
        masked = allowed_only(table, space.allowed(name)).clone()
        if without in columns:
            masked[:, columns.index(without)] = -torch.inf
        choice[name] = [columns[i] for i in masked.argmax(-1).tolist()]
    return space.encode(choice)


def magnitudes(space: Space, strengths: Tables) -> dict[str, float]:
    """Return m(t, o): the mean strength of each operation over all rows of all
    tables of operations (EX-/SS-DARTS, section 4.1)."""
    mean = torch.cat(
        [
            table
            for name, table in strengths.items()
            if space.columns(name) == space.operations
        ]
    ).mean(0)
    return dict(zip(space.operations, mean.tolist(), strict=True))


def entropy(strengths: Tables) -> dict[str, list[float]]:
    """Return the entropy of each row, in nats."""
    return {
        name: torch.special.entr(table.clamp_min(0)).sum(-1).tolist()
        for name, table in strengths.items()
    }


def margins(strengths: Tables) -> dict[str, list[float]]:
    """Return, per row, the greatest strength minus the second greatest."""
    result = {}
    for name, table in strengths.items():
        best = table.topk(2, dim=-1).values
        result[name] = (best[:, 0] - best[:, 1]).tolist()
    return result


def count(choice: Mapping[str, tuple[str, ...]], operation: str) -> int:
    """Count the edges that hold an operation."""
    return sum(row.count(operation) for row in choice.values())


def as_lists(tables: Tables) -> dict[str, list[list[float]]]:
    """Return the tables as nested lists, every digit kept."""
    return {name: table.tolist() for name, table in tables.items()}


def on_cpu(tables: Tables) -> dict[str, Tensor]:
    return {name: table.detach().cpu() for name, table in tables.items()}
