"""ImageNet16-120 and its larger siblings: ImageNet averaged to 16x16 pixels."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from ...files import write_whole
from ...places import data_root, path_of
from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import Published, prepare, summarise
from ..source import DataError, Images, Source, SourceOptions, Summary, sources
from ._pickled_arrays import load_arrays

DAMAGED = (zipfile.BadZipFile, zlib.error)
SIZE = 16
BATCHES = 10
VALIDATION = "val_data"


class ImageNet16Options(SourceOptions):
    name: Literal["imagenet16"] = "imagenet16"
    subset: Literal[120, 150, 200] = setting(
        120,
        "Classes of ImageNet16",
        "The first so many classes; NAS-Bench-201 searches on 120.",
        advanced=False,
    )
    path: str = setting(
        "",
        "Folder",
        "Folder that holds train_data_batch_1 to train_data_batch_10 (and val_data, "
        "to test trained cells by), or the files that a former reading has left. Empty "
        "looks in the site's data folder.",
        advanced=False,
        names="files",
    )


@sources.register
class ImageNet16(Source):
    name = "imagenet16"
    label = "ImageNet16"
    summary = "151,700 photographs, 16x16, 120 classes (or 150, 200); from a folder."
    source = (
        "P. Chrabaszcz et al., A Downsampled Variant of ImageNet, 2017; classes as in "
        "NAS-Bench-201."
    )
    Options = ImageNet16Options
    augmentation = {"flip": True, "crop_padding": 2}
    published: ClassVar[Published] = Published(
        (122.68 / 255, 116.66 / 255, 104.01 / 255),
        (63.22 / 255, 61.26 / 255, 65.09 / 255),
    )
    #: Of train_data_batch_1 to 10 (data spec D.3).
    md5: ClassVar[tuple[str, ...]] = (
        "27846dcaa50de8e21a7d1a35f30f0e91",
        "c7254a054e0e795c69120a5727050e3f",
        "4333d3df2e5ffb114b05d2ffc19b1e87",
        "1620cdf193304f4a92677b695d70d10f",
        "348b3c2fdbb3940c4e9e834affd3b18d",
        "6e765307c242a1b3d7d5ef9139b48945",
        "564926d8cbf8fc4818ba23d2faac7564",
        "f4755871f718ccb653440b9dd0ebac66",
        "bb6dd660c38c58552125b1a92f86b5d4",
        "8f03f34ac4b42271a294f91bf480f29b",
    )
    validation_md5: ClassVar[str] = "3410e3017fdaefba8d5073aaa65e4bd6"

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, ImageNet16Options)
        _, labels = _read(cls._train_file(options), pixels=False)
        names = _names(options)
        counts = np.bincount(labels, minlength=len(names)).tolist()
        return summarise(names, counts, SIZE, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, ImageNet16Options)
        return cls._images(cls._train_file(options), options)

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        """Return the validation images of ImageNet (50 a class), on which nothing is
        chosen here; None where their file is missing."""
        assert isinstance(options, ImageNet16Options)
        name = f"imagenet16-{options.subset}-val.npz"
        file = _cached(options, {VALIDATION: cls.validation_md5}, name)
        if file is None:
            return None
        # how many images a class has is about those that train
        return cls._images(file, options.model_copy(update={"per_class": None}))

    @classmethod
    def _images(cls, file: Path, options: ImageNet16Options) -> Images:
        pixels, labels = _read(file, pixels=True)
        return prepare(
            torch.from_numpy(pixels).view(-1, 3, SIZE, SIZE),
            torch.from_numpy(labels).long(),
            _names(options),
            options,
            cls.published,
        )

    @classmethod
    def _train_file(cls, options: ImageNet16Options) -> Path:
        sums = {f"train_data_batch_{n}": md5 for n, md5 in enumerate(cls.md5, start=1)}
        file = _cached(options, sums, f"imagenet16-{options.subset}.npz")
        if file is None:
            given = path_of(options.path) if options.path else data_root()
            raise DataError(
                f"There is no ImageNet16 at {given}; give the folder that holds "
                f"train_data_batch_1 to train_data_batch_{BATCHES}.",
                "path",
            )
        return file


def _names(options: ImageNet16Options) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, options.subset + 1))


def _read(file: Path, *, pixels: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels uint8 (n, 768), if wanted, and labels (n,)."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            labels = arrays["labels"]
            found = arrays["images"] if pixels else np.empty((0, 768), np.uint8)
    except (OSError, ValueError, KeyError, EOFError, *DAMAGED):
        raise DataError(
            f"{file} is damaged; remove it, and it is made anew from the batches of "
            "ImageNet16.",
            "path",
        ) from None
    return found, labels


def _cached(
    options: ImageNet16Options, sums: Mapping[str, str], name: str
) -> Path | None:
    """Return the file that holds the subset; made of the batches if it is not there,
    None if these are not there either.

    It lies beside the batches, or in the site's data folder if they may not be
    written to.

    Args:
        options: where to look, and how many classes.
        sums: the md5 of each batch, by the name of its file.
        name: of the file that holds the subset.
    """
    root = data_root()
    places = [path_of(options.path)] if options.path else [root, root / "ImageNet16"]
    for folder in (*places, root):
        if (folder / name).is_file():
            return folder / name
    for folder in places:
        if (folder / next(iter(sums))).is_file():
            content = _filtered(folder, options.subset, sums)
            target = folder if os.access(folder, os.W_OK) else root
            try:
                target.mkdir(parents=True, exist_ok=True)
                write_whole(target / name, content)
            except OSError as error:
                raise DataError(
                    f"The images of {options.subset} classes cannot be kept in "
                    f"{target} ({error.strerror}); make room or permit it.",
                    "path",
                ) from None
            return target / name
    return None


def _filtered(folder: Path, subset: int, sums: Mapping[str, str]) -> bytes:
    """Return an npz of the images of the first ``subset`` classes, in the order of
    the batches; labels begin at 0."""
    images, labels = [], []
    for name, expected in sums.items():
        pixels, numbers = _batch(folder / name, expected)
        keep = numbers <= subset  # the published labels begin at 1
        images.append(pixels[keep])
        labels.append(numbers[keep].astype(np.int16) - 1)
    buffer = io.BytesIO()
    np.savez(buffer, images=np.concatenate(images), labels=np.concatenate(labels))
    return buffer.getvalue()


def _batch(path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels uint8 (n, 768) and labels (n,), from 1 on, of one batch."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); the training images of "
            f"ImageNet16 are in {BATCHES} such files.",
            "path",
        ) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(
            f"{path} is not the published file of ImageNet16 (its checksum differs, "
            "perhaps a broken download); fetch it again.",
            "path",
        )
    try:
        found = load_arrays(io.BytesIO(content))
        pixels = np.asarray(found["data"], dtype=np.uint8)
        return pixels.reshape(-1, 3 * SIZE * SIZE), np.asarray(found["labels"])
    except (pickle.UnpicklingError, KeyError, ValueError):
        raise DataError(
            f"{path} holds no images of 16x16 pixels with labels; fetch ImageNet16 "
            "again, in its version of 16x16 pixels.",
            "path",
        ) from None
