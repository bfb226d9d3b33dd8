"""The textbook supernet of NAS-Bench-201: slow, plain and obviously right.

Each edge computes its five operations separately, multiplies each by its weight and
adds them up.  It is the oracle of the fused supernet and the yardstick of the
benchmark; both half-steps of a search with it call ``loss.backward()``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet

Ends = list[tuple[int, int]]
EDGES = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
TEN_EDGES = [*EDGES, (4, 0), (4, 1), (4, 2), (4, 3)]


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def convolution(channels: int, side: int, affine: bool, tracked: bool) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(channels, affine=affine, track_running_stats=tracked),
    )


class MixedEdge(nn.Module):
    """All five operations of one edge, each times its weight."""

    def __init__(self, channels: int, affine: bool, tracked: bool) -> None:
        super().__init__()
        self.operations = nn.ModuleList(
            [
                Zero(),
                nn.Identity(),
                convolution(channels, 1, affine, tracked),
                convolution(channels, 3, affine, tracked),
                nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
            ]
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(
            weight * operation(x)
            for weight, operation in zip(weights, self.operations, strict=True)
        )


class PlainCell(nn.Module):
    def __init__(
        self, channels: int, affine: bool, tracked: bool, ends: Ends = EDGES
    ) -> None:
        super().__init__()
        self.ends = ends
        self.edges = nn.ModuleList(MixedEdge(channels, affine, tracked) for _ in ends)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        nodes = [x]
        for node in range(1, 1 + self.ends[-1][0]):
            nodes.append(
                sum(
                    self.edges[row](nodes[source], weights[row])
                    for row, (target, source) in enumerate(self.ends)
                    if target == node
                )
            )
        return nodes[-1]


class PlainReduction(nn.Module):
    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2), nn.Conv2d(narrow, wide, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.shortcut(x)


class PlainSupernet(nn.Module):
    """Logits (B, M) of images (B, 3, H, W) and edge weights (6, 5), or (10, 5)."""

    def __init__(
        self,
        classes: int,
        channels: int,
        cells: int,
        affine: bool = False,
        tracked: bool = False,
        ends: Ends = EDGES,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.body = nn.ModuleList()
        for stage in range(3):
            width = channels * 2**stage
            if stage:
                self.body.append(PlainReduction(width // 2, width))
            self.body.extend(
                PlainCell(width, affine, tracked, ends) for _ in range(cells)
            )
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        x = self.stem(images)
        for layer in self.body:
            x = layer(x, weights) if isinstance(layer, PlainCell) else layer(x)
        x = self.norm(x)
        return self.classifier(x.mean((2, 3)))


def counterparts(
    plain: PlainSupernet, fused: NasBench201Supernet
) -> list[tuple[Tensor, Tensor]]:
    """Return (plain, fused) pairs of every parameter and running statistic."""
    pairs = _layer(plain.stem[0], fused.stem.convolution)
    pairs += _layer(plain.stem[1], fused.stem.norm)
    for ours, theirs in zip(plain.body, fused.body, strict=True):
        if isinstance(ours, PlainCell):
            pairs += pairs_of(ours, theirs)
        else:
            inner = ours.inner
            pairs += _layer(inner[1], theirs.first) + _layer(
                inner[2], theirs.first_norm
            )
            pairs += _layer(inner[4], theirs.second)
            pairs += _layer(inner[5], theirs.second_norm)
            pairs += _layer(ours.shortcut[1], theirs.shortcut)
    pairs += _layer(plain.norm[0], fused.head.norm)
    pairs += _layer(plain.classifier, fused.head.classifier)
    return pairs


def _layer(plain: nn.Module, fused: nn.Module) -> list[tuple[Tensor, Tensor]]:
    theirs = dict(fused.named_parameters()) | dict(fused.named_buffers())
    ours = dict(plain.named_parameters()) | dict(plain.named_buffers())
    return [(tensor, theirs[name]) for name, tensor in ours.items()]


def pairs_of(plain: PlainCell, fused: nn.Module) -> list[tuple[Tensor, Tensor]]:
    pairs = []
    for row, edge in enumerate(plain.edges):
        for position, name in ((2, "nor_conv_1x1"), (3, "nor_conv_3x3")):
            _, convolution, norm = edge.operations[position]
            ours = getattr(fused, name)[row]
            pairs.append((convolution.weight, ours.weight))
            if norm.affine:
                pairs += [(norm.weight, ours.gamma), (norm.bias, ours.beta)]
            if norm.track_running_stats:
                pairs.append((norm.running_mean, ours.running_mean))
                pairs.append((norm.running_var, ours.running_var))
    return pairs


def copy_weights(fused: NasBench201Supernet, plain: PlainSupernet) -> None:
    """Give the plain supernet the weights and statistics of the fused one."""
    with torch.no_grad():
        for ours, theirs in counterparts(plain, fused):
            ours.copy_(theirs)
