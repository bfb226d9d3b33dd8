"""The error of each sample: EL2N, BDP Eq. 3; also the data importance of PA&DA."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def sample_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``|| softmax(z) - onehot(y) ||_2`` per sample, (B,), 0 to sqrt(2).

    The true class adds ``1 - p_y = sum of the others``, so no term is a difference
    of nearly equal numbers: a logit margin of 12 keeps its error in float32, where
    ``sqrt(sum p^2 - 2 p_y + 1)`` gives exactly 0.  At least float32, whatever the
    logits are.

    Args:
        logits: float (B, M).
        labels: int64 (B,).
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    others = torch.softmax(precise, dim=1).scatter(1, labels[:, None], 0.0)
    return torch.hypot(torch.linalg.vector_norm(others, dim=1), others.sum(dim=1))
