"""Batch norm while something is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of the batch inside, drop nothing; leave no trace.

    Afterwards mode and running statistics are as they were before.
    """
    was_training = network.training
    dropout = getattr(network, "skip_dropout", 0.0)
    network.skip_dropout = 0.0  # type: ignore[assignment]
    saved = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()
    try:
        yield
    finally:
        network.train(was_training)
        network.skip_dropout = dropout  # type: ignore[assignment]
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(saved[name])
