"""Images that stay in their files, because they are too large for the device.

They are used like a tensor uint8 (n, 3, S, S): indexing reads.  Whoever knows which
batches come next says so (``expect``), and worker processes read ahead; ids decide
what is read, so a search that is resumed reads the same.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..problems import SearchError
from .decode import UnreadableError, decode, square

#: Batches that each worker reads ahead.
AHEAD = 4
#: Bytes that one indexing reads at most: what is larger was not meant to be read.
MOST_BYTES = 8 * 2**30


class PixelsOnDisk:
    """The images of ``files`` below ``root``, as squares of ``size`` pixels.

    Attributes:
        files: bytes (n,), paths below root; one array, so that worker processes share
            it instead of copying a million strings.
    """

    def __init__(
        self,
        root: Path,
        files: np.ndarray,
        size: int,
        workers: int,
        device: torch.device | None = None,
    ) -> None:
        self.root, self.files, self.size = root, files, size
        self.workers = workers
        self.device = device or torch.device("cpu")
        self._ahead: dict[str, _Ahead] = {}

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.files), 3, self.size, self.size))

    def __len__(self) -> int:
        return len(self.files)

    def to(self, device: torch.device) -> PixelsOnDisk:
        """Return the same images; what is read goes to this device."""
        return PixelsOnDisk(self.root, self.files, self.size, self.workers, device)

    def path(self, position: int) -> Path:
        return self.root / os.fsdecode(self.files[position])

    def expect(self, name: str, batches: Sequence[Tensor]) -> None:
        """Read these ids ahead, in this order; what was expected under the name before
        is forgotten.  They are known again by being the same tensors."""
        if self.workers == 0 or not batches:
            return
        if name not in self._ahead:
            self._ahead[name] = _Ahead(self)
        self._ahead[name].start(batches)

    def __getitem__(self, ids: int | Tensor) -> Tensor:
        """Return images uint8 (B, 3, S, S), or (3, S, S) of one, on the device.

        Raises SearchError if one of them cannot be read.
        """
        if isinstance(ids, int):
            return self._now([ids])[0]
        for ahead in self._ahead.values():
            if ahead.is_next(ids):
                return ahead.take().to(self.device, non_blocking=True)
        return self._now(ids.tolist())

    def _now(self, positions: Sequence[int]) -> Tensor:
        size = 3 * self.size**2 * len(positions)
        if size > MOST_BYTES:
            raise SearchError(
                f"{len(positions):,} images of {self.size} pixels take "
                f"{size / 1e9:.0f} GB of memory at once. Choose fewer or smaller "
                "images, or a way that goes through them in batches.",
                "memory",
            )
        reading = decode([self.path(position) for position in positions], self.size)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                pixels, bad = end.value
                break
        if bad:
            first = min(bad)
            raise self.unreadable(positions[first], bad[first])
        return pixels.to(self.device)

    def unreadable(self, position: int, sentence: str) -> SearchError:
        """Return what is told of an image that cannot be read."""
        return SearchError(
            f"{self.path(position)} cannot be used. {sentence} Check the data set: "
            "searches from its page leave out what is broken.",
            "data",
        )


def in_memory(pixels: Tensor) -> Tensor:
    """Return images as a tensor in memory, wherever they are."""
    if isinstance(pixels, PixelsOnDisk):
        return pixels[torch.arange(len(pixels))]
    return pixels


class _Ahead:
    """Worker processes that read one sequence of batches after the other."""

    def __init__(self, pixels: PixelsOnDisk) -> None:
        self.pixels = pixels
        self._expected: list[Tensor] = []
        self._order: list[list[int]] = []
        self._loader = DataLoader(
            _Files(pixels),
            batch_sampler=self._order,  # filled anew for each sequence
            num_workers=pixels.workers,
            collate_fn=_together,
            persistent_workers=True,
            prefetch_factor=AHEAD,
            pin_memory=pixels.device.type == "cuda",
            generator=torch.Generator(),  # leaves that of the search alone
        )
        self._read: Iterator[Tensor | tuple[int, str]] = iter(())
        # A loader that is collected in a cycle finds its queues closed, cannot tell
        # its workers to end and waits five seconds for each of them; one that is held
        # until then ends them at once.
        weakref.finalize(self, list.clear, [self._loader])

    def start(self, batches: Sequence[Tensor]) -> None:
        self._expected = list(reversed(batches))
        sizes = [len(part) for part in batches]
        ids = torch.cat(list(batches)).cpu()  # waits for the device once
        self._order[:] = [part.tolist() for part in ids.split(sizes)]
        self._read = iter(self._loader)

    def is_next(self, ids: Tensor) -> bool:
        return bool(self._expected) and self._expected[-1] is ids

    def take(self) -> Tensor:
        """Return the pixels of the batch that is next; waits until it is read."""
        self._expected.pop()
        found = next(self._read)
        if isinstance(found, Tensor):
            return found
        raise self.pixels.unreadable(*found)


class _Files(Dataset[tuple[int, Tensor | str]]):
    """One image at a time, or why it cannot be read."""

    def __init__(self, pixels: PixelsOnDisk) -> None:
        self.root, self.files, self.size = pixels.root, pixels.files, pixels.size

    def __getitem__(self, position: int) -> tuple[int, Tensor | str]:
        path = self.root / os.fsdecode(self.files[position])
        try:
            return position, square(path, self.size)
        except UnreadableError as error:
            return position, str(error)


def _together(
    items: list[tuple[int, Tensor | str]],
) -> Tensor | tuple[int, str]:
    """Return a batch, or the first of its images that cannot be read."""
    images = []
    for position, found in items:
        if isinstance(found, str):
            return position, found
        images.append(found)
    return torch.stack(images)
