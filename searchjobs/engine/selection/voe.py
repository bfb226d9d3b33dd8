"""Variance of the error over a window of epochs: VoE, BDP Eq. 4, online.

Welford's recurrence per sample: nothing but three numbers a sample is stored, on
the device, and an update is a gather and a scatter without a synchronisation.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

Mean = Literal["window", "running"]


class VarianceOfError:
    """Count, mean and spread of the errors of each sample in the present window.

    ``mean="window"`` reads the mean of Eq. 4 as one mean over the window (the
    population variance); ``"running"`` as the mean of the errors so far.

    Attributes:
        count: float (n,), observations in this window; n are all images.
        mean: float (n,), mean error.
    """

    def __init__(
        self,
        samples: int,
        device: torch.device,
        mean: Mean = "window",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.reading = mean
        # one row a sample (count, mean, spread): an update gathers and writes once
        self._state = torch.zeros(samples, 3, device=device, dtype=dtype)

    @property
    def count(self) -> Tensor:
        return self._state[:, 0]

    @property
    def mean(self) -> Tensor:
        return self._state[:, 1]

    @torch.no_grad()
    def update(self, ids: Tensor, errors: Tensor) -> None:
        """Add one observation for each of the samples.

        Args:
            ids: int64 (B,), each at most once: batches are cut from a shuffle.
            errors: float (B,).
        """
        errors = errors.to(self._state.dtype)
        count, mean, spread = self._state.index_select(0, ids).unbind(1)
        count = count + 1
        before = errors - mean
        mean = mean + before / count
        after = errors - mean
        spread = spread + after * (before if self.reading == "window" else after)
        self._state.index_copy_(0, ids, torch.stack((count, mean, spread), dim=1))

    def scores(self, ids: Tensor) -> Tensor:
        """Return the VoE (k,) of samples; 0 for a sample never observed."""
        count, _, spread = self._state.index_select(0, ids).unbind(1)
        return spread / count.clamp(min=1)

    def reset(self) -> None:
        """Begin a new window."""
        self._state.zero_()

    def state_dict(self) -> dict[str, Any]:
        return {"state": self._state.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._state.copy_(state["state"])
