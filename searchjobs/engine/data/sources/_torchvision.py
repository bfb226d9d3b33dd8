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
        names="files",
    )
    download: bool = setting(
        False, "Download", "Fetch the files if they are not there.", advanced=False
    )


class Torchvision(Source):
    """A source that torchvision reads; each data set says what differs."""

    size: ClassVar[int]
    counts: ClassVar[tuple[int, ...]]
    """Published training images of each class."""
    test_counts: ClassVar[tuple[int, ...]]
    """The same of the test images."""
    class_names: ClassVar[tuple[str, ...]]
    published: ClassVar[Published | None] = None
    wanted: ClassVar[str]
    """What is looked for below the folder, in words."""

    @classmethod
    @abstractmethod
    def read(cls, root: Path, *, train: bool, download: bool) -> tuple[Tensor, Tensor]:
        """Return pixels uint8 (n, 3, H, W) and labels (n,) of the training or of the
        test images."""

    @classmethod
    @abstractmethod
    def is_there(cls, root: Path, *, train: bool) -> bool:
        """Say whether the files are below a folder, without reading them."""

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, TorchvisionOptions)
        cls._root(options)
        return summarise(cls.class_names, cls.counts, cls.size, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, TorchvisionOptions)
        return cls._images(cls._root(options), options, train=True)

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        """Return None where the files of the training images are alone."""
        assert isinstance(options, TorchvisionOptions)
        root = cls._root(options)
        if not cls.is_there(root, train=False) and not options.download:
            return None
        # how many images a class has is about those that train
        whole = options.model_copy(update={"per_class": None})
        return cls._images(root, whole, train=False)

    @classmethod
    def _images(cls, root: Path, options: TorchvisionOptions, *, train: bool) -> Images:
        fetch = options.download and not cls.is_there(root, train=train)
        try:
            # the engine's standard output carries events; torchvision prints there
            with contextlib.redirect_stdout(sys.stderr):
                pixels, labels = cls.read(root, train=train, download=fetch)
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
        counts = cls.counts if train else cls.test_counts
        counted = torch.bincount(labels, minlength=len(counts)).tolist()
        if tuple(counted) != counts:
            raise DataError(
                f"The files of {cls.label} at {root} are not the published ones: they "
                f"hold {len(labels):,} {'' if train else 'test '}images instead of "
                f"{sum(counts):,}, or other classes; replace them.",
                "path",
            )
        return prepare(pixels, labels, cls.class_names, options, cls.published)

    @classmethod
    def _root(cls, options: TorchvisionOptions) -> Path:
        root = path_of(options.path) if options.path else data_root()
        if cls.is_there(root, train=True) or options.download:
            return root
        raise DataError(
            f"There is no {cls.label} at {root}; give the folder that holds "
            f"{cls.wanted}, or let it be downloaded.",
            "path",
        )


def in_three_channels(grey: Tensor) -> Tensor:
    """Return shades of grey uint8 (n, H, W) as (n, 3, H, W), all channels alike."""
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()
