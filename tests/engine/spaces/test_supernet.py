"""The fused supernet against the textbook one: same outputs, same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from searchjobs.engine.spaces.nas_bench_201 import supernet as supernet_module
from searchjobs.engine.spaces.nas_bench_201.cell import (
    SearchCell,
    average,
    everything,
    prepare,
)
from searchjobs.engine.spaces.nas_bench_201.encoding import (
    FOUR,
    OPERATIONS,
    from_index,
)
from searchjobs.engine.spaces.nas_bench_201.network import DiscreteNetwork
from searchjobs.engine.spaces.nas_bench_201.supernet import NasBench201Supernet

from .plain_supernet import (
    PlainCell,
    PlainSupernet,
    copy_weights,
    counterparts,
    pairs_of,
)


@pytest.fixture(autouse=True, params=["channels-last", "channels-first"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in both layouts of the CPU path."""
    limit = 0 if request.param == "channels-last" else 10**9
    monkeypatch.setattr(supernet_module, "CHANNELS_LAST_FROM", limit)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(
    cells: int, affine: bool = False, tracked: bool = False, channels: int = 4
) -> tuple[PlainSupernet, NasBench201Supernet]:
    """Return both supernets in float64 with the same weights."""
    generator = seeded(3)
    fused = NasBench201Supernet(
        10, channels, cells, generator, affine=affine, track_running_stats=tracked
    ).double()
    with torch.no_grad():  # gammas, betas and statistics away from 1 and 0
        for name, tensor in fused.state_dict().items():
            if name.endswith(("gamma", "beta", "running_mean", "running_var")):
                tensor += 0.3 * torch.rand(tensor.shape, generator=generator)
    plain = PlainSupernet(10, channels, cells, affine, tracked).double()
    copy_weights(fused, plain)
    return plain, fused


