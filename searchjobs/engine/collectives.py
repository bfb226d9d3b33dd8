"""What processes tell each other: sums, rows in the order of their ranks, and what the
first of them knows.

Every call here is a meeting of all processes; each must make the same calls in the
same order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from .launcher import PartnerLostError


def sum_over_all(values: Tensor) -> Tensor:
    """Return the sum over all processes, the same bits in each; differentiable."""
    return _Sum.apply(values)


def add_up(buffer: Tensor) -> None:
    """Replace the contents of a buffer by their sum over all processes."""
    try:
        dist.all_reduce(buffer)
    except RuntimeError as error:
        raise PartnerLostError(str(error)) from error


def gather_rows(row: Tensor) -> Tensor:
    """Return the rows (n,) of all processes as (processes, n), by rank."""
    rows = row.new_empty(dist.get_world_size(), len(row))
    try:
        dist.all_gather(list(rows.unbind()), row)
    except RuntimeError as error:
        raise PartnerLostError(str(error)) from error
    return rows


def tell_all(text: str) -> str:
    """Return the text that the process of rank 0 gives, in every process."""
    content = text.encode()
    size = torch.tensor([len(content)])
    hand_out(size)
    buffer = torch.zeros(int(size), dtype=torch.uint8)
    if dist.get_rank() == 0:
        buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    hand_out(buffer)
    return buffer.numpy().tobytes().decode()


def hand_out(buffer: Tensor) -> None:
    """Replace the contents of a buffer by what it holds in the process of rank 0."""
    try:
        dist.broadcast(buffer, 0)
    except RuntimeError as error:
        raise PartnerLostError(str(error)) from error


class _Sum(Function):
    """The sum over all processes is its own gradient."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        add_up(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return sum_over_all(gradient)
