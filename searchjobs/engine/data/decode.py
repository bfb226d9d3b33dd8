"""From image files to uint8 squares: in parallel, and what is broken is told."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .prepare import resize

#: By content, whatever a file is called.  Pillow knows more formats: one of them
#: starts another program, others nobody trains on.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm"),
)
#: Known from the header, before anything is decoded.  The largest photographs of
#: ImageNet have fewer.
MOST_PIXELS = 60_000_000
DEEP_MODES = ("I", "F")  # more than 8 bits a channel; Pillow would clip them
TOLD_EVERY = 512  # images

# It would warn once and read on; ``square`` leaves out what is too large.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Decoded = Generator[int, None, tuple[Tensor, dict[int, str]]]


class UnreadableError(ValueError):
    """This file cannot be used as an image; the message is a sentence."""


def decode(paths: Sequence[Path], size: int) -> Decoded:
    """Read images, and yield on the way how many are read.

    Returns:
        The images as uint8 (n, 3, size, size), and by position a sentence for each
        that cannot be read: its pixels mean nothing.
    """
    pixels = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)

    def read(position: int) -> str:
        try:
            pixels[position] = square(paths[position], size)
        except UnreadableError as error:
            return str(error)
        return ""

    bad: dict[int, str] = {}
    # Pillow and torch let go of the interpreter while they work
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), TOLD_EVERY):
            part = range(start, min(start + TOLD_EVERY, len(paths)))
            found = zip(part, pool.map(read, part), strict=True)
            bad |= {position: why for position, why in found if why}
            yield part.stop
    return pixels, bad


def square(path: Path, size: int) -> Tensor:
    """Return the central square of one image, upright, averaged to uint8 (3, size,
    size).  Raises ``UnreadableError``."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_unfit(image)
            colours = ImageOps.exif_transpose(image).convert("RGB")
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("It is not an image of a known format.") from None
    except Image.DecompressionBombError:
        raise UnreadableError(
            f"It has more than {MOST_PIXELS:,} pixels; make it smaller."
        ) from None
    except (FileNotFoundError, PermissionError) as error:
        raise UnreadableError(f"It cannot be opened ({error.strerror}).") from None
    # a broken file makes Pillow raise almost anything
    except Exception:
        raise UnreadableError("It is damaged or cut off.") from None
    pixels = torch.from_numpy(np.array(colours)).permute(2, 0, 1)
    return resize(pixels[None], size)[0]


def _refuse_unfit(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise UnreadableError(
            f"It has {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}; make "
            "it smaller."
        )
    if image.mode.startswith(DEEP_MODES):
        raise UnreadableError("It has more than 8 bits a channel; save it with 8.")