def data(batch: int = 6, size: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded(5)
    images = torch.randn(batch, 3, size, size, generator=generator).double()
    labels = torch.randint(10, (batch,), generator=generator)
    alpha = 0.3 * torch.randn(6, 5, generator=generator).double()
    return images, labels, alpha.requires_grad_()


def error(found: Tensor, expected: Tensor, scale: float = 0.0) -> float:
    """Return |found - expected| / |expected|, the norm at least ``scale``."""
    return float((found - expected).detach().norm()) / max(
        float(expected.detach().norm()), scale
    )


@pytest.mark.parametrize("cells", [1, 2])
@pytest.mark.parametrize(
    ("affine", "tracked"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_logits_and_all_gradients_agree_in_float64(cells, affine, tracked):
    plain, fused = pair(cells, affine, tracked)
    images, labels, alpha = data()
    expected = plain(images, alpha.softmax(-1))
    found = fused(images, {"cell": alpha.softmax(-1)})
    assert error(found, expected) < 1e-9
    pairs = [(p, f) for p, f in counterparts(plain, fused) if p.requires_grad]
    assert {id(f) for _, f in pairs} == {id(f) for f in fused.parameters()}
    loss = cross_entropy(expected, labels)
    slopes = torch.autograd.grad(loss, [alpha, *(p for p, _ in pairs)])
    loss = cross_entropy(found, labels)
    ours = torch.autograd.grad(loss, [alpha, *(f for _, f in pairs)])
    # a shift that a later batch norm cancels has gradient 0 but for rounding
    scale = 1e-4 * max(float(slope.norm()) for slope in slopes)
    for mine, slope in zip(ours, slopes, strict=True):
        assert error(mine, slope, scale) < 1e-9


@pytest.mark.parametrize(("affine", "tracked"), [(False, False), (True, True)])
def test_statistics_and_evaluation_agree(affine, tracked):
    plain, fused = pair(1, affine, tracked)
    images, _, alpha = data()
    weights = alpha.detach().softmax(-1)
    for _ in range(3):
        plain(images, weights)
        fused(images, {"cell": weights})
    for expected, found in counterparts(plain, fused):
        if not expected.is_floating_point():
            continue
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    plain.eval()
    fused.eval()
    expected = plain(images[:3], weights)
    assert error(fused(images[:3], {"cell": weights}), expected) < 1e-9


@pytest.mark.parametrize(("channels", "size"), [(16, 32), (32, 16), (64, 8), (4, 5)])
def test_each_cell_agrees_in_float32(channels, size):
    generator = seeded(channels)
    fused = SearchCell(channels, generator, affine=False, track_running_stats=False)
    plain = PlainCell(channels, affine=False, tracked=False)
    for ours, theirs in pairs_of(plain, fused):
        ours.data.copy_(theirs)
    x = torch.randn(8, channels, size, size, generator=generator)
    weights = torch.randn(6, 5, generator=generator).softmax(-1).requires_grad_()
    expected = plain(x, weights)
    slope = torch.randn(expected.shape, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last)
    found = fused(x, prepare(weights, x), everything(FOUR))
    assert error(found, expected) < 1e-5
    (wanted,) = torch.autograd.grad(expected, weights, slope)
    (mine,) = torch.autograd.grad(found, weights, slope)
    assert error(mine[:, 1:], wanted[:, 1:]) < 1e-5


def test_none_gets_no_gradient():
    _, fused = pair(1)
    images, labels, alpha = data()
    weights = alpha.detach().softmax(-1).requires_grad_()
    loss = cross_entropy(fused(images, {"cell": weights}), labels)
    (slope,) = torch.autograd.grad(loss, weights)
    assert (slope[:, 0] == 0).all()
    assert (slope[:, 1:] != 0).all()


ACTIVE = [
    ([3], [1], [0], [4], [2], [3]),
    ([0], [2], [3], [1], [2], [0]),
    ([1, 3], [], [2, 4], [0, 1], [3], [4]),
    ([0], [0], [0], [0], [0], [0]),
]


@pytest.mark.parametrize("active", ACTIVE)
@pytest.mark.parametrize("affine", [False, True])
def test_a_few_active_operations_equal_all_with_zero_weights(active, affine):
    _, fused = pair(2, affine=affine)
    images, labels, alpha = data()
    mask = torch.zeros(6, 5).double()
    for row, operations in enumerate(active):
        mask[row, operations] = 1
    weights = (alpha.detach() + 1) * mask
    full = fused(images, {"cell": weights})
    sparse = fused(images, {"cell": weights}, {"cell": active})
    torch.testing.assert_close(sparse, full, rtol=1e-10, atol=1e-12)
    parameters = list(fused.parameters())
    slopes = torch.autograd.grad(cross_entropy(full, labels), parameters)
    loss = cross_entropy(sparse, labels)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    skipped = 0
    for mine, slope in zip(found, slopes, strict=True):
        if mine is None:
            assert (slope == 0).all()
            skipped += 1
        else:
            torch.testing.assert_close(mine, slope, rtol=1e-8, atol=1e-12)
    assert skipped


@pytest.mark.parametrize("cells", [1, 2])
def test_the_alpha_hessian_equals_that_of_the_textbook(cells):
    """Two cells of a stage take the same strengths, one behind the other."""
    plain, fused = pair(cells, channels=2)
    images, labels, alpha = data(batch=4, size=8)

    def hessian(logits: Tensor) -> Tensor:
        loss = cross_entropy(logits, labels)
        (plain_slope,) = torch.autograd.grad(loss, alpha, retain_graph=True)
        (slope,) = torch.autograd.grad(loss, alpha, create_graph=True)
        assert error(slope, plain_slope) < 1e-9
        return torch.stack(
            [
                torch.autograd.grad(one, alpha, retain_graph=True)[0].flatten()
                for one in slope.flatten()
            ]
        )

    expected = hessian(plain(images, alpha.softmax(-1)))
    found = hessian(fused(images, {"cell": alpha.softmax(-1)}))
    assert error(found, expected) < 1e-9
    assert error(found, found.T) < 1e-9


def test_a_gradient_that_can_be_differentiated_again_costs_as_much_in_each_cell():
    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            self.calls += 1
            return function(*arguments, **(keywords or {}))

    images, labels, alpha = data(batch=4, size=8)
    found = []
    for cells in (1, 2, 3):
        _, fused = pair(cells, channels=2)
        loss = cross_entropy(fused(images, {"cell": alpha.softmax(-1)}), labels)
        with Count() as count:
            torch.autograd.grad(loss, alpha, create_graph=True)
        found.append(count.calls)
    assert found[2] - found[1] == pytest.approx(found[1] - found[0], rel=0.02)


@pytest.mark.parametrize("index", [0, 138, 6111])
def test_one_hot_weights_make_the_discrete_network(index):
    """Inherited weights: the supernet with one operation an edge is the network."""
    architecture = from_index(index)
    _, fused = pair(1, affine=True, tracked=True)
    network = DiscreteNetwork(architecture, 10, 4, 1, seeded(0)).double()
    layers = [fused.stem, *fused.body, fused.head]
    for layer, twin in zip(layers, network.layers, strict=True):
        if not isinstance(layer, SearchCell):
            twin.load_state_dict(layer.state_dict())
            continue
        for row, edge in twin.edges.items():
            theirs = layer.get_submodule(twin.operations[int(row)])[int(row)]
            edge[0].weight.data.copy_(theirs.weight)
            edge[1].weight.data.copy_(theirs.gamma)
            edge[1].bias.data.copy_(theirs.beta)
            edge[1].running_mean.copy_(theirs.running_mean)
            edge[1].running_var.copy_(theirs.running_var)
    images, _, _ = data()
    names = network.layers[1].operations
    chosen = [OPERATIONS.index(name) for name in names]
    one_hot = torch.eye(5, dtype=torch.float64)[chosen]
    active = {"cell": [[operation] for operation in chosen]}
    for mode in (True, False):
        network.train(mode)
        fused.train(mode)
        found = fused(images, {"cell": one_hot}, active)
        assert error(found, network(images)) < 1e-9


def test_the_same_generator_makes_the_same_supernet_and_no_other_random_state_moves():
    before = torch.get_rng_state()
    first = NasBench201Supernet(10, 4, 1, seeded(1)).state_dict()
    second = NasBench201Supernet(10, 4, 1, seeded(1)).state_dict()
    third = NasBench201Supernet(10, 4, 1, seeded(2)).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(
        first["stem.convolution.weight"], third["stem.convolution.weight"]
    )
    weight = first["body.0.nor_conv_3x3.0.weight"]
    assert weight.abs().max() <= 1 / 6  # 1 / sqrt(4 * 9)
    assert weight.std() == pytest.approx(1 / 6 / 3**0.5, rel=0.15)


@pytest.mark.parametrize(
    ("channels", "cells", "parameters"), [(16, 5, 1_686_106), (8, 1, None)]
)
def test_the_supernet_has_the_published_number_of_weights(channels, cells, parameters):
    """1,692,826 and 100,050 with biases, 12 a cell, which batch norm cancels."""
    if parameters is None:
        parameters = 100_050 - 12 * (8 + 16 + 32)
    supernet = NasBench201Supernet(10, channels, cells, seeded(0))
    assert sum(p.numel() for p in supernet.parameters()) == parameters


def test_statistics_are_in_the_state_and_only_where_they_are_kept():
    tracked = NasBench201Supernet(10, 4, 1, seeded(0), track_running_stats=True)
    plain = NasBench201Supernet(10, 4, 1, seeded(0))
    name = "body.0.nor_conv_1x1.5.running_var"
    assert name in tracked.state_dict()
    assert name not in plain.state_dict()
    assert "head.norm.running_mean" in plain.state_dict()


@pytest.mark.parametrize("size", [8, 9, 16])
def test_the_average_is_that_of_pytorch(size):
    x = torch.randn(2, 3, size, size, generator=seeded(0))
    expected = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(average(x, prepare(torch.ones(6, 5), x)), expected)


@pytest.mark.parametrize(
    ("columns", "dead"), [((3, 3, 3, 3, 3, 0), {1, 2}), ((3, 2, 0, 2, 0, 3), {0})]
)
def test_what_leads_nowhere_is_not_run_and_has_no_gradient(columns, dead):
    """Node 2 (rows 1 and 2), then node 1 (row 0), whose every way out is none."""
    plain, fused = pair(1)
    images, labels, _ = data()
    weights = torch.eye(5).double()[list(columns)]
    loss = cross_entropy(plain(images, weights), labels)
    active = {"cell": [(column,) for column in columns]}
    logits = fused(images, {"cell": weights}, active)
    assert error(logits, plain(images, weights)) < 1e-10
    found = cross_entropy(logits, labels)
    for ours, theirs in counterparts(plain, fused):
        if not ours.requires_grad:
            continue
        (expected,) = torch.autograd.grad(
            loss, ours, retain_graph=True, materialize_grads=True
        )
        (gradient,) = torch.autograd.grad(
            found, theirs, retain_graph=True, allow_unused=True
        )
        if gradient is None:
            assert (expected == 0).all()
        else:
            assert error(gradient, expected) < 1e-10
    for cell in fused.body:
        if isinstance(cell, SearchCell):
            for row in dead:
                unused = [cell.nor_conv_1x1[row].weight, cell.nor_conv_3x3[row].weight]
                gradients = torch.autograd.grad(
                    found, unused, retain_graph=True, allow_unused=True
                )
                assert gradients == (None, None)
