"""A search that only selects: real parts, and errors that the test chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from searchjobs.engine.contracts import Batch, SetName
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images
from searchjobs.engine.events import SamplesPruned
from searchjobs.engine.schedule import batches
from searchjobs.engine.seeding import Streams
from searchjobs.engine.selection.pruning import Pruning
from searchjobs.engine.spec import SearchSpec

Errors = Callable[[Tensor, int], Tensor]
"""Errors (k,) of samples given their ids (k,) and the epoch."""


def spec_of(epochs: int = 10, batch_size: int = 64, **selection: Any) -> SearchSpec:
    return SearchSpec.model_validate(
        {
            "selection": {"name": "bdp", **selection},
            "training": {"epochs": epochs, "batch_size": batch_size},
        }
    )


def pruning(
    labels: Tensor,
    *,
    sets: dict[SetName, Tensor] | None = None,
    epochs: int = 10,
    seed: int = 1,
    **selection: Any,
) -> Pruning:
    """A BDP selection on images that nobody looks at; T and V are the halves."""
    count, classes = len(labels), int(labels.max()) + 1
    spec = spec_of(epochs, **selection)
    pixels = torch.zeros(count, 3, 1, 1, dtype=torch.uint8)
    names = tuple(str(number) for number in range(classes))
    images = Images(pixels, labels, names, (0.0,) * 3, (1.0,) * 3, "x")
    device = torch.device("cpu")
    search: Any = SimpleNamespace(
        spec=spec,
        device=device,
        streams=Streams(seed, device),
        data=ResidentImages(images, device),
        classes=classes,
        epoch=0,
    )
    if sets is None:
        ids = torch.arange(count)
        sets = {"T": ids[: count // 2], "V": ids[count // 2 :]}
    return Pruning(spec.selection, search, sets)


def logits_for(errors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Logits (B, M) whose sample errors are the given ones, 0 < error < sqrt(2).

    All that the true class lacks goes to one other class, so the error is
    sqrt(2) (1 - p_y).
    """
    lacking = errors.double() / math.sqrt(2)
    logits = torch.full((len(errors), classes), -100.0, dtype=torch.float64)
    logits.scatter_(1, ((labels + 1) % classes)[:, None], lacking.log()[:, None])
    logits.scatter_(1, labels[:, None], torch.log1p(-lacking)[:, None])
    return logits


def one_epoch(selection: Pruning, epoch: int, errors: Errors, *names: SetName) -> None:
    """Show every sample of the sets once, in batches, in a new order."""
    for name in names or ("T", "V"):
        generator = selection.search.streams[f"order/{name}"]
        for ids in batches(selection.epoch_ids(name, generator), 64):
            labels = selection.search.data.labels[ids]
            batch = Batch(torch.empty(0), labels, ids)
            logits = logits_for(errors(ids, epoch), labels, selection.search.classes)
            selection.observe(name, batch, logits)


def run(
    selection: Pruning, epochs: int, errors: Errors, *, first: int = 1
) -> list[SamplesPruned]:
    """Run whole epochs and return all pruning events."""
    events = []
    for epoch in range(first, epochs + 1):
        one_epoch(selection, epoch, errors)
        events += selection.end_epoch(epoch)
    return events  # type: ignore[return-value]


def noisy(seed: int = 7) -> Errors:
    """Errors drawn anew for each sample and epoch, whatever the order of visits."""
    cache: dict[int, np.ndarray] = {}

    def errors(ids: Tensor, epoch: int) -> Tensor:
        if epoch not in cache:
            generator = np.random.default_rng(seed + epoch)
            cache[epoch] = generator.uniform(0.01, 1.3, 100_000)
        return torch.from_numpy(cache[epoch][ids.numpy()])

    return errors


def with_variance(scores: Tensor, middle: float = 0.7) -> Errors:
    """Errors that give each sample its VoE in a window of two epochs."""

    def errors(ids: Tensor, epoch: int) -> Tensor:
        return middle + (1 if epoch % 2 else -1) * scores[ids].sqrt()

    return errors


@pytest.fixture
def two_classes() -> Tensor:
    """Labels of 2,000 samples, 0 and 1 in turn, so both halves are balanced."""
    return torch.arange(2000) % 2
