"""Normalise by the batch's own statistics, fast on a CPU in channels-last layout.

On a CPU, PyTorch's batch norm takes several times as long as the memory traffic of
its formula, and in channels-last layout its gradients lose one or two digits.  Here
the formula is a handful of whole-map operations on a channels-last map.  The backward
of a first-order step is written out by hand, and so is one that must itself be
differentiated (the Hessian of alpha); other layouts and devices go through PyTorch's
own batch norm.

Source of the formulae: S. Ioffe, C. Szegedy, Batch Normalization, ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import batch_norm

from ...shared_norm import Norm, batch_norms, is_active, twice_differentiable

EPSILON = 1e-5
MOMENTUM = 0.1


def normalise(
    z: Tensor,
    scale: Tensor,
    shift: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
) -> Tensor:
    """Return scale * (z - mean) / std + shift, per channel.

    Args:
        z: (B, C, H, W).
        scale: (C,).
        shift: (C,) or None for zero.
        running_mean: (C,) or None; updated in place while training, used otherwise.
        running_var: (C,) or None, likewise.
        training: use the statistics of the batch even if running ones exist.

    Raises:
        ValueError: there is one value per channel, which has no variance.
    """
    if not training and running_mean is not None:
        return batch_norm(
            z, running_mean, running_var, scale, shift, False, MOMENTUM, EPSILON
        )
    if is_active():
        norm = Norm(z, scale, shift, running_mean, running_var)
        return normalise_together([norm])[0]
    samples = z.numel() // z.shape[1]
    if samples < 2:
        raise ValueError(
            "Batch norm needs more than one value per channel; use a larger batch or "
            "larger images."
        )
    if z.device.type != "cpu" or z.is_contiguous():
        return batch_norm(
            z, running_mean, running_var, scale, shift, True, MOMENTUM, EPSILON
        )
    result, mean, variance = _BatchNorm.apply(z, scale, shift)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, MOMENTUM)
            running_var.lerp_(variance * (samples / (samples - 1)), MOMENTUM)
    return result


def normalise_together(norms: Sequence[Norm]) -> list[Tensor]:
    """Return what ``normalise`` returns for each while processes share a batch."""
    return batch_norms(norms, MOMENTUM, EPSILON)


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's module, computed by ``normalise``: affine and tracked."""

    def forward(self, x: Tensor) -> Tensor:
        return normalise(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training,
        )


class _BatchNorm(Function):
    """Batch norm with batch statistics; also returns mean and (biased) variance."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, scale: Tensor, shift: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        times = _repeats(z)
        rows = _rows(z)
        result = torch.empty_like(z, memory_format=torch.channels_last)
        mean = rows.sum(0) / len(rows)
        lines = _lines(result)
        torch.sub(_lines(z), mean.repeat(times), out=lines)
        variance = (lines * lines).view(rows.shape).sum(0) / len(rows)
        inverse = (variance + EPSILON).rsqrt()
        lines *= (scale * inverse).repeat(times)
        if shift is not None:
            lines += shift.repeat(times)
        ctx.save_for_backward(z, scale, shift, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        z, scale, shift, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = twice_differentiable(z, scale, gradient, EPSILON, lambda own: own)
            return found[0], found[1], None if shift is None else found[2]
        rows, slope = _rows(z), _rows(gradient)
        total = slope.sum(0)
        # sum over the batch of gradient * (z - mean)
        products = _lines(gradient) * _lines(z)
        covariance = products.view(rows.shape).sum(0) - mean * total
        to_z = to_scale = to_shift = None
        if ctx.needs_input_grad[0]:
            factor = scale * inverse
            along = factor * inverse * inverse * covariance / len(rows)
            constant = along * mean - factor * total / len(rows)
            to_z = torch.empty_like(z, memory_format=torch.channels_last)
            lines, times = _lines(to_z), _repeats(z)
            torch.addcmul(
                constant.repeat(times),
                _lines(gradient),
                factor.repeat(times),
                out=lines,
            )
            lines.addcmul_(_lines(z), along.repeat(times), value=-1)
        if ctx.needs_input_grad[1]:
            to_scale = covariance * inverse
        if ctx.needs_input_grad[2]:
            to_shift = total
        return to_z, to_scale, to_shift


def _rows(x: Tensor) -> Tensor:
    """View a channels-last map (B, C, H, W) as (B * H * W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _lines(x: Tensor) -> Tensor:
    """View the same as long rows, so that arithmetic with (C,) runs at full speed."""
    return x.permute(0, 2, 3, 1).reshape(-1, _repeats(x) * x.shape[1])


def _repeats(x: Tensor) -> int:
    """Return how many pixels make a long row; 16 channels are long enough."""
    return x.shape[3] if x.shape[1] < 16 else 1
