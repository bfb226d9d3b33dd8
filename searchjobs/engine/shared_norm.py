"""Batch norm whose batch is spread over several processes.

Inside ``over_all_processes`` every process holds a part of the batch, and mean and
variance are those of the whole batch, forward and backward: one exchange of three
numbers a channel forward, one of two backward.  Outside, and in a search of one
process, nothing here is ever called.

``torch.nn.SyncBatchNorm`` does the same on CUDA alone, and only as a module.

Sources: S. Ioffe, C. Szegedy, Batch Normalization, ICML 2015 (the gradients);
T. Chan, G. Golub, R. LeVeque, Updating Formulae for Computing Sample Variances, 1979
(how means and sums of squares of parts become those of the whole).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

from .collectives import gather_rows, sum_over_all

_active = False
_rows: tuple[int, int, int] | None = None


@contextlib.contextmanager
def over_all_processes(rows: tuple[int, int, int] | None = None) -> Iterator[None]:
    """Normalise by the batch of all processes inside, in forward and backward.

    Every process must compute the same norms in the same order inside.

    Args:
        rows: first row, end and size: where this process's share lies in the batch.
    """
    global _active, _rows
    before = _active, _rows
    _active, _rows = True, rows
    try:
        yield
    finally:
        _active, _rows = before


def is_active() -> bool:
    """Say whether a norm that trains must be computed by ``batch_norms`` here."""
    return _active


def share_of_batch(rows: int) -> tuple[int, int, int]:
    """Return first row, end and size of the whole batch of which ``rows`` rows are
    here: all of it, unless it is spread over processes."""
    return _rows if _rows is not None else (0, rows, rows)


class Norm(NamedTuple):
    """One batch norm that is to be computed.

    Attributes:
        z: (b, C, ...), at least one row; b may differ between processes.
        scale: (C,) or None for one.
        shift: (C,) or None for zero.
        running_mean: (C,) or None; updated in place, alike in all processes.
        running_var: (C,) or None, likewise.
    """

    z: Tensor
    scale: Tensor | None
    shift: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None


def batch_norms(norms: Sequence[Norm], momentum: float, epsilon: float) -> list[Tensor]:
    """Return scale * (z - mean) / std + shift of each norm, per channel.

    The results of ``torch.nn.functional.batch_norm`` in training on the batches of all
    processes, one after the other; each process gets the rows that it gave.  All the
    norms together take one exchange, so those that can be computed at once should be.

    Args:
        norms: in the same order in every process.
        momentum: share of the new statistics in the running ones.
        epsilon: added to the variances.
    """
    columns = [[norm[i] for norm in norms] for i in range(3)]
    outputs = _BatchNorms.apply(epsilon, *columns[0], *columns[1], *columns[2])
    results, (means, variances, counts) = outputs[: len(norms)], outputs[len(norms) :]
    channels = [norm.z.shape[1] for norm in norms]
    with torch.no_grad():
        statistics = zip(
            norms,
            means.split(channels),
            (variances * (counts / (counts - 1))).split(channels),
            strict=True,
        )
        for norm, mean, unbiased in statistics:
            if norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
                norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)
    return list(results)


class _BatchNorms(Function):
    """Also returns means, (biased) variances and counts of values, of all channels of
    all norms in one row each."""

    @staticmethod
    def forward(ctx: Any, epsilon: float, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        zs, scales, shifts = _columns(inputs)
        channels = [z.shape[1] for z in zs]
        own_means = [z.mean(_dims(z)) for z in zs]
        results = [z - _wide(mean, z) for z, mean in zip(zs, own_means, strict=True)]
        squares = [(centred * centred).sum(_dims(centred)) for centred in results]
        heres = [
            mean.new_full(mean.shape, _values(z))
            for z, mean in zip(zs, own_means, strict=True)
        ]
        own_mean = torch.cat(own_means)
        mean, variance, count = _combine(own_mean, torch.cat(squares), torch.cat(heres))
        inverse = (variance + epsilon).rsqrt()
        moved = own_mean - mean
        steps = zip(
            results,
            scales,
            shifts,
            inverse.split(channels),
            moved.split(channels),
            strict=True,
        )
        for centred, scale, shift, factor, constant in steps:
            factor = factor if scale is None else factor * scale
            constant = constant * factor
            if shift is not None:
                constant = constant + shift
            centred.mul_(_wide(factor, centred)).add_(_wide(constant, centred))
        ctx.save_for_backward(*inputs, mean, inverse, count)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance, count)
        return *results, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mean, inverse, count = ctx.saved_tensors
        slopes = gradients[:-3]
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, inputs, slopes)
        zs, scales, shifts = _columns(inputs)
        channels = [z.shape[1] for z in zs]
        means, inverses = mean.split(channels), inverse.split(channels)
        totals = [slope.sum(_dims(slope)) for slope in slopes]
        # sums over this process's rows of gradient * (z - mean)
        covariances = [
            (slope * z).sum(_dims(z)) - own * total
            for slope, z, own, total in zip(slopes, zs, means, totals, strict=True)
        ]
        everywhere = sum_over_all(
            torch.stack((torch.cat(totals), torch.cat(covariances)))
        )
        mean_slopes, mean_products = (
            row.split(channels) for row in (everywhere / count).unbind()
        )
        to_z: list[Tensor | None] = []
        for i, z in enumerate(zs):
            scale = scales[i]
            factor = inverses[i] if scale is None else inverses[i] * scale
            along = factor * inverses[i] * inverses[i] * mean_products[i]
            constant = along * means[i] - factor * mean_slopes[i]
            start = torch.addcmul(_wide(constant, z), slopes[i], _wide(factor, z))
            to_z.append(start.addcmul_(z, _wide(along, z), value=-1))
        # what scale and shift are owed by the rows of this process: the gradients of
        # all processes are added up at the end of the half-step
        to_scale = [
            None if scale is None else covariance * own
            for scale, covariance, own in zip(
                scales, covariances, inverses, strict=True
            )
        ]
        to_shift = [
            None if shift is None else total
            for shift, total in zip(shifts, totals, strict=True)
        ]
        return None, *to_z, *to_scale, *to_shift


def _columns(
    inputs: Sequence[Any],
) -> tuple[list[Tensor], list[Tensor | None], list[Tensor | None]]:
    """Return the maps, scales and shifts that stand one after the other."""
    count = len(inputs) // 3
    return (
        list(inputs[:count]),
        list(inputs[count : 2 * count]),
        list(inputs[2 * count :]),
    )


def _combine(
    means: Tensor, squares: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and count over all processes, from the means, the sums of
    squared deviations and the counts of each.  In every process the same bits."""
    rows = gather_rows(torch.cat((means, squares, counts)))
    own_means, own_squares, own_counts = rows.chunk(3, dim=1)
    count = own_counts.sum(0)
    mean = (own_means * own_counts).sum(0) / count
    moved = own_counts * (own_means - mean) ** 2
    return mean, (own_squares + moved).sum(0) / count, count


