"""Images on the device: one gather makes a batch, ids travel with it.

Images that are too large for it stay on the disk; then the gather reads them, and
everything else is the same (``on_disk``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batch import Batch
from .augment import crop_and_flip, cut_out, draw
from .on_disk import PixelsOnDisk
from .source import Summary

if TYPE_CHECKING:
    from ..sections import Augmentation
    from .source import Images


class ResidentImages:
    """All images as uint8 on the device; batches are normalised there.

    Attributes:
        pixels: uint8 (n, 3, S, S), on the device, or what reads them there.
        labels: int64 (n,), on the device.
        classes: the M class names.
        fingerprint: hash of pixels and labels.
        unreadable: files that are left out, and why.
    """

    def __init__(
        self,
        images: Images,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.pixels = images.pixels.to(device)
        self.labels = images.labels.to(device)
        self.classes = images.classes
        self.fingerprint = images.fingerprint
        self.unreadable = images.unreadable
        mean = torch.tensor(images.mean, dtype=dtype).view(1, 3, 1, 1) * 255
        std = torch.tensor(images.std, dtype=dtype).view(1, 3, 1, 1) * 255
        self._scale = (1 / std).to(device)
        self._shift = (-mean / std).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def summary(self) -> Summary:
        """Return what is there, counted; waits for the device."""
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        return Summary(tuple(counts.tolist()), self.classes, self.pixels.shape[-1])

    def expect(self, name: str, batches: Sequence[Tensor]) -> None:
        """Say which ids (B,) will be asked for next, batch by batch, under a name: what
        stays on the disk is read ahead.  They are known again as the same tensors."""
        if isinstance(self.pixels, PixelsOnDisk):
            self.pixels.expect(name, batches)

    def batch(
        self,
        ids: Tensor,
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Gather and normalise images to ``dtype``; nothing here synchronises, unless
        images on the disk are asked for that nobody expected.

        Args:
            ids: int64 (B,), on the device.
            augmentation: how to augment; None is the test transform.
            generator: where the augmentation draws from, on the device.

        Raises:
            ValueError: an augmentation without a generator.
        """
        pixels, draws = self.pixels[ids], None
        if augmentation is not None:
            if generator is None:
                raise ValueError("augmentation draws from a generator; give one")
            draws = draw(len(ids), pixels.shape[-1], augmentation, generator)
            if draws.offsets is not None or draws.flips is not None:
                pixels = crop_and_flip(pixels, draws, augmentation.crop_padding)
        # one fused multiply-add instead of a division, a subtraction, a division
        images = torch.addcmul(self._shift, pixels.to(self._scale.dtype), self._scale)
        if augmentation is not None and draws and draws.centres is not None:
            images = cut_out(images, draws.centres, augmentation.cutout)
        return Batch(images, self.labels[ids], ids)
