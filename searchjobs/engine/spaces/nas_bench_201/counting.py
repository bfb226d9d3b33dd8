"""Count parameters and multiply-adds of a discrete network without building it.

FLOPs are multiply-adds of the convolutions and the classifier, bias of the
classifier included, as the benchmark counts them; batch norm, ReLU, pooling and
additions are free.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from .encoding import CONVOLUTIONS, read

STAGES = 3
RGB = 3


def parameters(
    architecture: str, channels: int = 16, cells: int = 5, classes: int = 10
) -> int:
    """Return the number of weights of the evaluation network (affine batch norm,
    convolutions without bias); the defaults are the CIFAR-10 network of the table."""
    _, operations = read(architecture)
    widths = [channels << stage for stage in range(STAGES)]
    total = _convolution(RGB, channels, 3) + 2 * channels
    for width in widths:
        for name in operations:
            if name in CONVOLUTIONS:
                side = CONVOLUTIONS[name]
                total += cells * (_convolution(width, width, side) + 2 * width)
    for narrow, wide in itertools.pairwise(widths):
        total += _reduction(narrow, wide) + 2 * 2 * wide
    return total + 2 * widths[-1] + (widths[-1] + 1) * classes


def flops(
    architecture: str,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    image_size: int = 32,
) -> int:
    """Return the multiply-adds of one image (``image_size`` square) through the
    evaluation network; the defaults are the CIFAR-10 network of the table."""
    _, operations = read(architecture)
    rows = [{name: 1.0} for name in operations]
    return int(multiply_adds(rows, channels, cells, classes, image_size))


def multiply_adds(
    rows: Sequence[Mapping[str, float]],
    channels: int,
    cells: int,
    classes: int,
    image_size: int,
    *,
    partial: int = 1,
) -> float:
    """Return the multiply-adds of one image through a network of such cells.

    Args:
        rows: of each edge, the operations that run and how often: 1, or the share of
            the forwards that draw them.
        channels: C.
        cells: N.
        classes: M.
        image_size: side of the image.
        partial: K of PC-DARTS: operations see the first C/K channels.
    """
    widths = [channels << stage for stage in range(STAGES)]
    sides = [image_size]
    for _ in widths[1:]:
        sides.append((sides[-1] + 1) // 2)
    total = float(_convolution(RGB, channels, 3) * sides[0] ** 2)
    for width, side in zip(widths, sides, strict=True):
        seen = width // partial
        for row in rows:
            for name, often in row.items():
                if name in CONVOLUTIONS:
                    weights = _convolution(seen, seen, CONVOLUTIONS[name])
                    total += cells * often * weights * side**2
    for stage in range(1, STAGES):
        total += _reduction(widths[stage - 1], widths[stage]) * sides[stage] ** 2
    return total + (widths[-1] + 1) * classes


def _convolution(inputs: int, outputs: int, side: int) -> int:
    return inputs * outputs * side**2


def _reduction(narrow: int, wide: int) -> int:
    """Weights of a residual reduction's three convolutions; each is applied at
    every pixel of the smaller map."""
    return (
        _convolution(narrow, wide, 3)
        + _convolution(wide, wide, 3)
        + _convolution(narrow, wide, 1)
    )
