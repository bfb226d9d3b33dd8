"""Small data sets that torchvision reads: found in a folder, or downloaded on request.

None of their files is a pickle.
"""

from __future__ import annotations

import contextlib
import sys
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ...places import data_root, path_of
from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import Published, prepare, summarise
from ..source import DataError, Images, Source, SourceOptions, Summary

#: What torchvision's readers raise on damaged files; they assert what a header says.
DAMAGED = (
    *(RuntimeError, OSError, ValueError),
    *(AssertionError, LookupError, TypeError),
)


class TorchvisionOptions(SourceOptions):
    """Where the files are, beside what every source offers."""

    path: str = setting(
        "",
        "Folder",
        "Folder under which torchvision finds the published files. Empty looks in "
        "the site's data folder.",
        advanced=False,
    )
    download: bool = setting(
        False, "Download", "Fetch the files if they are not there.", advanced=False
    )


class Torchvision(Source):
    """A source that torchvision reads; each data set says what differs."""

    size: ClassVar[int]
    counts: ClassVar[tuple[int, ...]]
    """Published training images of each class."""
    class_names: ClassVar[tuple[str, ...]]
    published: ClassVar[Published | None] = None
    wanted: ClassVar[str]
    """What is looked for below the folder, in words."""

    @classmethod
    @abstractmethod
    def read(cls, root: Path, *, download: bool) -> tuple[Tensor, Tensor]:
        """Return pixels uint8 (n, 3, H, W) and labels (n,) of the training images."""

    @classmethod
    @abstractmethod
    def is_there(cls, root: Path) -> bool:
        """Say whether the files are below a folder, without reading them."""

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, TorchvisionOptions)
        cls._root(options)
        return summarise(cls.class_names, cls.counts, cls.size, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, TorchvisionOptions)
        root = cls._root(options)
        fetch = options.download and not cls.is_there(root)
        try:
            # the engine's standard output carries events; torchvision prints there
            with contextlib.redirect_stdout(sys.stderr):
                pixels, labels = cls.read(root, download=fetch)
        except DAMAGED as error:
            what = "downloaded" if fetch else "read"
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
            raise DataError(
                f"{cls.label} could not be {what} at {root}"
                f"{f' ({reason})' if reason else ''}; "
                + (
                    "check the network and the folder."
                    if fetch
                    else "its files are damaged, replace them."
                ),
                "path",
            ) from None
        labels = labels.long()
        counted = torch.bincount(labels, minlength=len(cls.counts)).tolist()
        if tuple(counted) != cls.counts:
            raise DataError(
                f"The files of {cls.label} at {root} are not the published ones: they "
                f"hold {len(labels):,} images instead of {sum(cls.counts):,}, or "
                "other classes; replace them.",
                "path",
            )
        return prepare(pixels, labels, cls.class_names, options, cls.published)

    @classmethod
    def _root(cls, options: TorchvisionOptions) -> Path:
        root = path_of(options.path) if options.path else data_root()
        if cls.is_there(root) or options.download:
            return root
        raise DataError(
            f"There is no {cls.label} at {root}; give the folder that holds "
            f"{cls.wanted}, or let it be downloaded.",
            "path",
        )


def in_three_channels(grey: Tensor) -> Tensor:
    """Return shades of grey uint8 (n, H, W) as (n, 3, H, W), all channels alike."""
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()
