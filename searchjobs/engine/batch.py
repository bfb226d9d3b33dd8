"""What goes into a half-step and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # events need the names here, and no PyTorch
    from torch import Tensor

SetName = Literal["T", "V"]
Level = Literal["weights", "architecture"]


@dataclass(frozen=True)
class Batch:
    """Images ready for the network.

    Attributes:
        images: float (B, 3, H, W), augmented and normalised, on the device.
        labels: int64 (B,).
        ids: int64 (B,), positions in the original data set, whatever was pruned.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor


@dataclass(frozen=True)
class StepResult:
    """What one half-step leaves behind; nothing here needs a synchronisation.

    Attributes:
        loss: float scalar, mean cross-entropy, detached.
        logits: float (B, M), detached, of the forward that happened anyway.
    """

    loss: Tensor
    logits: Tensor
