"""NAS-Bench-201: a cell of four nodes, six edges, five operations, 15,625 cells.

Source: X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020 (NATS-Bench topology space).
"""

from __future__ import annotations

from typing import Literal

from ...contracts import Space, spaces
from ...registry import Options, setting


class NasBench201Options(Options):
    name: Literal["nas-bench-201"] = "nas-bench-201"
    channels: int = setting(
        16,
        "Channels C",
        "Channels of the first stage; the next two have twice and four times as many.",
        unit="channels",
        ge=1,
        le=256,
    )
    cells: int = setting(
        5, "Cells per stage N", "Three stages of N cells.", unit="cells", ge=1, le=20
    )
    affine: bool = setting(
        False, "Affine batch norm", "Learn scale and shift in the cells' batch norm."
    )
    track_running_stats: bool = setting(
        False,
        "Running statistics",
        "Keep running batch-norm statistics in the cells; off, the statistics of the "
        "batch are used in evaluation too. Changes results: compare like with like.",
    )


@spaces.register
class NasBench201(Space):
    name = "nas-bench-201"
    label = "NAS-Bench-201"
    summary = "Four nodes, six edges, five operations: 15,625 cells, all in a table."
    source = "X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020."
    Options = NasBench201Options