def _differentiable_backward(
    ctx: Any, inputs: Sequence[Tensor | None], slopes: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradients as a graph of their own."""
    found = [
        twice_differentiable(z, scale, slope, ctx.epsilon, sum_over_all)
        for z, scale, slope in zip(*_columns(inputs)[:2], slopes, strict=True)
    ]
    to_z, to_scale, to_shift = zip(*found, strict=True)
    gradients = None, *to_z, *to_scale, *to_shift
    return tuple(
        gradient if needed else None
        for gradient, needed in zip(gradients, ctx.needs_input_grad, strict=True)
    )


def twice_differentiable(
    z: Tensor,
    scale: Tensor | None,
    slope: Tensor,
    epsilon: float,
    summed: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients by z, scale and shift, as operations that can themselves be
    differentiated.

    They are written out because ``torch.autograd.grad`` inside a backward would follow
    ``z`` down to where an earlier norm took the same scale: a wrong gradient, and a
    cost that grows with each norm by a factor.

    Args:
        z: (b, C, ...).
        scale: (C,) or None for one.
        slope: gradient by the result, like ``z``.
        epsilon: added to the variance.
        summed: adds up what the processes have; the same tensor if there is one.
    """
    dims = _dims(z)
    count = summed(z.new_full((1,), _values(z)))
    centred = z - _wide(summed(z.sum(dims)) / count, z)
    variance = summed((centred * centred).sum(dims)) / count
    inverse = (variance + epsilon).rsqrt()
    # what scale and shift are owed by the rows of this process
    to_shift, to_scale = slope.sum(dims), (slope * centred).sum(dims) * inverse
    factor = inverse if scale is None else inverse * scale
    constant = factor * summed(to_shift) / count
    along = factor * inverse * summed(to_scale) / count
    # multiplied out, so that the graph keeps two maps: slope and centred
    to_z = slope * _wide(factor, z) - _wide(constant, z) - centred * _wide(along, z)
    return to_z, to_scale, to_shift


def _values(z: Tensor) -> int:
    """Return how many values a channel has here."""
    return z.numel() // z.shape[1]


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
        norm = Norm(
            input,
            self.weight,
            self.bias,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
        )
        return batch_norms([norm], momentum or 0.0, self.eps)[0]


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
