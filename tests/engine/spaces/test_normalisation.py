"""Our batch norm against PyTorch's, gradients of both orders included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from searchjobs.engine.spaces.nas_bench_201.normalisation import BatchNorm, normalise


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    z = 3 + 2 * torch.randn(4, 3, 5, 6, generator=generator, dtype=dtype)
    z = z.contiguous(memory_format=torch.channels_last)
    scale = torch.rand(3, generator=generator, dtype=dtype)
    shift = torch.rand(3, generator=generator, dtype=dtype)
    return z.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_first_and_second_derivatives_are_right(layout):
    z, scale, shift = inputs()
    z = z.detach()[:, :, :2, :2].contiguous(memory_format=layout).requires_grad_()

    def ours(z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return normalise(z, scale, shift, None, None, True)

    assert torch.autograd.gradcheck(ours, (z, scale, shift))
    assert torch.autograd.gradgradcheck(ours, (z, scale, shift))


def test_a_large_mean_does_not_spoil_the_variance():
    """The one-pass formula would lose all digits here."""
    z = 1000 + torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(3)
    z = z.contiguous(memory_format=torch.channels_last)
    expected = batch_norm(z.double(), None, None, None, None, True)
    found = normalise(z, ones, None, None, None, True)
    assert (found - expected).abs().max() < 1e-3


def test_the_module_keeps_the_statistics_of_pytorch():
    z, _, _ = inputs(torch.float32)
    theirs, ours = nn.BatchNorm2d(3), BatchNorm(3)
    for _ in range(2):
        torch.testing.assert_close(ours(z), theirs(z))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(z), theirs.eval()(z))


def test_only_the_wanted_gradients_are_made():
    z, scale, _ = inputs()
    result = normalise(z.detach(), scale, None, None, None, True)
    (slope,) = torch.autograd.grad(result.pow(2).sum(), scale)
    result = batch_norm(z.detach(), None, None, scale, None, True)
    (expected,) = torch.autograd.grad(result.pow(2).sum(), scale)
    torch.testing.assert_close(slope, expected)


def test_one_value_per_channel_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="larger batch"):
        normalise(torch.ones(1, 3, 1, 1), torch.ones(3), None, None, None, True)
