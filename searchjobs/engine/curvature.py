"""Second derivatives of a loss, as products with vectors, over all processes.

A gradient whose graph is kept can be differentiated again: the derivative of its
inner product with a vector is the product of that vector with the matrix of second
derivatives, and the matrix itself is never made.

Source: B. Pearlmutter, Fast Exact Multiplication by the Hessian, 1994.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .contracts import Batch, Search
from .parallel import LossOf
from .shared_norm import share_norms


class Curvature:
    """The gradient of one loss on one batch, ready to be differentiated again.

    Holds the graph of forward and backward as long as it lives; until then nothing may
    change the weights or the running statistics of batch norms.  Every process of a
    search must make one, and ask it for the same products in the same order.

    Args:
        loss_of: batch -> (mean loss, logits), differentiable in all that is asked of.
        wanted: tensors whose gradient is differentiated again.
        search: the search whose supernet the loss runs.
        batch: the whole batch.
    """

    def __init__(
        self,
        loss_of: LossOf,
        wanted: Sequence[Tensor],
        search: Search,
        batch: Batch,
    ) -> None:
        self._parallel = search.parallel
        if search.parallel.size > 1:
            share_norms(search.supernet)
        with search.supernet.twice_differentiable(), self._parallel.part(batch) as part:
            share, weight = part
            loss, _ = loss_of(share)
            self._gradients = torch.autograd.grad(
                loss * weight, list(wanted), create_graph=True, allow_unused=True
            )

    def times(
        self, vectors: Sequence[Tensor | None], of: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return, for each tensor of ``of``, the derivative by it of the inner product
        of the gradient with ``vectors``, which stand in the order of ``wanted``; None
        is a vector of zeros.

        With ``of = wanted`` that is the Hessian times the vectors.
        """
        pairs = [
            (gradient, vector)
            for gradient, vector in zip(self._gradients, vectors, strict=True)
            if gradient is not None and vector is not None and gradient.requires_grad
        ]
        gradients, slopes = zip(*pairs, strict=True)
        found = torch.autograd.grad(
            gradients, list(of), slopes, retain_graph=True, materialize_grads=True
        )
        return [total for total in self._parallel.summed(found) if total is not None]
