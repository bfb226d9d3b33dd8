"""What methods share whose alpha looks through the weights: a hypergradient.

    d L_val / d alpha = grad_alpha L_val - what alpha does to L_val by way of w,

the direct part and the slope d = grad_w L_val in one backward of a batch of V; how d
becomes the other part, with second derivatives of L_train, is the method's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from ..contracts import Batch, StepResult
from ..diagnostics.statistics import batch_statistics
from ..graphs import half_step
from ._alternating import Alternating

Gradients = Sequence[Tensor | None]


class Hypergradient(Alternating):
    """Architecture steps with a batch of T beside that of V.

    Weights and batch-norm statistics are afterwards the same bits as before.
    """

    @classmethod
    def unrolls(cls, options: Any) -> int:
        """One batch of T: that of the weight step beside it."""
        return 1

    def build(self) -> None:
        super().build()
        both = [*self.weights.parameters, *self.alpha_leaves()]
        self.outer_half = half_step(self.alpha_loss, both, self.search)

    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        result, gradients = self.hypergradient(batch, train[0])
        self.update_alpha(gradients)
        return result

    def hypergradient(
        self, valid: Batch, train: Batch
    ) -> tuple[StepResult, list[Tensor]]:
        """Return what L_val leaves behind, and the gradient of the leaves of alpha."""
        weights = len(self.weights.parameters)
        with batch_statistics(self.search.supernet):
            result, found = self.outer(valid, train)
            direct = cast(list[Tensor], found[weights:])
            by_weights = self.by_weights(train, found[:weights])
        return result, [
            own - part for own, part in zip(direct, by_weights, strict=True)
        ]

    def outer(self, valid: Batch, train: Batch) -> tuple[StepResult, Gradients]:
        """Return the gradients of L_val by weights and alpha, at the weights that the
        method looks from."""
        return self.outer_half(valid)

    @abstractmethod
    def by_weights(self, train: Batch, slopes: Gradients) -> list[Tensor]:
        """Return what alpha gains by way of w, of the slopes d of L_val (None: zero):
        it is taken off the direct gradient."""
