"""Score architectures by the weights of the supernet, each on its own batch of V.

For methods and derivations that compare architectures; what is only shown stands in
``diagnostics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel
from torch import Tensor

from .diagnostics.accuracy import inherited_accuracy
from .schedule import batch_count, batches, samples_of

if TYPE_CHECKING:
    from .contracts import Batch, Search


class Scores(BaseModel):
    """Accuracies, 0 to 1, in the order of the architectures."""

    accuracies: list[float]


def scores(
    search: Search, architectures: Sequence[str], parts: Sequence[Batch]
) -> list[float]:
    """Return the accuracy of each architecture on the batch of its place.

    Batch norm takes the statistics of the batch, and nothing changes.  The leading
    process measures for all.
    """

    def measure() -> Scores:
        pairs = zip(architectures, parts, strict=True)
        found = [inherited_accuracy(search, [part], each) for each, part in pairs]
        return Scores(accuracies=found)

    return search.parallel.by_leader(measure, Scores).accuracies


def shuffled_parts(
    search: Search, size: int, generator: torch.Generator
) -> list[Tensor]:
    """Return ids of what remains of V, shuffled and cut into batches of ``size``."""
    ids = search.selection.sets["V"]
    order = torch.randperm(len(ids), generator=generator)
    return batches(ids[order.to(ids.device)], size)


def samples_scored(total: int, count: int, size: int) -> int:
    """Return the samples that ``count`` architectures are scored on, each on the next
    batch of ``size``, if V holds ``total``."""
    return samples_of(total, batch_count(total, size), count, size)
