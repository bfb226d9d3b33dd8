"""Accuracy of supernet and derived cell on a fixed probe of V.

The probe's ids never change and are never pruned, so the curve shows the model
and not the data.  Evaluation uses the test transform.  Mixture and cell are both
normalised by the statistics of the evaluation batch (methods spec 7): running
statistics are those of the mixture and would spoil the cell.  The size of that
batch is part of the figure, hence fixed here.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, Search
from ..seeding import Streams
from .statistics import batch_statistics

EVALUATION_BATCH = 256


def probe_batches(search: Search, ids: Tensor) -> list[Batch]:
    """Return the probe as near-equal batches of at most 256 images."""
    count = max(1, -(-len(ids) // EVALUATION_BATCH))
    return [search.data.batch(part) for part in ids.tensor_split(count)]


@torch.no_grad()
def supernet_accuracy(search: Search, probe: list[Batch]) -> tuple[float, float]:
    """Return mean loss and accuracy (0 to 1) of the mixture; of random architectures
    where the weights only know those (``Method.sampled_paths``)."""
    wanted = search.method.sampled_paths
    if wanted == 0:
        return _evaluate(search, probe, None)
    found = [_evaluate(search, probe, path) for path in _random_paths(search, wanted)]
    losses, accuracies = zip(*found, strict=True)
    return sum(losses) / wanted, sum(accuracies) / wanted


@torch.no_grad()
def inherited_accuracy(search: Search, probe: list[Batch], architecture: str) -> float:
    """Return the accuracy (0 to 1) of a discrete cell with the supernet's weights."""
    return _evaluate(search, probe, architecture)[1]


def _random_paths(search: Search, count: int) -> Iterator[str]:
    """Yield architectures as the method draws them, by the same noise at every epoch of
    every run of a split seed: the curve shows the model and not the draw."""
    generator = Streams(search.spec.split.seed)["evaluated paths"]
    for _ in range(count):
        yield search.method.sample(generator)


def _evaluate(
    search: Search, probe: list[Batch], architecture: str | None
) -> tuple[float, float]:
    supernet, terms = search.supernet, search.method.edge_terms()
    if architecture is None:
        weights, active = search.method.mixture(), search.space.active()
    else:
        weights = {
            name: table.to(search.device, probe[0].images.dtype)
            for name, table in search.space.discrete_weights(architecture).items()
        }
        active = {
            name: [row.nonzero().flatten().tolist() for row in table.cpu()]
            for name, table in weights.items()
        }
    loss = torch.zeros((), device=search.device)
    correct = torch.zeros((), device=search.device)
    with batch_statistics(supernet):
        for batch in probe:
            logits = supernet(batch.images, weights, active, terms)
            loss += cross_entropy(logits, batch.labels, reduction="sum")
            correct += (logits.argmax(-1) == batch.labels).sum()
    total = sum(len(batch.ids) for batch in probe)
    return loss.item() / total, correct.item() / total
