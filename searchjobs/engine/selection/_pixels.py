"""Pixels as rows of numbers, for reductions that compare images without a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..batch import SetName
from ..contracts import Pool, ReductionOptions
from ..problems import Problem

#: Numbers that are handled at a time, to bound memory.
CHUNK = 2**24
#: Bytes of a matrix of all images; what is computed with it takes as much again or
#: twice that.
MOST_BYTES = 8 * 2**30


def feature_count(pool: Pool) -> int:
    """Return F = 3 S S."""
    return pool.data.pixels[0].numel()


def chunks(pool: Pool) -> Iterator[slice]:
    """Cut the places of the pool's samples into parts that fit into memory."""
    count, step = len(pool.ids), max(1, CHUNK // feature_count(pool))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def rows(pool: Pool, part: slice) -> Tensor:
    """Return un-augmented pixels in [0, 1], float32 (k, F), on the device."""
    return pool.data.pixels[pool.ids[part]].flatten(1).float().div_(255)


def matrix(pool: Pool, *, standardise: bool) -> np.ndarray:
    """Return the pixels of all samples, float32 (n, F), on the CPU.

    With ``standardise`` every feature has mean 0 and deviation 1; one that never
    changes is 0.
    """
    shift, scale = _moments(pool) if standardise else (0.0, 1.0)
    found = torch.empty(len(pool.ids), feature_count(pool))
    for part in chunks(pool):
        found[part] = ((rows(pool, part) - shift) * scale).cpu()
    return found.numpy()


def matrix_problems(
    options: ReductionOptions, sizes: dict[SetName, int], side: int
) -> list[Problem]:
    """Return which sets would not fit into memory as a matrix."""
    numbers = {name: 3 * side**2 * size for name, size in sizes.items()}
    return [
        Problem(
            "selection",
            f"This choice compares the images of {name} as one matrix, and "
            f"{sizes[name]:,} images of {side}x{side} pixels make one of "
            f"{4 * count / 1e9:,.0f} GB, more than the {MOST_BYTES / 1e9:,.0f} GB that "
            "it may have; give the data set a smaller image size or fewer images per "
            "class, or choose a selection that takes them in batches, such as "
            "class-outlier or autoencoder.",
        )
        for name, count in numbers.items()
        if options.keep(name) < 1 and 4 * count > MOST_BYTES
    ]


def _moments(pool: Pool) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / deviation of each feature, float32 (F,), on the device."""
    shape = feature_count(pool)
    total = torch.zeros(shape, dtype=torch.float64, device=pool.device)
    squares = torch.zeros_like(total)
    for part in chunks(pool):
        whole = pool.data.pixels[pool.ids[part]].flatten(1).double()
        # sums of whole numbers: exact, whatever their order
        total += whole.sum(0)
        squares += whole.square_().sum(0)
    mean = total / len(pool.ids)
    deviation = (squares / len(pool.ids) - mean.square()).clamp(min=0).sqrt()
    inverse = torch.where(deviation > 0, 255 / deviation, 0.0)
    return (mean / 255).float(), inverse.float()


def principal_components(features: np.ndarray, count: int) -> np.ndarray:
    """Return the ``count`` first principal components (n, count) of rows (n, F); fewer
    where there are fewer."""
    from sklearn.decomposition import PCA  # imported late: it takes seconds

    samples, numbers = features.shape
    # the quicker way has a matrix F x F, which of large images is far more than theirs
    solver = "covariance_eigh" if numbers <= samples else "full"
    return PCA(min(count, samples, numbers), svd_solver=solver).fit_transform(features)
