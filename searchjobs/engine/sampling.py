"""Draws that the sampling methods share: one operation a row.

Everything is drawn on the CPU from a stream that the caller names, so that a search
is the same on every device and in every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from .contracts import ActiveOperations, Space, Tables

Choice = dict[str, Tensor]
"""Per table, the column that each row takes, int64 (R,) on the CPU."""


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return Gumbel(0, 1) noise, -log of Exp(1), finite, float32 on the CPU."""
    while True:
        noise = -torch.empty(*shape).exponential_(generator=generator).log()
        if noise.isfinite().all():
            return noise


def straight_through(soft: Tensor, chosen: Tensor) -> Tensor:
    """Return one-hot rows (R, O): a one, exactly, at ``chosen`` (R,), in value, and
    the gradient of ``soft`` (R, O).  Jang et al., Gumbel-Softmax, ICLR 2017, 2.2."""
    # soft - soft is exactly zero, while 1 - soft + soft need not be one
    return one_hot(chosen, soft.shape[-1]).to(soft) + (soft - soft.detach())


def uniform(
    space: Space, generator: torch.Generator, *, unless_all: str | None = None
) -> Choice:
    """Draw evenly from what each row may take.

    With ``unless_all`` the rows into a node are drawn anew as long as all of them are
    that operation, except where they may take nothing else.
    """
    return {
        name: _uniform_table(space, name, generator, unless_all)
        for name in space.tables
    }


def _uniform_table(
    space: Space, name: str, generator: torch.Generator, unless_all: str | None
) -> Tensor:
    allowed, columns = space.mask(name), space.columns(name)

    def draw() -> Tensor:
        return torch.multinomial(allowed.double(), 1, generator=generator).squeeze(1)

    drawn = draw()
    if unless_all not in columns:
        return drawn
    unwanted = columns.index(unless_all)
    others = allowed.clone()
    others[:, unwanted] = False
    targets = torch.tensor(space.targets(name))
    nodes = [targets == target for target in targets.unique()]
    nodes = [rows for rows in nodes if others[rows].any()]
    while again := [rows for rows in nodes if (drawn[rows] == unwanted).all()]:
        drawn = torch.where(torch.stack(again).any(0), draw(), drawn)
    return drawn


def categorical(
    space: Space, probabilities: Tables, generator: torch.Generator
) -> Choice:
    """Draw every row (R, O) by its own probabilities; waits for the device."""
    return {
        name: torch.multinomial(
            table.cpu() * space.mask(name), 1, generator=generator
        ).squeeze(1)
        for name, table in probabilities.items()
    }


def likeliest(space: Space, probabilities: Tables, count: int) -> list[Choice]:
    """Return the ``count`` choices of greatest probability, the likeliest first.

    Rows are independent, so the best of all rows begin with the best of the first
    ones: only ``count`` beginnings are kept, and no space is enumerated.
    """
    score, columns = torch.zeros(1, dtype=torch.float64), torch.zeros(1, 0).long()
    for name, table in probabilities.items():
        masked = table.cpu().double() * space.mask(name)
        for row in masked.log():
            together = (score.unsqueeze(1) + row).flatten()
            # stable, so that equals come in the order of their columns
            order = together.argsort(descending=True, stable=True)[:count]
            order = order[together[order].isfinite()]
            taken = (order % len(row)).unsqueeze(1)
            columns = torch.cat((columns[order // len(row)], taken), dim=1)
            score = together[order]
    return [parted(space, whole) for whole in columns]


def parted(space: Space, columns: Tensor) -> Choice:
    """Part the columns of all rows (R,), table after table, into a choice."""
    lengths = [len(rows) for rows in space.tables.values()]
    return dict(zip(space.tables, columns.split(lengths), strict=True))


def one_hots(space: Space, choice: Choice, like: Tensor) -> Tables:
    """Return edge weights (R, O) that select a choice, of ``like``'s kind and place;
    they are sent to the device without waiting for it."""
    return {
        name: one_hot(columns, len(space.columns(name))).to(
            like.device, like.dtype, non_blocking=True
        )
        for name, columns in choice.items()
    }


def running(choice: Mapping[str, Tensor]) -> ActiveOperations:
    """Return the operations that a choice runs: one a row."""
    return {
        name: [(column,) for column in columns.tolist()]
        for name, columns in choice.items()
    }


def encoded(space: Space, choice: Mapping[str, Tensor]) -> str:
    """Write a choice as the space's own string."""
    return space.encode(
        {
            name: [space.columns(name)[column] for column in columns.tolist()]
            for name, columns in choice.items()
        }
    )
