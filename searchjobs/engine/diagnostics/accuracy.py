"""Accuracy of supernet and derived cell on a fixed probe of V.

The probe's ids never change and are never pruned, so the curve shows the model
and not the data.  Evaluation uses the test transform.  Mixture and cell are both
normalised by the statistics of the evaluation batch (methods spec 7): running
statistics are those of the mixture and would spoil the cell.  The size of that
batch is part of the figure, hence fixed here.

Weights that only ever trained on single architectures are measured on some of those:
each sees its own part of the probe, so that all together cost about what the mixture
of another method does.
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
#: The least images that a drawn architecture is measured on: a training batch, whose
#: statistics the batch norms know.
PATH_IMAGES = 64


def probe_batches(search: Search, ids: Tensor) -> list[Batch]:
    """Return the probe as near-equal batches of at most 256 images."""
    count = max(1, -(-len(ids) // EVALUATION_BATCH))
    return [search.data.batch(part) for part in ids.tensor_split(count)]


def path_batches(search: Search, ids: Tensor) -> list[list[Batch]]:
    """Return, for each drawn architecture that a method is measured by, its part of the
    probe: an equal share, together all of it, and at least 64 images of it, so that
    parts of a small probe overlap."""
    count, images = search.method.sampled_paths, len(ids)
    if count == 0:
        return []
    size = max(-(-images // count), min(images, PATH_IMAGES))
    places = torch.arange(size, device=ids.device)
    return [
        probe_batches(search, ids[(places + path * images // count) % images])
        for path in range(count)
    ]


@torch.no_grad()
def supernet_accuracy(search: Search, probe: list[Batch]) -> tuple[float, float]:
    """Return mean loss and accuracy (0 to 1) of the mixture."""
    return _evaluate(search, probe, None)


@torch.no_grad()
def paths_accuracy(search: Search, parts: list[list[Batch]]) -> tuple[float, float]:
    """Return mean loss and accuracy (0 to 1) of architectures as the method draws
    them, each on its part of the probe."""
    paths = _random_paths(search, len(parts))
    found = [_evaluate(search, *each) for each in zip(parts, paths, strict=True)]
    losses, accuracies = zip(*found, strict=True)
    return sum(losses) / len(parts), sum(accuracies) / len(parts)


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
