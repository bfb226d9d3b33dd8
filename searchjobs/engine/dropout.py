"""Dropout that draws from a stream of the search, alike however many processes share
a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from .shared_norm import share_of_batch


def drop(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Set a ``share`` (0 to 1) of the elements of x (B, ...) to zero, and scale the
    rest so that the mean stays.

    The mask is drawn for the whole batch; a process takes the rows that it has.
    """
    first, end, size = share_of_batch(len(x))
    drawn = torch.rand(size, *x.shape[1:], generator=generator, device=x.device)
    return x * ((drawn[first:end] >= share).to(x.dtype) / (1 - share))
