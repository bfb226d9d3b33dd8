"""Build the parts around the cells: stem, residual reductions, head.

Methods and evaluation share them (NAS-Bench-201, ICLR 2020, section 2.2): a stem of
C channels, three stages of N cells with C, 2C and 4C channels, a residual reduction
between stages, then batch norm, ReLU, global average and a linear classifier.  Their
batch norms are always affine and tracked, whatever the cells do.

Every initial weight is uniform within 1 / sqrt(fan in), PyTorch's own rule, but
drawn from the caller's generator: the global random state is neither read nor moved.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu
from torch.nn.utils import skip_init

from .counting import RGB, STAGES
from .normalisation import BatchNorm


def widths(channels: int) -> tuple[int, ...]:
    """Return the channels of each stage."""
    return tuple(channels << stage for stage in range(STAGES))


def initialise(weight: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Fill ``weight`` with uniform numbers within 1 / sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)


def convolution(
    inputs: int, outputs: int, side: int, generator: torch.Generator, stride: int = 1
) -> nn.Conv2d:
    """Return a padded convolution without bias."""
    layer = skip_init(
        nn.Conv2d,
        inputs,
        outputs,
        side,
        stride=stride,
        padding=side // 2,
        bias=False,
    )
    initialise(layer.weight, inputs * side**2, generator)
    return layer


class Reduction(nn.Module):
    """Halve the map and widen it: two 3x3 convolutions beside a pooled shortcut.

    The shortcut is a 2x2 average, then a 1x1 convolution without batch norm; no ReLU
    follows the sum.  Odd maps round up, so that both branches have one size.
    """

    def __init__(self, narrow: int, wide: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = convolution(narrow, wide, 3, generator, stride=2)
        self.first_norm = BatchNorm(wide)
        self.second = convolution(wide, wide, 3, generator)
        self.second_norm = BatchNorm(wide)
        self.shortcut = convolution(narrow, wide, 1, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, narrow, H, W) to (B, wide, H / 2, W / 2)."""
        inner = self.first_norm(self.first(relu(x)))
        inner = self.second_norm(self.second(relu(inner)))
        pooled = avg_pool2d(x, 2, 2, ceil_mode=True)
        return inner + self.shortcut(pooled)


class Stem(nn.Module):
    """A 3x3 convolution from RGB to C channels and a batch norm, no ReLU."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.convolution = convolution(RGB, channels, 3, generator)
        self.norm = BatchNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to (B, C, H, W)."""
        return self.norm(self.convolution(images))


class Head(nn.Module):
    """Batch norm, ReLU, global average, linear classifier."""

    def __init__(self, channels: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.classifier = skip_init(nn.Linear, channels, classes)
        initialise(self.classifier.weight, channels, generator)
        initialise(self.classifier.bias, channels, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, M)."""
        return self.classifier(relu(self.norm(x)).mean((2, 3)))
