"""Build the discrete network of one cell, as the benchmark trains it.

Affine, tracked batch norm and convolutions without bias throughout; a row without
an operation costs nothing.  Source: NAS-Bench-201, ICLR 2020, section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from .encoding import CONVOLUTIONS, Wiring, read
from .normalisation import BatchNorm
from .skeleton import Head, Reduction, Stem, convolution, widths


class DiscreteCell(nn.Module):
    """One cell: node i is the sum of its chosen operations on earlier nodes."""

    def __init__(
        self,
        wiring: Wiring,
        operations: tuple[str, ...],
        channels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.operations = operations
        self._wiring = wiring
        self.edges = nn.ModuleDict()
        for row, name in enumerate(operations):
            if name in CONVOLUTIONS:
                self.edges[str(row)] = nn.Sequential(
                    convolution(channels, channels, CONVOLUTIONS[name], generator),
                    BatchNorm(channels),
                )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        nodes = [x, *(torch.zeros_like(x) for _ in range(self._wiring.nodes - 1))]
        for row, (target, source) in enumerate(self._wiring.edges):
            name = self.operations[row]
            if name == "none":
                continue
            nodes[target] = nodes[target] + self._edge(row, name, nodes[source])
        return nodes[-1]

    def _edge(self, row: int, name: str, x: Tensor) -> Tensor:
        if name in CONVOLUTIONS:
            return self.edges[str(row)](relu(x))
        if name == "avg_pool_3x3":
            return avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return x


class DiscreteNetwork(nn.Module):
    """The network of one architecture string: images (B, 3, H, W) to logits (B, M)."""

    def __init__(
        self,
        architecture: str,
        classes: int,
        channels: int,
        cells: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        wiring, operations = read(architecture)
        layers: list[nn.Module] = [Stem(channels, generator)]
        narrow = channels
        for width in widths(channels):
            if width != narrow:
                layers.append(Reduction(narrow, width, generator))
            layers += [
                DiscreteCell(wiring, operations, width, generator) for _ in range(cells)
            ]
            narrow = width
        layers.append(Head(narrow, classes, generator))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)
