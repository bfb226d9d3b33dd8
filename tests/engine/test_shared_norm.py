"""Batch norm over several processes is PyTorch's on the whole batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm

from searchjobs.engine import shared_norm
from searchjobs.engine.spaces.nas_bench_201.normalisation import BatchNorm

from .ranks import on_ranks

EPSILON = 1e-5
CUTS = {2: (0, 2, 7), 3: (0, 1, 3, 7)}


def inputs():
    """Return z, scale, shift and a gradient for seven images, in double precision."""
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return 3 + 2 * numbers(7, 4, 3, 3), numbers(4), numbers(4), numbers(7, 4, 3, 3)


def at_once(affine):
    """Return output, gradients, second gradients and statistics by PyTorch."""
    z, scale, shift, slope = inputs()
    leaves = [z, scale, shift] if affine else [z]
    for leaf in leaves:
        leaf.requires_grad_()
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    given = (scale, shift) if affine else (None, None)
    out = batch_norm(z, mean, variance, *given, True, 0.1, EPSILON)
    return out, *derivatives(out, leaves, slope), mean, variance


def derivatives(out, leaves, slope):
    first = torch.autograd.grad((out * slope).sum(), leaves, retain_graph=True)
    product = torch.autograd.grad((out * slope).sum(), leaves, create_graph=True)[0]
    curved = (product * slope.flip(1)).sum()
    second = torch.autograd.grad(curved, leaves, materialize_grads=True)
    return first, second


def chained(z, scale, slope, norm):
    """Return first and second derivatives of two norms, one behind the other, that take
    the same scale, as cells take alpha."""
    leaves = [z.requires_grad_(), scale.requires_grad_()]
    out = norm(torch.sin(2 * norm(z, scale)), scale)
    first = torch.autograd.grad((out * slope).sum(), leaves, create_graph=True)
    curved = (first[0] * slope.flip(1)).sum() + first[1].sum()
    return first, torch.autograd.grad(curved, leaves)


def chained_share(parallel):
    first, end = CUTS[parallel.size][parallel.rank : parallel.rank + 2]
    z, scale, _, slope = inputs()

    def norm(z, scale):
        one = shared_norm.Norm(z, scale, None, None, None)
        return shared_norm.batch_norms([one], 0.1, EPSILON)[0]

    with shared_norm.over_all_processes():
        found = chained(z[first:end], scale, slope[first:end], norm)
    return [[g.detach().numpy() for g in kind] for kind in found]


def test_a_scale_that_two_norms_share_has_its_first_and_second_gradients():
    z, scale, _, slope = inputs()
    expected = chained(
        z,
        scale,
        slope,
        lambda z, scale: batch_norm(z, None, None, scale, None, True, 0.1, EPSILON),
    )
    told = on_ranks(chained_share, size=2)
    for order, wanted in enumerate(expected):
        rows = whole([each[order][0] for each in told])
        torch.testing.assert_close(rows, wanted[0].detach(), rtol=1e-9, atol=1e-9)
        total = sum(torch.from_numpy(each[order][1]) for each in told)
        torch.testing.assert_close(total, wanted[1].detach(), rtol=1e-9, atol=1e-9)


def one_share(parallel, affine, layout):
    first, end = CUTS[parallel.size][parallel.rank : parallel.rank + 2]
    z, scale, shift, slope = inputs()
    z = z[first:end].contiguous(memory_format=layout)
    leaves = [z, scale, shift] if affine else [z]
    for leaf in leaves:
        leaf.requires_grad_()
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    given = (scale, shift) if affine else (None, None)
    with shared_norm.over_all_processes():
        norm = shared_norm.Norm(z, *given, mean, variance)
        out = shared_norm.batch_norms([norm], 0.1, EPSILON)[0]
        found = derivatives(out, leaves, slope[first:end])
    arrays = [[g.detach().numpy() for g in kind] for kind in found]
    return out.detach().numpy(), *arrays, mean.numpy(), variance.numpy()


def whole(parts):
    return torch.cat([torch.from_numpy(part) for part in parts])


@pytest.mark.parametrize(
    ("size", "affine", "layout"),
    [
        (2, True, torch.contiguous_format),
        (2, False, torch.channels_last),
        (3, True, torch.channels_last),
    ],
)
def test_uneven_shares_give_what_the_whole_batch_gives(size, affine, layout):
    out, first, second, mean, variance = at_once(affine)
    told = on_ranks(one_share, affine, layout, size=size)
    outs, firsts, seconds, means, variances = zip(*told, strict=True)
    torch.testing.assert_close(whole(outs), out.detach(), rtol=0, atol=1e-10)
    for expected, found in ((first, firsts), (second, seconds)):
        rows = whole([gradients[0] for gradients in found])
        torch.testing.assert_close(rows, expected[0].detach(), rtol=0, atol=1e-10)
        for position in range(1, len(expected)):
            total = sum(torch.from_numpy(each[position]) for each in found)
            torch.testing.assert_close(total, expected[position], rtol=0, atol=1e-10)
    for rank in range(size):
        assert abs(means[rank] - mean.numpy()).max() < 1e-10
        assert abs(variances[rank] - variance.numpy()).max() < 1e-10
        assert (means[rank] == means[0]).all(), "equal to the last bit"


def modules():
    return nn.Sequential(
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False, track_running_stats=False),
        BatchNorm(4),
        nn.Flatten(2),
        nn.BatchNorm1d(4, momentum=0.3),
    ).double()


def through_modules(parallel):
    network = modules()
    names = list(network.state_dict())
    shared_norm.share_norms(network)
    z, *_ = inputs()
    first, end = CUTS[2][parallel.rank : parallel.rank + 2]
    with shared_norm.over_all_processes():
        for _ in range(2):
            out = network(z[first:end])
    assert list(network.state_dict()) == names
    network.eval()
    with shared_norm.over_all_processes():
        judged = network(z[first:end])
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return out.detach().numpy(), judged.detach().numpy(), state


def test_the_modules_of_pytorch_and_ours_see_the_whole_batch():
    network = modules()
    z, *_ = inputs()
    for _ in range(2):
        out = network(z)
    network.eval()
    judged = network(z)
    outs, judgements, states = zip(*on_ranks(through_modules), strict=True)
    torch.testing.assert_close(whole(outs), out.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(whole(judgements), judged.detach(), rtol=0, atol=1e-10)
    for name, tensor in network.state_dict().items():
        for state in states:
            assert abs(state[name] - tensor.numpy()).max() < 1e-10, name
