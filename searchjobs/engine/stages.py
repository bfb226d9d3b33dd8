"""Searches in stages: which epochs belong to which, and what rows keep between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .contracts import Space, Tables, spaces
from .problems import Problem

if TYPE_CHECKING:
    from .spec import SearchSpec

Ranking = dict[str, list[list[int]]]
"""Per table and row, the operations that it may take, in order."""


class Stage(NamedTuple):
    """Consecutive epochs of a search; numbers and epochs count from 1.

    Attributes:
        number: which stage.
        first: its first epoch.
        last: its last epoch.
    """

    number: int
    first: int
    last: int

    @property
    def epochs(self) -> int:
        return self.last - self.first + 1


def equal_stages(epochs: int, count: int, *, after: int = 0) -> list[Stage]:
    """Divide the epochs that follow epoch ``after``, up to ``epochs``, into ``count``
    stages whose lengths differ by one at most."""
    length = epochs - after
    return [
        Stage(
            number + 1,
            after + number * length // count + 1,
            after + (number + 1) * length // count,
        )
        for number in range(count)
    ]


def stage_of(stages: Sequence[Stage], epoch: int) -> Stage | None:
    """Return the stage that an epoch lies in, None outside of all."""
    return next((s for s in stages if s.first <= epoch <= s.last), None)


def ranking(space: Space, *keys: Tables) -> Ranking:
    """Rank the operations that each row may take: the smallest of the first key (R, O)
    comes first, the next keys decide ties, the lower index those that are left."""
    return {
        table: [
            _sorted(allowed, [key[table][row].tolist() for key in keys])
            for row, allowed in enumerate(space.mask(table))
        ]
        for table in space.tables
    }


def _sorted(allowed: Tensor, keys: Sequence[Sequence[float]]) -> list[int]:
    def place(operation: int) -> tuple[float, ...]:
        return *(key[operation] for key in keys), operation

    return sorted(allowed.nonzero().flatten().tolist(), key=place)


def keep_first(ranked: Sequence[Sequence[int]], count: int, columns: int) -> Tensor:
    """Return bool (R, columns) that marks the first ``count`` operations that a
    table's rows rank."""
    kept = torch.zeros(len(ranked), columns, dtype=torch.bool)
    for row, order in enumerate(ranked):
        kept[row, list(order[:count])] = True
    return kept


def fall_problems(operations: Sequence[int], example: str) -> Iterator[Problem]:
    """Say that the numbers of operations, one a stage, do not fall as they must;
    ``example`` shows some that do."""
    falling = all(before > after for before, after in pairwise(operations))
    if not falling or operations[-1] < 2:
        yield Problem(
            "operations",
            "Operations in each stage must fall from stage to stage and leave at "
            f"least 2 to choose from in the last, like {example}.",
        )


def stage_problems(
    spec: SearchSpec, stages: Sequence[Stage], operations: Sequence[int]
) -> Iterator[Problem]:
    """Say what keeps stages, each with a warm-up of its own, from working, and whether
    the first of them has fewer ``operations`` than the space offers."""
    training = spec.training
    shortest = min(stage.epochs for stage in stages)
    if shortest <= training.warmup_epochs:
        yield Problem(
            "training.warmup_epochs",
            f"{len(stages)} stages share {training.epochs} epochs, so one has "
            f"{shortest}, and a warm-up of {training.warmup_epochs} in each leaves "
            "none to train alpha in; shorten it or search longer.",
        )
    space = spaces.get(spec.space.name)(spec.space)
    offered = max(int(space.mask(t).sum(-1).max()) for t in space.tables)
    if operations[0] < offered:
        yield Problem(
            "method.operations",
            f"The first stage searches all {offered} operations of an edge, not "
            f"{operations[0]}; begin with {offered}, or leave operations out of the "
            "search space.",
        )
