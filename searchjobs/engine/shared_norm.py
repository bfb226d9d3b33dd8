"""Batch norm whose batch is spread over several processes.

Inside ``over_all_processes`` every process holds a part of the batch, and mean and
variance are those of the whole batch, forward and backward: one exchange of
2 C + 1 numbers a norm forward, one of 2 C numbers backward.  Outside, and in a search
of one process, nothing here is ever called.

``torch.nn.SyncBatchNorm`` does the same on CUDA alone, and only as a module.

Sources: S. Ioffe, C. Szegedy, Batch Normalization, ICML 2015 (the gradients);
T. Chan, G. Golub, R. LeVeque, Updating Formulae for Computing Sample Variances, 1979
(how means and sums of squares of parts become those of the whole).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

from .collectives import gather_rows, sum_over_all

_active = False


@contextlib.contextmanager
def over_all_processes() -> Iterator[None]:
    """Normalise by the batch of all processes inside, in forward and backward.

    Every process must compute the same norms in the same order inside.
    """
    global _active
    before, _active = _active, True
    try:
        yield
    finally:
        _active = before


def is_active() -> bool:
    """Say whether a norm that trains must be computed by ``batch_norm`` here."""
    return _active


def batch_norm(
    z: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    epsilon: float,
) -> Tensor:
    """Return scale * (z - mean) / std + shift, per channel, of the global batch.

    The result of ``torch.nn.functional.batch_norm`` in training on the batches of all
    processes, one after the other; each process gets the rows that it gave.

    Args:
        z: (b, C, ...), at least one row, b may differ between processes.
        scale: (C,) or None for one.
        shift: (C,) or None for zero.
        running_mean: (C,) or None; updated in place, alike in all processes.
        running_var: (C,) or None, likewise.
        momentum: share of the new statistics in the running ones.
        epsilon: added to the variance.
    """
    result, mean, variance, count = _BatchNorm.apply(z, scale, shift, epsilon)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (count / (count - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return result


class _BatchNorm(Function):
    """Also returns mean, (biased) variance and number of values of a channel."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, scale: Tensor | None, shift: Tensor | None, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims, here = _dims(z), z.numel() // z.shape[1]
        own_mean = z.mean(dims)
        result = z - _wide(own_mean, z)
        squares = (result * result).sum(dims)
        mean, variance, count = _combine(own_mean, squares, here)
        inverse = (variance + epsilon).rsqrt()
        factor = inverse if scale is None else inverse * scale
        constant = (own_mean - mean) * factor
        if shift is not None:
            constant = constant + shift
        result.mul_(_wide(factor, z)).add_(_wide(constant, z))
        ctx.save_for_backward(z, scale, shift, mean, inverse, count)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance, count)
        return result, mean, variance, count

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        z, scale, shift, mean, inverse, count = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, z, scale, shift, gradient)
        dims = _dims(z)
        total = gradient.sum(dims)
        # sum over this process's rows of gradient * (z - mean)
        covariance = (gradient * (z - _wide(mean, z))).sum(dims)
        to_z = to_scale = to_shift = None
        if ctx.needs_input_grad[0]:
            everywhere = sum_over_all(torch.cat((total, covariance))) / count
            mean_slope, mean_product = everywhere.chunk(2)
            factor = inverse if scale is None else inverse * scale
            along = factor * inverse * inverse * mean_product
            constant = along * mean - factor * mean_slope
            to_z = torch.addcmul(
                _wide(constant, z), gradient, _wide(factor, z)
            ).addcmul_(z, _wide(along, z), value=-1)
        # what scale and shift are owed by the rows of this process; the gradients
        # of all processes are added up at the end of the half-step
        if ctx.needs_input_grad[1]:
            to_scale = covariance * inverse
        if ctx.needs_input_grad[2]:
            to_shift = total
        return to_z, to_scale, to_shift, None


def _combine(mean: Tensor, squares: Tensor, here: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and count over all processes, from the mean, the sum of
    squared deviations and the count of each.  In every process the same bits."""
    count = mean.new_full((1,), here)
    rows = gather_rows(torch.cat((mean, squares, count)))
    means, squared = rows[:, :-1].chunk(2, dim=1)
    counts = rows[:, -1:]
    total = counts.sum(0)
    whole = (means * counts).sum(0) / total
    variance = (squared + counts * (means - whole) ** 2).sum(0) / total
    return whole, variance, total


def _differentiable_backward(
    ctx: Any, z: Tensor, scale: Tensor | None, shift: Tensor | None, gradient: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    """Return the gradients as a graph of their own, by the formula written out."""
    inputs = (z, scale, shift)
    wanted = [
        tensor
        for tensor, needed in zip(inputs, ctx.needs_input_grad[:3], strict=True)
        if needed and tensor is not None
    ]
    result = _written_out(z, scale, shift, ctx.epsilon)
    found = iter(torch.autograd.grad(result, wanted, gradient, create_graph=True))
    to_z, to_scale, to_shift = (
        next(found) if needed else None for needed in ctx.needs_input_grad[:3]
    )
    return to_z, to_scale, to_shift, None


def _written_out(
    z: Tensor, scale: Tensor | None, shift: Tensor | None, epsilon: float
) -> Tensor:
    """Compute the norm by operations that can be differentiated any number of times."""
    count = sum_over_all(z.new_full((1,), z.numel() // z.shape[1]))
    mean = sum_over_all(z.sum(_dims(z))) / count
    centred = z - _wide(mean, z)
    variance = sum_over_all((centred * centred).sum(_dims(z))) / count
    factor = (variance + epsilon).rsqrt()
    result = centred * _wide(factor if scale is None else factor * scale, z)
    return result if shift is None else result + _wide(shift, z)


def _dims(z: Tensor) -> list[int]:
    """Return all dimensions but that of the channels."""
    return [0, *range(2, z.dim())]


def _wide(values: Tensor, z: Tensor) -> Tensor:
    """View (C,) so that it spreads over ``z``."""
    return values.view(1, -1, *[1] * (z.dim() - 2))


class _SharedBatchNorm(AnyBatchNorm):
    """PyTorch's module, over all processes where that is asked for."""

    def forward(self, input: Tensor) -> Tensor:
        trains = self.training or self.running_mean is None
        if not (is_active() and trains):
            return super().forward(input)
        self._check_input_dim(input)
        tracked = self.training and self.running_mean is not None
        momentum = self.momentum
        if tracked and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # a plain average of all batches so far
                momentum = 1.0 / float(self.num_batches_tracked)
        return batch_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            momentum or 0.0,
            self.eps,
        )


class _Shared1d(_SharedBatchNorm, nn.BatchNorm1d): ...


class _Shared2d(_SharedBatchNorm, nn.BatchNorm2d): ...


class _Shared3d(_SharedBatchNorm, nn.BatchNorm3d): ...


_SHARED: dict[type[nn.Module], type[AnyBatchNorm]] = {
    nn.BatchNorm1d: _Shared1d,
    nn.BatchNorm2d: _Shared2d,
    nn.BatchNorm3d: _Shared3d,
}


def share_norms(network: nn.Module) -> None:
    """Let PyTorch's batch norms in a network be computed over all processes.

    Parameters, buffers and their names stay; a subclass that computes by itself
    asks ``is_active``.
    """
    for module in network.modules():
        shared = _SHARED.get(type(module))
        if shared is not None:
            module.__class__ = shared
