"""Train all 15,625 cells at once: the weight-sharing network of NAS-Bench-201.

Source: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020, sections 2 and 4; the relaxation
is that of H. Liu et al., DARTS, ICLR 2019, Eq. 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...contracts import ActiveOperations, Supernet, Tables
from .cell import EVERYTHING, Plan, SearchCell, spread
from .encoding import OPERATIONS, TABLE
from .skeleton import Head, Reduction, Stem, widths


class NasBench201Supernet(Supernet):
    """Stem, three stages of N searched cells, head; owns w and never alpha.

    ``affine`` and ``track_running_stats`` speak of the searched cells only.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        cells: int,
        generator: torch.Generator,
        *,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        super().__init__()
        self.stem = Stem(channels, generator)
        self.body = nn.ModuleList()
        narrow = channels
        for width in widths(channels):
            if width != narrow:
                self.body.append(Reduction(narrow, width, generator))
            for _ in range(cells):
                self.body.append(
                    SearchCell(
                        width,
                        generator,
                        affine=affine,
                        track_running_stats=track_running_stats,
                    )
                )
            narrow = width
        self.head = Head(narrow, classes, generator)
        self._widths = widths(channels)

    def forward(
        self,
        images: Tensor,
        edge_weights: Tables,
        active: ActiveOperations | None = None,
    ) -> Tensor:
        """Return logits (B, M) of images (B, 3, H, W).

        Args:
            images: of any size that halves twice.
            edge_weights: ``{"cell": (6, 5)}``, in the order of ``ROWS`` and
                ``OPERATIONS``; the weight of ``none`` multiplies zero.
            active: the operations to run on each row; the others count as weight 0.
        """
        table = edge_weights[TABLE]
        scales = {width: spread(table, width) for width in self._widths}
        plan = EVERYTHING if active is None else _plan(active)
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        x = self.stem(images)
        for layer in self.body:
            if isinstance(layer, SearchCell):
                x = layer(x, scales[x.shape[1]], plan)
            else:
                x = layer(x)
        return self.head(x)


def _plan(active: ActiveOperations) -> Plan:
    return tuple(
        tuple(
            name != "none" and operation in operations
            for operation, name in enumerate(OPERATIONS)
        )
        for operations in active[TABLE]
    )
