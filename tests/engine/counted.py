"""Multiply-adds that PyTorch counts itself, whatever our formulas say."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def counted(work: Callable[[], object]) -> float:
    """Return the multiply-adds of convolutions and linear layers in a call, the biases
    of linear layers left out."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2
