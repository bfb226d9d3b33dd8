"""Parameters and multiply-adds of the networks, against three other sources."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from searchjobs.engine.contracts import spaces
from searchjobs.engine.spaces.nas_bench_201.counting import flops, parameters
from searchjobs.engine.spaces.nas_bench_201.encoding import (
    all_architectures,
    from_index,
)
from searchjobs.engine.spaces.nas_bench_201.network import DiscreteNetwork

from ..counted import counted
from .plain_supernet import PlainSupernet

TABLE = "nasbench201.csv.gz"


def shared_table() -> Path:
    """Return the table of the benchmark, which is not part of the repository."""
    repository = Path(__file__).resolve().parents[3]
    shared = repository.parent / "shared" / "data"
    path = Path(os.environ.get("NASWEB_SHARED_DATA", shared)) / TABLE
    if not path.is_file():
        pytest.skip(
            f"the FLOPs column is not compared: {TABLE} is neither in the folder "
            "that NASWEB_SHARED_DATA names nor in ../shared/data"
        )
    return path


def network(architecture: str, channels: int, cells: int, classes: int) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return DiscreteNetwork(architecture, classes, channels, cells, generator)


def test_parameters_of_all_cells_follow_the_published_formula():
    """params_m = 0.073306 + 0.24304 n3x3 + 0.028 n1x1, in whole numbers."""
    for text in all_architectures():
        conv3, conv1 = text.count("nor_conv_3x3"), text.count("nor_conv_1x1")
        assert parameters(text) == 73_306 + 243_040 * conv3 + 28_000 * conv1


def test_flops_of_all_cells_follow_the_published_formula():
    for text in all_architectures():
        conv3, conv1 = text.count("nor_conv_3x3"), text.count("nor_conv_1x1")
        assert flops(text) == 7_783_050 + 35_389_440 * conv3 + 3_932_160 * conv1


def test_flops_and_parameters_equal_the_columns_of_the_table():
    with gzip.open(shared_table(), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15_625
    for row in rows:
        assert flops(row["arch"]) == round(float(row["flops_m"]) * 1e6)
        assert parameters(row["arch"]) == round(float(row["params_m"]) * 1e6)
        assert from_index(int(row["index"])) == row["arch"]


@pytest.mark.parametrize("index", [0, 9, 138, 1462, 1835, 9930])
@pytest.mark.parametrize(
    ("channels", "cells", "classes"), [(16, 5, 10), (4, 1, 3), (6, 2, 100)]
)
def test_the_count_is_that_of_the_modules(index, channels, cells, classes):
    architecture = from_index(index)
    built = network(architecture, channels, cells, classes)
    counted = sum(p.numel() for p in built.parameters())
    assert parameters(architecture, channels, cells, classes) == counted


@pytest.mark.parametrize("index", [0, 138, 1835])
@pytest.mark.parametrize("size", [32, 9])
def test_flops_are_those_of_the_convolutions_that_run(index, size):
    """Count multiply-adds in hooks during a real forward."""
    architecture = from_index(index)
    built = network(architecture, 4, 1, 7).eval()
    counted = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d):
            counted += module.weight.numel() * output[0, 0].numel()
        elif isinstance(module, nn.Linear):
            counted += module.weight.numel() + module.bias.numel()

    for module in built.modules():
        module.register_forward_hook(count)
    built(torch.zeros(1, 3, size, size))
    assert flops(architecture, 4, 1, 7, size) == counted


@pytest.mark.parametrize(("channels", "cells", "size"), [(4, 2, 16), (8, 1, 32)])
def test_multiply_adds_of_the_supernet_are_those_of_all_its_operations(
    channels, cells, size
):
    space = spaces.get("nas-bench-201")
    found = space(space.Options(channels=channels, cells=cells)).multiply_adds(7, size)
    plain = PlainSupernet(7, channels, cells)
    images = torch.zeros(1, 3, size, size)
    assert found == counted(lambda: plain(images, torch.ones(6, 5))) + 7


def test_a_drawn_forward_is_the_mean_of_all_that_may_be_drawn():
    part = spaces.get("nas-bench-201")
    space = part(part.Options(channels=4, cells=1, without=("none",)))
    allowed = [name for name in space.operations if name != "none"]
    # edges are drawn apart, so the mean is that of cells of one operation each
    alike = [space.encode({"cell": [name] * 6}) for name in allowed]
    expected = sum(flops(cell, 4, 1, 7, 16) for cell in alike) / 4
    assert space.multiply_adds(7, 16, drawn=True) == pytest.approx(expected)


def test_partial_channels_take_the_square_of_their_share():
    part = spaces.get("nas-bench-201-five")
    space = part(part.Options(channels=8, cells=1))
    none = flops("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 8, 1, 7, 16)
    whole, quarter = (space.multiply_adds(7, 16, partial=k) - none for k in (1, 4))
    assert quarter == pytest.approx(whole / 16)
