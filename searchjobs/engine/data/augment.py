"""Batched crop, flip and cutout on the device: no Python loop over samples.

Zero padding, random crop of the image size and horizontal flip are one gather;
cutout comes after normalisation, clipped at the border (DARTS family).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from ..sections import Augmentation


@dataclass(frozen=True)
class Draws:
    """The random numbers of one batch of B images of side S.

    Attributes:
        offsets: int64 (2, B), rows and columns of the crop's corner in the padded
            image, 0 to 2 x padding; None without a crop.
        flips: bool (B,); None without flips.
        centres: int64 (2, B), rows and columns of the cutout, 0 to S - 1; None
            without cutout.
    """

    offsets: Tensor | None
    flips: Tensor | None
    centres: Tensor | None


def draw(
    count: int, size: int, augmentation: Augmentation, generator: torch.Generator
) -> Draws:
    """Draw what ``augmentation`` needs for ``count`` images, on the generator's
    device; what is switched off draws nothing."""
    device = generator.device
    offsets = flips = centres = None
    if augmentation.crop_padding:
        places = 2 * augmentation.crop_padding + 1
        offsets = torch.randint(places, (2, count), generator=generator, device=device)
    if augmentation.flip:
        flips = torch.rand(count, generator=generator, device=device) < 0.5
    if augmentation.cutout:
        centres = torch.randint(size, (2, count), generator=generator, device=device)
    return Draws(offsets, flips, centres)


def crop_and_flip(pixels: Tensor, draws: Draws, padding: int) -> Tensor:
    """Flip and crop a batch uint8 (B, C, S, S); the flip comes first, as in the
    NAS-Bench-201 code.  What the crop sees of the padding is zero (black)."""
    count, channels, size, _ = pixels.shape
    side = size + 2 * padding
    steps = torch.arange(size, device=pixels.device)
    rows = columns = steps.expand(count, size)
    if draws.offsets is not None:
        pixels = functional.pad(pixels, (padding,) * 4)
        rows = rows + draws.offsets[0, :, None]
        columns = columns + draws.offsets[1, :, None]
    if draws.flips is not None:
        columns = torch.where(draws.flips[:, None], side - 1 - columns, columns)
    places = (rows * side)[:, :, None] + columns[:, None, :]
    places = places.view(count, 1, -1).expand(-1, channels, -1)
    flat = pixels.reshape(count, channels, side * side)
    return flat.gather(2, places).view(count, channels, size, size)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Set a square of ``side`` pixels around each centre to 0 in normalised images
    (B, C, S, S); it is clipped at the border."""
    steps = torch.arange(images.shape[-1], device=images.device)
    starts = centres - side // 2
    inside = (steps >= starts[..., None]) & (steps < starts[..., None] + side)
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(square, 0)
