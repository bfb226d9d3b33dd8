"""Images on the device: one gather makes a batch, ids travel with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..contracts import Batch

if TYPE_CHECKING:
    from ..spec import Augmentation
    from .source import Images


class ResidentImages:
    """All images as uint8 on the device; batches are normalised there.

    Attributes:
        pixels: uint8 (n, 3, H, W), on the device.
        labels: int64 (n,), on the device.
        classes: the M class names.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self.pixels = images.pixels.to(device)
        self.labels = images.labels.to(device)
        self.classes = images.classes
        self.fingerprint = images.fingerprint
        mean = torch.tensor(images.mean, device=device).view(1, 3, 1, 1) * 255
        std = torch.tensor(images.std, device=device).view(1, 3, 1, 1) * 255
        self._scale = 1 / std
        self._shift = -mean / std

    def batch(
        self,
        ids: Tensor,
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Gather, augment (if told how, from ``generator`` on the device) and
        normalise the images of ``ids`` (B,)."""
        pixels = self.pixels[ids].float()
        return Batch(pixels * self._scale + self._shift, self.labels[ids], ids)
