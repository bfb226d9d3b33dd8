"""Partial channels: the fused cell against the mixed operation of PC-DARTS."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from searchjobs.engine.contracts import EdgeTerms
from searchjobs.engine.spaces.nas_bench_201 import supernet as supernet_module
from searchjobs.engine.spaces.nas_bench_201.cell import (
    SearchCell,
    everything,
    prepare,
    shuffle,
)
from searchjobs.engine.spaces.nas_bench_201.encoding import FOUR
from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet

from .plain_supernet import EDGES, PlainCell, pairs_of

CHANNELS = 8


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class PaperCell(nn.Module):
    """PC-DARTS, edge by edge: every edge parts, mixes, joins, shuffles and
    weighs its own channels; a node sums up what its edges bring."""

    def __init__(self, share: int, tracked: bool) -> None:
        super().__init__()
        self.share = share
        self.mixtures = PlainCell(CHANNELS // share, False, tracked)

    def forward(self, x: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
        nodes = [x]
        for node in (1, 2, 3):
            total = torch.zeros_like(x)
            for row, (target, source) in enumerate(EDGES):
                if target == node:
                    total = total + scale[row] * self.edge(nodes[source], row, weights)
            nodes.append(total)
        return nodes[-1]

    def edge(self, x: Tensor, row: int, weights: Tensor) -> Tensor:
        width = CHANNELS // self.share
        mixed = self.mixtures.edges[row](x[:, :width], weights[row])
        joined = torch.cat([mixed, x[:, width:]], dim=1)
        order = [
            group * width + place
            for place in range(width)
            for group in range(self.share)
        ]
        return joined[:, order]


def both(share: int, tracked: bool) -> tuple[PaperCell, SearchCell]:
    fused = SearchCell(
        CHANNELS,
        seeded(share),
        affine=False,
        track_running_stats=tracked,
        partial=share,
    ).double()
    paper = PaperCell(share, tracked).double()
    for ours, theirs in pairs_of(paper.mixtures, fused):
        ours.data.copy_(theirs)
    return paper, fused


def data() -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded(7)
    x = torch.randn(4, CHANNELS, 6, 6, generator=generator).double()
    weights = torch.randn(6, 5, generator=generator).double().softmax(-1)
    scale = torch.rand(6, generator=generator).double()
    return x, weights.requires_grad_(), scale.requires_grad_()


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("share", [2, 4, 8])
def test_the_fused_cell_equals_the_mixed_operation_of_the_paper(share, layout, tracked):
    """Outputs, statistics, and gradients of weights, mixture and edges."""
    paper, fused = both(share, tracked)
    x, weights, scale = data()
    expected = paper(x, weights, scale)
    stage = prepare(weights * scale.unsqueeze(-1), x, partial=share, bypass=scale)
    found = fused(x.contiguous(memory_format=layout), stage, everything(FOUR))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
    pairs = pairs_of(paper.mixtures, fused)
    for ours, theirs in pairs:
        torch.testing.assert_close(theirs, ours, rtol=1e-10, atol=1e-12)
    slope = torch.randn(expected.shape, generator=seeded(1)).double()
    trained = [(p, f) for p, f in pairs if p.requires_grad]
    theirs = torch.autograd.grad(
        expected, [weights, scale, *(p for p, _ in trained)], slope
    )
    mine = torch.autograd.grad(found, [weights, scale, *(f for _, f in trained)], slope)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_without_weights_of_edges_all_of_them_count_as_one():
    paper, fused = both(4, False)
    x, weights, _ = data()
    found = fused(x, prepare(weights, x, partial=4), everything(FOUR))
    expected = paper(x, weights, torch.ones(6).double())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def test_operations_that_do_not_run_leave_the_channels_that_pass_them_by():
    paper, fused = both(4, False)
    x, weights, scale = data()
    kept = torch.zeros(6, 5).double()
    kept[[0, 2, 5], [3, 1, 4]] = 1
    plan = tuple(tuple(bool(entry) for entry in row) for row in kept)
    stage = prepare(weights * scale.unsqueeze(-1), x, partial=4, bypass=scale)
    expected = paper(x, weights * kept, scale)
    torch.testing.assert_close(fused(x, stage, plan), expected, rtol=1e-10, atol=1e-11)


@given(groups=st.integers(1, 6), width=st.integers(1, 5))
def test_the_shuffle_is_a_permutation_that_interleaves_the_groups(groups, width):
    channels = groups * width
    numbered = torch.arange(channels).view(1, channels, 1, 1).expand(2, -1, 3, 3)
    found = shuffle(numbered.contiguous(), groups)
    assert found.shape == numbered.shape
    order = found[0, :, 0, 0].tolist()
    assert sorted(order) == list(range(channels))
    assert order[:groups] == [group * width for group in range(groups)]
    assert (found == found[:1, :, :1, :1]).all(), "whole channels move"


def test_one_group_is_the_supernet_of_darts_with_weights_of_edges():
    """Bit for bit, from the same generator, in a supernet of several stages."""
    whole = NasBench201Supernet(10, 4, 1, seeded(2))
    parted = NasBench201Supernet(10, 4, 1, seeded(2), partial=1)
    images = torch.randn(5, 3, 8, 8, generator=seeded(3))
    _, weights, scale = data()
    weights, scale = weights.detach().float(), scale.detach().float()
    by_table = whole(images, {"cell": weights * scale.unsqueeze(-1)})
    by_terms = parted(images, {"cell": weights}, terms=EdgeTerms(scale={"cell": scale}))
    assert torch.equal(by_table, by_terms)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_whole_supernet_weighs_operations_and_what_passes_them_by(limit, monkeypatch):
    """The terms of a forward reach every stage, in both layouts of the CPU path."""
    monkeypatch.setattr(supernet_module, "CHANNELS_LAST_FROM", limit)
    fused = NasBench201Supernet(10, 8, 1, seeded(2), partial=4).double()
    images = torch.randn(5, 3, 8, 8, generator=seeded(3)).double()
    _, weights, scale = data()
    x = fused.stem(images)
    for layer in fused.body:
        if isinstance(layer, SearchCell):
            table = weights * scale.unsqueeze(-1)
            x = layer(x, prepare(table, x, partial=4, bypass=scale), everything(FOUR))
        else:
            x = layer(x)
    terms = EdgeTerms(scale={"cell": scale})
    found = fused(images, {"cell": weights}, terms=terms)
    torch.testing.assert_close(found, fused.head(x), rtol=1e-10, atol=1e-12)


def test_partial_channels_make_the_operations_smaller():
    whole = NasBench201Supernet(10, 16, 1, seeded(0))
    parted = NasBench201Supernet(10, 16, 1, seeded(0), partial=4)
    name = "body.0.nor_conv_3x3.0.weight"
    assert whole.state_dict()[name].shape == (16, 16, 3, 3)
    assert parted.state_dict()[name].shape == (4, 4, 3, 3)
