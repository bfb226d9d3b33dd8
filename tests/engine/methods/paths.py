"""Which convolutions run, and which should: those of a drawn architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from searchjobs.engine.contracts import Search
from searchjobs.engine.spaces.nas_bench_201.cell import EdgeConvolution

from ..spaces.plain_supernet import EDGES

CELLS = 3  # N=1: one a stage
SIDES = {2: 1, 3: 3}  # kernel of each operation that is a convolution

Result = TypeVar("Result")


def convolutions_run(
    search: Search, step: Callable[[], Result]
) -> tuple[dict[int, int], Result]:
    """Return how many convolutions ran, by side of the kernel, summed over the cells,
    and what the step gave."""
    counts = {1: 0, 3: 0}

    def count(module: EdgeConvolution, *_: object) -> None:
        counts[module.weight.shape[-1]] += 1

    handles = [
        module.register_forward_hook(count)
        for module in search.supernet.modules()
        if isinstance(module, EdgeConvolution)
    ]
    result = step()
    for handle in handles:
        handle.remove()
    return counts, result


def live_rows(columns: Sequence[int]) -> set[int]:
    """Return the rows from whose end the output can be reached; 0 is none."""
    reaching = {3}
    for row in reversed(range(len(EDGES))):
        target, source = EDGES[row]
        if target in reaching and columns[row] != 0:
            reaching.add(source)
    return {row for row, (target, _) in enumerate(EDGES) if target in reaching}


def wanted(columns: Sequence[int]) -> dict[int, int]:
    """Return what ``convolutions_run`` counts of one architecture."""
    counts = {1: 0, 3: 0}
    for row in live_rows(columns):
        if columns[row] in SIDES:
            counts[SIDES[columns[row]]] += CELLS
    return counts
