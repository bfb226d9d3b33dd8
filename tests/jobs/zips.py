"""Make zip files of images, sound ones and those that somebody forged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image


def picture(seed: int = 0, size: int = 8, kind: str = "PNG") -> bytes:
    """Return an image of noise."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def plain(width: int, height: int) -> bytes:
    """Return an image of one colour: few bytes, many pixels."""
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(
    files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> io.BytesIO:
    """Return a zip file; a name that ends with / is a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer


def pets(root: str = "", count: int = 3) -> dict[str, bytes]:
    """Return images of two classes, none like another."""
    return {
        f"{root}{name}/{number}.png": picture(100 * place + number)
        for place, name in enumerate(("cat", "dog"))
        for number in range(count)
    }
