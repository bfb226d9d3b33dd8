"""What methods share that train weights and alpha at once, on the same batch.

There is no second level: one forward and one backward of a batch of T, which holds all
training images, give the gradients of both.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..contracts import Batch, DataStreams, StepResult
from ..graphs import half_step
from ._alternating import Alternating


class SingleLevel(Alternating):
    """One step for both levels, unless ``streams`` says that there are two."""

    @classmethod
    def streams(cls, options: Any) -> DataStreams:
        return "single"

    def initial_tables(self) -> dict[str, Tensor]:
        """Return alpha as the SNAS code begins it: N(1, 0.01)."""
        tables = super().initial_tables()  # 1e-3 N(0, 1)
        return {
            name: (1 + 10 * table.detach()).requires_grad_()
            for name, table in tables.items()
        }

    def build(self) -> None:
        super().build()
        wanted = [*self.alpha_leaves(), *self.weights.parameters]
        self.joint_half = half_step(self.alpha_loss, wanted, self.search)

    @property
    def alpha_moves(self) -> bool:
        """Whether the warm-up, in which alpha stands still, is over."""
        return self.search.epoch >= self.search.spec.training.warmup_epochs

    def weight_step(self, batch: Batch) -> StepResult:
        """Update w, and alpha by the same backward where there is one level."""
        if self.streams(self.options) != "single":
            return super().weight_step(batch)
        result, gradients = self.joint_half(batch)
        of_alpha = len(self.alpha_leaves())
        self.weights.step(gradients[of_alpha:])
        if self.alpha_moves:
            self.update_alpha(gradients[:of_alpha])
        return result
