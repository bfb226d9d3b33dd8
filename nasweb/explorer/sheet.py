"""Many small images in one picture: a page of a gallery is one request."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Images along a row of a sheet.
COLUMNS = 12
#: Images of a sheet, at most.
MOST = 120
#: Part of a sheet's address and ETag: another number where sheets look different.
LAYOUT = 1
#: Each image is framed by its own edge, so that none bleeds into its neighbour.
FRAME = 1
#: From this side on images are scaled smoothly; smaller ones keep their pixels.
SMOOTH_SIDE = 48


@dataclass(frozen=True)
class Cell:
    """Where an image lies on its sheet, as CSS ``background-position``, per cent."""

    x: float
    y: float


def address(path: str, fingerprint: str, ids: str) -> str:
    """Return the address of a sheet: whatever it would change changes the address."""
    return f"{path}?v={fingerprint}-{LAYOUT}&ids={ids}"


def etag(fingerprint: str, ids: Sequence[int]) -> str:
    """Return the ETag of a sheet, quoted."""
    digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]
    return f'"{fingerprint}-{LAYOUT}-{digest}"'


def cells(count: int, side: int) -> list[Cell]:
    """Return where each of ``count`` images lies; see ``sheet`` and ``scale``."""
    columns, rows = _shape(count)
    return [
        Cell(
            _position(place % columns, columns, side),
            _position(place // columns, rows, side),
        )
        for place in range(count)
    ]


def scale(count: int, side: int) -> tuple[float, float]:
    """Return the CSS ``background-size`` of a sheet, per cent of one image."""
    columns, rows = _shape(count)
    pitch = side + 2 * FRAME
    return 100 * columns * pitch / side, 100 * rows * pitch / side


def sheet(images: NDArray[np.uint8]) -> bytes:
    """Return images uint8 (k, S, S, 3) as one PNG, row by row."""
    count, side = images.shape[:2]
    columns, rows = _shape(count)
    framed = np.pad(images, ((0, 0), (FRAME, FRAME), (FRAME, FRAME), (0, 0)), "edge")
    pitch = side + 2 * FRAME
    whole = np.zeros((rows * columns, pitch, pitch, 3), dtype=np.uint8)
    whole[:count] = framed
    tiled = whole.reshape(rows, columns, pitch, pitch, 3).transpose(0, 2, 1, 3, 4)
    picture = Image.fromarray(tiled.reshape(rows * pitch, columns * pitch, 3))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _shape(count: int) -> tuple[int, int]:
    columns = min(max(count, 1), COLUMNS)
    return columns, -(-max(count, 1) // columns)


def _position(at: int, of: int, side: int) -> float:
    """CSS takes a share of the room that is left: image minus window."""
    pitch = side + 2 * FRAME
    return 100 * (at * pitch + FRAME) / (of * pitch - side)
