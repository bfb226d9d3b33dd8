"""What an architecture table tells: genotype, magnitudes, entropy, margins.

Methods spec sections 5.4, 7 and 15.  Tables are (R, O) on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..contracts import Space, Tables, allowed_only

#: The operation that a second genotype leaves out (methods spec 15.1).
NONE = "none"
#: The identity, whose number tells a collapse (DARTS+).
SKIP = "skip_connect"


def genotype(
    space: Space,
    strengths: Tables,
    *,
    without: str | None = None,
    prefer: Callable[[Tables], Tables] | None = None,
) -> str:
    """Return the arg max of every row as the space's own string, leaving out the
    operation named ``without``; ``prefer`` is ``Method.preferences``."""
    masked = {}
    for name, table in strengths.items():
        columns = space.columns(name)
        masked[name] = allowed_only(table, space.allowed(name)).clone()
        if without in columns:
            masked[name][:, columns.index(without)] = -torch.inf
    preferred = prefer(masked) if prefer else masked
    return space.encode(
        {
            name: [space.columns(name)[i] for i in table.argmax(-1).tolist()]
            for name, table in preferred.items()
        }
    )


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
