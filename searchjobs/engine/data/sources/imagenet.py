"""ImageNet as it was published: JPEG files, read from the disk while searching."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from ...registry import Options as AnyOptions
from ...registry import setting
from ..decode import TOLD_EVERY, UnreadableError, square
from ..on_disk import PixelsOnDisk
from ..prepare import Published, chosen_classes, given_constants, summarise
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
from .folder import Files, classes_in, root_of, train_folder


class ImageNetOptions(SourceOptions):
    name: Literal["imagenet"] = "imagenet"
    path: str = setting(
        "",
        "Folder",
        "Folder that holds train, with one sub-folder of images a class, on the "
        "worker's machine.",
        advanced=False,
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
        files = _files(options)
        counts = [len(names) for names in files.values()]
        return summarise(tuple(files), counts, options.image_size, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        """List the images; none is read before it is needed."""
        assert isinstance(options, ImageNetOptions)
        summary = cls.look(options)
        files, root = _files(options), root_of(options.path)
        base = train_folder(root).relative_to(root)
        names = tuple(files)
        paths: list[bytes] = []
        labels: list[int] = []
        for number, label in enumerate(chosen_classes(names, options)):
            chosen = files[names[label]][: options.per_class]
            paths += [os.fsencode(base / names[label] / name) for name in chosen]
            labels += [number] * len(chosen)
        where, constants = np.array(paths), given_constants(options) or cls.published
        pixels = PixelsOnDisk(root, where, options.image_size, options.workers)
        return Images(
            pixels,  # type: ignore[arg-type]  # is used as a tensor is
            torch.tensor(labels),
            summary.classes,
            constants.mean,
            constants.std,
            _fingerprint(where, labels, options.image_size),
        )

    @classmethod
    def loading(cls, options: AnyOptions) -> Loading:
        """Read every image once, to find those that are broken."""
        images = cls.load(options)
        pixels = images.pixels
        assert isinstance(pixels, PixelsOnDisk)

        def fault(position: int) -> str:
            try:
                square(pixels.path(position), pixels.size)
            except UnreadableError as error:
                return str(error)
            return ""

        bad: dict[int, str] = {}
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(pixels), TOLD_EVERY):
                part = range(start, min(start + TOLD_EVERY, len(pixels)))
                found = zip(part, pool.map(fault, part), strict=True)
                bad |= {position: why for position, why in found if why}
                yield part.stop
        unreadable = tuple(
            Unreadable(os.fsdecode(pixels.files[position]), sentence)
            for position, sentence in sorted(bad.items())
        )
        if not unreadable:
            return images
        left = {"leave_out": (*options.leave_out, *(e.path for e in unreadable))}
        whole = cls.load(options.model_copy(update=left))
        return replace(whole, unreadable=unreadable)


def _files(options: ImageNetOptions) -> Files:
    """Return the files of each class without those that are left out."""
    root = root_of(options.path)
    files = classes_in(root)
    base = train_folder(root).relative_to(root)
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
