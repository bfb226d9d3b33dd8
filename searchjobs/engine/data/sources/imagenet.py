"""ImageNet as it was published: JPEG files, read from the disk while searching."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...registry import Options as AnyOptions
from ...registry import setting
from ..decode import TOLD_EVERY, UnreadableError, square
from ..on_disk import PixelsOnDisk
from ..prepare import Published, given_constants, summarise
from ..source import (
    DataError,
    Images,
    Loading,
    Source,
    SourceOptions,
    Summary,
    Unreadable,
    sources,
)
from ._image_folder import Files, classes_in, folder_for_tests, train_folder
from .folder import root_of


class ImageNetOptions(SourceOptions):
    name: Literal["imagenet"] = "imagenet"
    path: str = setting(
        "",
        "Folder",
        "Folder that holds train, with one sub-folder of images a class, on the "
        "worker's machine; test or val beside it tests trained cells.",
        advanced=False,
        names="files",
    )
    image_size: int = setting(  # type: ignore[assignment]
        224,
        "Image size",
        "Side to which the central square of every image is averaged when it is read.",
        unit="pixels",
        advanced=False,
        ge=4,
        le=512,
    )
    workers: int = setting(
        4,
        "Loader processes",
        "Processes that read ahead for each of T and V; 0 reads when a batch is asked "
        "for.",
        unit="processes",
        ge=0,
        le=64,
    )
    leave_out: tuple[str, ...] = setting(
        (),
        "Files to leave out",
        "Paths below the folder; a search that is started from the page of a checked "
        "data set leaves out what cannot be read.",
    )


@sources.register
class ImageNet(Source):
    name = "imagenet"
    label = "ImageNet folder"
    summary = "Photographs that stay on the disk: loader processes read the batches."
    source = "J. Deng et al., ImageNet, CVPR 2009, or a folder like it."
    Options = ImageNetOptions
    augmentation = {"flip": True, "crop_padding": 16}
    published: ClassVar[Published] = Published(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, ImageNetOptions)
        if options.normalise == "measured":
            raise DataError(
                "Images that stay on the disk are not measured: give constants, or "
                "choose auto, which takes those of ImageNet.",
                "normalise",
            )
        root = root_of(options.path)
        files = _files(root, train_folder(root), options)
        counts = [len(names) for names in files.values()]
        return summarise(tuple(files), counts, options.image_size, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        """List the images; none is read before it is needed."""
        assert isinstance(options, ImageNetOptions)
        root, summary = root_of(options.path), cls.look(options)
        return cls._images(root, train_folder(root), summary.classes, options)

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        assert isinstance(options, ImageNetOptions)
        root = root_of(options.path)
        folder = folder_for_tests(root, options)
        if folder is None:
            return None
        # how many images a class has is about those that train
        whole = options.model_copy(update={"per_class": None})
        return cls._images(root, folder, cls.look(options).classes, whole)

    @classmethod
    def _images(
        cls,
        root: Path,
        folder: Path,
        classes: tuple[str, ...],
        options: ImageNetOptions,
    ) -> Images:
        """List the images of these classes, which the folder holds."""
        files, base = _files(root, folder, options), folder.relative_to(root)
        paths: list[bytes] = []
        labels: list[int] = []
        for number, label in enumerate(classes):
            chosen = files[label][: options.per_class]
            paths += [os.fsencode(base / label / name) for name in chosen]
            labels += [number] * len(chosen)
        where, constants = np.array(paths), given_constants(options) or cls.published
        pixels = PixelsOnDisk(root, where, options.image_size, options.workers)
        return Images(
            pixels,  # type: ignore[arg-type]  # is used as a tensor is
            torch.tensor(labels),
            classes,
            constants.mean,
            constants.std,
            _fingerprint(where, labels, options.image_size),
        )

    @classmethod
    def loading(cls, options: AnyOptions) -> Loading:
        """Read every image once, those to test by too, to find what is broken."""
        assert isinstance(options, ImageNetOptions)
        images, test = cls.load(options), cls.load_test(options)
        unreadable: list[Unreadable] = []
        for each in (images, test):
            if each is None:
                continue
            for done, found in _broken(each.pixels):
                unreadable += found
                # how far it is, is told in images that train
                yield done if each is images else len(images.labels)
        if not unreadable:
            return images
        left = {"leave_out": (*options.leave_out, *(e.path for e in unreadable))}
        whole = cls.load(options.model_copy(update=left))
        return replace(whole, unreadable=tuple(unreadable))


def _broken(pixels: PixelsOnDisk | Tensor) -> Iterator[tuple[int, list[Unreadable]]]:
    """Yield how many images have been read, and those of the last that are broken."""
    assert isinstance(pixels, PixelsOnDisk)

    def fault(position: int) -> str:
        try:
            square(pixels.path(position), pixels.size)
        except UnreadableError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pixels), TOLD_EVERY):
            part = range(start, min(start + TOLD_EVERY, len(pixels)))
            told = zip(part, pool.map(fault, part), strict=True)
            yield (
                part.stop,
                [
                    Unreadable(os.fsdecode(pixels.files[position]), sentence)
                    for position, sentence in told
                    if sentence
                ],
            )


def _files(root: Path, folder: Path, options: ImageNetOptions) -> Files:
    """Return the files of each class of a folder without those that are left out."""
    files, base = classes_in(folder), folder.relative_to(root)
    gone: dict[str, set[str]] = {}
    for given in options.leave_out:
        path = Path(given)
        if path.parent.parent == base:
            gone.setdefault(path.parent.name, set()).add(path.name)
    return {
        name: tuple(each for each in listed if each not in gone[name])
        if name in gone
        else listed
        for name, listed in files.items()
    }


def _fingerprint(files: np.ndarray, labels: list[int], size: int) -> str:
    """Return a hash of names, classes and size: reading a million images to hash them
    would take longer than many searches."""
    digest = hashlib.sha256(f"{size}".encode())
    digest.update(b"\0".join(files.tolist()))
    digest.update(np.array(labels, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]
