"""What CIFAR-10 and CIFAR-100 share: finding the files and reading them safely.

The published files are pickles, and unpickling runs code: torchvision checks their
md5 first, and nothing is opened that differs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ...places import data_root, path_of
from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import Published, prepare, summarise
from ..source import DataError, Images, Source, SourceOptions, Summary

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

SIZE = 32


class CifarOptions(SourceOptions):
    """Where the files are, beside what every source offers."""

    path: str = setting(
        "",
        "Folder",
        "Folder that holds the published files, unpacked or as the tar archive. "
        "Empty looks in the site's data folder.",
        advanced=False,
        names="files",
    )
    download: bool = setting(
        False,
        "Download",
        "Fetch the files (about 170 MB) if they are not there.",
        advanced=False,
    )


class Cifar(Source):
    """A source in the layout of CIFAR; the two data sets say what differs."""

    base_folder: ClassVar[str]
    archive_name: ClassVar[str]
    images_per_class: ClassVar[int]
    class_names: ClassVar[tuple[str, ...]]
    published: ClassVar[Published]

    @classmethod
    def reader(cls) -> type[CIFAR10]:
        """Return torchvision's reader; imported late, because it takes seconds."""
        raise NotImplementedError

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, CifarOptions)
        cls._root(options)
        return cls.published_summary(options)

    @classmethod
    def published_summary(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, CifarOptions)
        counts = [cls.images_per_class] * len(cls.class_names)
        return summarise(cls.class_names, counts, SIZE, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, CifarOptions)
        return cls._images(options, train=True)

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images:
        assert isinstance(options, CifarOptions)
        # how many images a class has is about those that train
        return cls._images(options.model_copy(update={"per_class": None}), train=False)

    @classmethod
    def _images(cls, options: CifarOptions, *, train: bool) -> Images:
        data = cls._read(cls._root(options), options, train=train)
        pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        labels = torch.tensor(data.targets, dtype=torch.int64)
        return prepare(pixels, labels, cls.class_names, options, cls.published)

    @classmethod
    def _root(cls, options: CifarOptions) -> Path:
        """Return the folder in which torchvision finds, or puts, the files."""
        for folder in _places(options):
            if folder.name == cls.base_folder and folder.is_dir():
                return folder.parent
            if (folder / cls.base_folder).is_dir():
                return folder
            if (folder / cls.archive_name).is_file():
                return folder
        if options.download:
            return path_of(options.path) if options.path else data_root()
        looked = options.path or str(data_root())
        raise DataError(
            f"There is no {cls.label} at {looked}; give the folder that holds "
            f"{cls.base_folder} or {cls.archive_name}, or let it be downloaded.",
            "path",
        )

    @classmethod
    def _read(cls, root: Path, options: CifarOptions, *, train: bool) -> Any:
        reader = cls.reader()
        archive = root / cls.archive_name
        fetch = options.download
        if archive.is_file() and not (root / cls.base_folder).is_dir():
            _refuse_changed_archive(archive, reader.tgz_md5, cls.label)
            fetch = True  # only unpacks: the archive is there and is the published one
        try:
            # the engine's standard output carries events; torchvision prints there
            with contextlib.redirect_stdout(sys.stderr):
                return reader(str(root), train=train, download=fetch)
        except RuntimeError:
            raise DataError(
                f"The files of {cls.label} at {root} are incomplete or not the "
                "published ones (their checksums differ); replace them, or choose "
                "another folder and let them be downloaded.",
                "path",
            ) from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or error
            what = "downloaded" if options.download else "unpacked"
            raise DataError(
                f"{cls.label} could not be {what} to {root} ({reason}); check the "
                "network and the folder, or give a folder that holds it.",
                "path",
            ) from None


def _places(options: CifarOptions) -> Iterator[Path]:
    """Yield where to look: the user's folder alone, else the usual ones."""
    if options.path:
        yield path_of(options.path)
        return
    root = data_root()
    yield from (root, root / "cifar", root / "cifar.python")
    torch_home = os.environ.get("TORCH_HOME")
    if torch_home:  # the habit of the NAS-Bench-201 code
        yield Path(torch_home).expanduser() / "cifar.python"


def _refuse_changed_archive(archive: Path, md5: str, label: str) -> None:
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(str(archive), md5):
        raise DataError(
            f"{archive} is not the published archive of {label} (its checksum "
            "differs, perhaps a broken download); fetch it again.",
            "path",
        )
