"""A benchmark table of numbers made up on the spot, for what needs no real one."""

from __future__ import annotations

import csv
import gzip
import io
from functools import cache
from pathlib import Path

import numpy as np

from searchjobs.engine.benchmark_table import REQUIRED, BenchmarkTable
from searchjobs.engine.spaces.nas_bench_201.encoding import all_architectures


@cache
def made_up_table() -> BenchmarkTable:
    """All 15,625 cells; good ones have many 3x3 convolutions, and noise on top."""
    encodings = all_architectures()
    draw = np.random.default_rng(7)
    merit = np.array(
        [cell.count("3x3") + 0.5 * cell.count("1x1") for cell in encodings]
    )
    columns = {
        name: np.round(60 + 4 * merit + draw.normal(0, 2, len(merit)), 3)
        for name in REQUIRED
        if name not in {"arch", "train_time_s"}
    }
    columns["train_time_s"] = np.round(800 + 200 * merit, 1)
    return BenchmarkTable("nas-bench-201", encodings, columns, "made up")


def write_table(path: Path, table: BenchmarkTable | None = None) -> Path:
    """Write the table as the engine's file."""
    table = table or made_up_table()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["arch", *table.columns])
    writer.writerows(zip(table.encodings, *table.columns.values(), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), 1))
    return path
