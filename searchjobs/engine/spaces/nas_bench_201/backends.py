"""Other ways to compute the same searched cell.

``compiled`` hands the cell to ``torch.compile``.  All cells of a stage share one
graph, because their weights are arguments of it: three stages times two kinds of
half-step make six graphs.  The first steps of a new kind of search compile them for
minutes; PyTorch keeps them on disk for the next time.  A compiled graph cannot be
differentiated twice, so the Hessian of alpha stays with the eager cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ...problems import Problem, SpecError
from .cell import Plan, SearchCell, Stage

_GRAPHS = 64
RunCell = Callable[[SearchCell, Tensor, Stage, Plan], Tensor]


def eager_cell(cell: SearchCell, x: Tensor, stage: Stage, plan: Plan) -> Tensor:
    """Run a cell as it is written: the reference."""
    return cell(x, stage, plan)


@cache
def compiled_cell(device_type: str) -> RunCell:
    """Return the compiled cell.

    Raises:
        SpecError: nothing can be compiled here; the sentence says what is missing.
    """
    try:
        torch.compile(_probe)(torch.zeros(8, device=device_type))
    except Exception as error:
        # the compiler fails in as many ways as there are installations
        needed = (
            "Triton" if device_type == "cuda" else "a C++ compiler and Python's headers"
        )
        raise refused(
            f"The compiled backend needs {needed}, and compiling failed here "
            f"({type(error).__name__}); install it or choose backend eager."
        ) from error
    # a graph for each shape and kind of half-step; beyond the limit, PyTorch would
    # fall back to eager without a word
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _GRAPHS)
    return torch.compile(SearchCell.forward, dynamic=False)


def refused(sentence: str) -> SpecError:
    return SpecError([Problem("compute.backend", sentence)])


def _probe(x: Tensor) -> Tensor:
    return x.sin() + 1
