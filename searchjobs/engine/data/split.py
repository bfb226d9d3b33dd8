"""Divide the images into T (weights) and V (alpha), the same for every run."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batch import SetName

if TYPE_CHECKING:
    from ..sections import Split


def split(labels: Tensor, options: Split) -> dict[SetName, Tensor]:
    """Return the ids of T and V, int64, sorted, on the CPU.

    ``random`` shuffles with Python's generator, so that seed 1021 and share 0.5
    give the published CIFAR-10 split of NAS-Bench-201.  Stratified, each class is
    divided on its own, in the order of the classes.

    Args:
        labels: int64 (n,).
        options: rule, share of T, stratified, seed.
    """
    count = len(labels)
    if options.stratified:
        classes = int(labels.max()) + 1 if count else 0
        groups = [
            torch.nonzero(labels == label).flatten().tolist()
            for label in range(classes)
        ]
    else:
        groups = [list(range(count))]
    generator = random.Random(options.seed)
    weights: list[int] = []
    architecture: list[int] = []
    for ids in groups:
        if options.rule == "random":
            generator.shuffle(ids)
        cut = share_of(len(ids), options.train_share)
        weights += ids[:cut]
        architecture += ids[cut:]
    return {
        "T": torch.tensor(sorted(weights), dtype=torch.int64),
        "V": torch.tensor(sorted(architecture), dtype=torch.int64),
    }


def split_sizes(class_counts: Sequence[int], options: Split) -> dict[SetName, int]:
    """Return the sizes that ``split`` gives, from the class counts alone."""
    total = sum(class_counts)
    groups = class_counts if options.stratified else [total]
    first = sum(share_of(count, options.train_share) for count in groups)
    return {"T": first, "V": total - first}


def share_of(count: int, share: float) -> int:
    """Return floor(share x count), whole where the product is meant to be whole."""
    # 0.29 x 100 is 28.999999999999996 in floating point
    return math.floor(count * share + 1e-9)


def shares_of(counts: Sequence[int], share: float) -> list[int]:
    """Return floor(share x count) of each, and one more of some: together exactly
    ``share_of`` their sum.  The largest remainders are rounded up, of equal ones the
    first."""
    parts = [count * share for count in counts]
    found = [math.floor(part) for part in parts]
    # of equal remainders the last digits may differ, and the first is to come first
    remainders = [
        round(part - whole, 9) for part, whole in zip(parts, found, strict=True)
    ]
    by_size = sorted(range(len(parts)), key=lambda place: -remainders[place])
    for place in by_size[: share_of(sum(counts), share) - sum(found)]:
        found[place] += 1
    return found
