"""Compute the searched cell: each source node serves all its edges at once.

The textbook computes five operations on each of six edges, or ten.  The same sums
come cheaper, because the operations of edges that leave one node share work:

* both convolutions begin with the same ReLU: one a source node;
* the pooling has no weights: one a source node, and on a CPU it is a depthwise
  convolution with ones, which runs many times faster than the pooling kernel;
* ``none`` adds nothing, so nothing is computed;
* an operation's weight follows a batch norm, which ends in a multiplication by a
  factor of its own: the two are one number;
* with partial channels (PC-DARTS) the edges that end in one node are summed before
  their channels are shuffled: one shuffle a node.

One wide convolution a source node instead of one an edge was measured and brought
nothing on a CPU, so each edge keeps its own weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, relu

from ...shared_norm import Norm, is_active
from .encoding import CONVOLUTIONS, FOUR, OPERATIONS, Wiring
from .normalisation import normalise, normalise_together
from .skeleton import initialise

Plan = tuple[tuple[bool, ...], ...]
"""Which operations run, (rows, operations)."""
Convolved = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]
"""Output, scale, shift, running mean and running variance: what ``Norm`` holds."""
_SKIP = OPERATIONS.index("skip_connect")
_POOL = OPERATIONS.index("avg_pool_3x3")


class Stage(NamedTuple):
    """What all cells of one stage share in a forward.

    Attributes:
        plain: edge weight of each row and operation, scalars.
        wide: the same, each repeated to (C,), for the batch norms.
        ones: kernel of the depthwise convolution that sums 3x3 pixels, (C, 1, 3, 3).
        shares: 1 / (pixels under that kernel) at each place, (1, C, H, W).
        constant: what is added to each node beside its edges, scalars; None: nothing.
        bypass: weight of the channels that pass the operations of a row by, scalars.
        drop: what the identities are sent through; None: nothing.
    """

    plain: Sequence[Sequence[Tensor]]
    wide: Sequence[Sequence[Tensor]]
    ones: Tensor
    shares: Tensor
    constant: Sequence[Tensor] | None = None
    bypass: Sequence[Tensor] | None = None
    drop: Callable[[Tensor], Tensor] | None = None


def prepare(
    edge_weights: Tensor,
    x: Tensor,
    *,
    partial: int = 1,
    constant: Sequence[Tensor] | None = None,
    bypass: Tensor | None = None,
    drop: Callable[[Tensor], Tensor] | None = None,
) -> Stage:
    """Spread a table (R, O) for cells that see maps like ``x`` (B, C, H, W).

    ``constant`` holds a number a node, ``bypass`` (R,) one a row (see ``Stage``).
    """
    channels = x.shape[1] // partial
    wide = edge_weights.unsqueeze(-1).expand(-1, -1, channels).contiguous()
    ones = x.new_ones(channels, 1, 3, 3)
    inside = torch.ones_like(x[:1, :channels], requires_grad=False)
    with torch.no_grad():
        shares = 1 / conv2d(inside, ones, padding=1, groups=channels)
    return Stage(
        [row.unbind() for row in edge_weights.unbind()],
        [row.unbind() for row in wide.unbind()],
        ones,
        shares,
        constant,
        None if bypass is None else bypass.unbind(),
        drop,
    )


def everything(wiring: Wiring) -> Plan:
    """Return the plan that runs all that computes something."""
    row = tuple(name != "none" for name in OPERATIONS)
    return (row,) * len(wiring.edges)


def sums_into_nodes(constant: Tensor, wiring: Wiring) -> list[Tensor]:
    """Sum numbers a row (R,) over the rows that end in each node; node 0 has none."""
    return [
        sum(
            (constant[row] for row, end in enumerate(wiring.targets) if end == node),
            torch.zeros_like(constant[0]),
        )
        for node in range(wiring.nodes)
    ]


class EdgeConvolution(nn.Module):
    """One convolution on one edge, without bias, and the batch norm behind it.

    A bias in front of a batch norm that subtracts the mean of the batch is
    subtracted with it: leaving it out changes no output and no other gradient.
    """

    gamma: Tensor | None
    beta: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        channels: int,
        side: int,
        generator: torch.Generator,
        *,
        affine: bool,
        track_running_stats: bool,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, side, side))
        initialise(self.weight, channels * side**2, generator)
        self.gamma = nn.Parameter(torch.ones(channels)) if affine else None
        self.beta = nn.Parameter(torch.zeros(channels)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(channels) if tracked else None)
        self.register_buffer("running_var", torch.ones(channels) if tracked else None)

    @property
    def uses_batch_statistics(self) -> bool:
        """Say whether the norm needs the whole batch, and not running statistics."""
        return self.training or self.running_mean is None

    def forward(self, rectified: Tensor, scale: Tensor) -> Tensor:
        """Return the operation's output times its edge weight ``scale`` (C,)."""
        return normalise(*self.convolved(rectified, scale), self.training)

    def convolved(self, rectified: Tensor, scale: Tensor) -> Convolved:
        """Return the output of the convolution and the norm that comes behind it."""
        z = conv2d(rectified, self.weight, padding=self.weight.shape[-1] // 2)
        shift = None
        if self.gamma is not None and self.beta is not None:
            scale, shift = scale * self.gamma, scale * self.beta
        return z, scale, shift, self.running_mean, self.running_var


class SearchCell(nn.Module):
    """All operations of all edges of one cell; owns their weights."""

    def __init__(
        self,
        channels: int,
        generator: torch.Generator,
        *,
        affine: bool,
        track_running_stats: bool,
        partial: int = 1,
        wiring: Wiring = FOUR,
    ) -> None:
        super().__init__()
        self._partial = partial
        self._targets, self._leaving = wiring.targets, wiring.leaving
        for name, side in CONVOLUTIONS.items():
            edges = [
                EdgeConvolution(
                    channels // partial,
                    side,
                    generator,
                    affine=affine,
                    track_running_stats=track_running_stats,
                )
                for _ in wiring.edges
            ]
            self.add_module(name, nn.ModuleList(edges))

    def forward(self, x: Tensor, stage: Stage, plan: Plan) -> Tensor:
        """Map (B, C, H, W) to the same shape; only what ``plan`` marks is run."""
        if self._partial > 1:
            return self._forward_partial(x, stage, plan)
        last = len(self._leaving)
        nodes: list[Tensor | None] = [x] + [None] * last
        for source, rows in enumerate(self._leaving):
            node = _complete(nodes, source, x, stage)
            self._serve(nodes, node, rows, stage, plan)
        return _complete(nodes, last, x, stage)

    def _forward_partial(self, x: Tensor, stage: Stage, plan: Plan) -> Tensor:
        """Send the first C/K channels of each node through the operations; the rest
        pass them by, and the channels of the sum are shuffled (PC-DARTS)."""
        width = x.shape[1] // self._partial
        mixed: list[Tensor | None] = [None] * (len(self._leaving) + 1)
        rest = mixed.copy()
        node = x
        for source, rows in enumerate(self._leaving):
            narrow, passing = node[:, :width].contiguous(), node[:, width:]
            self._serve(mixed, narrow, rows, stage, plan)
            for row in rows:
                target = self._targets[row]
                if stage.bypass is None:
                    known = rest[target]
                    rest[target] = passing if known is None else known + passing
                else:
                    rest[target] = _add(rest[target], passing, stage.bypass[row])
            after = source + 1
            sent = _complete(mixed, after, narrow, stage)
            by = rest[after]
            assert by is not None  # every node has an edge from the one before it
            node = shuffle(torch.cat((sent, by), dim=1), self._partial)
        return node

    def _serve(
        self,
        nodes: list[Tensor | None],
        x: Tensor,
        rows: Sequence[int],
        stage: Stage,
        plan: Plan,
    ) -> None:
        """Add to the later nodes what the edges ``rows`` bring from node ``x``."""
        rectified = pooled = None
        shared: list[tuple[int, Norm]] = []
        for name in CONVOLUTIONS:
            operation = OPERATIONS.index(name)
            edges = cast(nn.ModuleList, self.get_submodule(name))
            for row in rows:
                if plan[row][operation]:
                    rectified = relu(x) if rectified is None else rectified
                    edge = cast(EdgeConvolution, edges[row])
                    scale = stage.wide[row][operation]
                    if is_active() and edge.uses_batch_statistics:
                        found = edge.convolved(rectified, scale)
                        shared.append((row, Norm(*found)))
                    else:
                        _put(nodes, self._targets[row], edge(rectified, scale))
        if shared:  # all at once: processes meet once a source node, not once an edge
            terms = normalise_together([norm for _, norm in shared])
            for (row, _), term in zip(shared, terms, strict=True):
                _put(nodes, self._targets[row], term)
        for row in rows:
            target = self._targets[row]
            if plan[row][_SKIP]:
                kept = x if stage.drop is None else stage.drop(x)
                nodes[target] = _add(nodes[target], kept, stage.plain[row][_SKIP])
            if plan[row][_POOL]:
                pooled = average(x, stage) if pooled is None else pooled
                nodes[target] = _add(nodes[target], pooled, stage.plain[row][_POOL])


def _complete(
    nodes: Sequence[Tensor | None], number: int, like: Tensor, stage: Stage
) -> Tensor:
    """Return a node whose edges are all summed, its constant added."""
    node = nodes[number]
    if node is None:
        node = torch.zeros_like(like)
    if stage.constant is not None and number:
        node = node + stage.constant[number]
    return node


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of x (B, C, H, W) from ``groups`` equal groups."""
    count, channels, height, width = x.shape
    parted = x.view(count, groups, channels // groups, height, width)
    return parted.transpose(1, 2).reshape(count, channels, height, width)


def _put(nodes: list[Tensor | None], target: int, term: Tensor) -> None:
    """Add what an edge brings, in place, to the node where it ends."""
    known = nodes[target]
    nodes[target] = term if known is None else known.add_(term)


def _add(node: Tensor | None, x: Tensor, scale: Tensor) -> Tensor:
    return x * scale if node is None else node.addcmul_(x, scale)


def average(x: Tensor, stage: Stage) -> Tensor:
    """Return the 3x3 average around each pixel, padding not counted."""
    if x.device.type != "cpu":
        return avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return conv2d(x, stage.ones, padding=1, groups=x.shape[1]) * stage.shares
