"""Pools of made-up or real images, and what their scoring returns."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from searchjobs.engine.contracts import Pool, Reduction, Scores, Snapshot, selections
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import Images, sources
from searchjobs.engine.data.sources.digits import DigitsOptions
from searchjobs.engine.sections import Augmentation
from searchjobs.engine.seeding import Streams

CPU = torch.device("cpu")


def pool_of(
    images: Images, *, ids: Tensor | None = None, keep: float = 0.5, seed: int = 1
) -> Pool:
    """A pool of all images, or of those of ``ids``."""
    found = torch.arange(len(images.labels)) if ids is None else ids
    return Pool(
        data=ResidentImages(images, CPU),
        name="T",
        ids=found,
        keep=int(keep * len(found)),
        classes=len(images.classes),
        augmentation=Augmentation(crop_padding=1, flip=False),
        streams=Streams(seed, CPU),
    )


def digits(per_class: int = 20) -> Images:
    return sources.get("digits").load(DigitsOptions(per_class=per_class))


def images_of(pixels: Tensor, labels: Tensor) -> Images:
    """Images from uint8 (n, 3, S, S)."""
    names = tuple(str(number) for number in range(int(labels.max()) + 1))
    return Images(pixels, labels, names, (0.5,) * 3, (0.25,) * 3, "made up")


def scores_of(
    name: str, pool: Pool, state: dict[str, Any] | None = None, **options: Any
) -> Scores:
    """Score a pool to the end."""
    return drained(scoring_of(name, pool, state, **options))[0]


def scoring_of(
    name: str, pool: Pool, state: dict[str, Any] | None = None, **options: Any
) -> Any:
    reduction = selections.get(name)
    assert issubclass(reduction, Reduction)
    return reduction.score(reduction.Options(**options), pool, state)


def drained(scoring: Any) -> tuple[Scores, list[Snapshot]]:
    """Return the scores and all snapshots, as they were when they were made."""
    snapshots = []
    while True:
        try:
            item = next(scoring)
        except StopIteration as end:
            return end.value, snapshots
        if isinstance(item, Snapshot):
            snapshots.append(copy.deepcopy(item))
