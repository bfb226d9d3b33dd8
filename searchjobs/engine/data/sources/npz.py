"""An npz file of uint8 images and their labels."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch
from torch import Tensor

from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import chosen_classes, given_path, prepare, summarise
from ..source import DataError, Images, Source, SourceOptions, Summary, sources

Pairs = tuple[tuple[str, str], ...]
"""Names of images and of their labels, the first pair that is there counts."""
Shape = tuple[int, int, int, int]
"""(n, C, H, W)."""
KEYS: Pairs = (
    ("train_images", "train_labels"),
    ("x_train", "y_train"),
    ("images", "labels"),
    ("x", "y"),
)
TEST_KEYS: Pairs = (("test_images", "test_labels"), ("x_test", "y_test"))
NAME_KEYS = ("classes", "class_names")
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


class NpzOptions(SourceOptions):
    name: Literal["npz"] = "npz"
    path: str = setting(
        "",
        "File",
        "An npz file on the worker's machine with images (uint8, n x H x W x 3 or "
        "n x 3 x H x W) and labels (whole numbers) under the names train_images and "
        "train_labels, x_train and y_train, images and labels, or x and y; classes may "
        "hold the names, test_images and test_labels (or x_test and y_test) what tests "
        "trained cells.",
        advanced=False,
        names="files",
    )


@sources.register
class Npz(Source):
    name = "npz"
    label = "npz file"
    summary = "Your own images as arrays: uint8 images and their labels in one file."
    source = "Your data."
    Options = NpzOptions
    augmentation = {"flip": True, "crop_padding": 4}

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, NpzOptions)
        path = _path(options)
        shape, labels, names = _header(path, path.stat().st_mtime_ns)
        counts = np.bincount(labels, minlength=len(names)).tolist()
        height, width = shape[2:]
        if height != width and options.image_size is None:
            raise DataError(
                f"The images are {width}x{height} pixels and a search needs square "
                "ones; give an image size.",
                "image_size",
            )
        return summarise(names, counts, height, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, NpzOptions)
        path = _path(options)
        _, labels, names = _header(path, path.stat().st_mtime_ns)
        return prepare(_pixels(path, KEYS), torch.from_numpy(labels), names, options)

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        assert isinstance(options, NpzOptions)
        path = _path(options)
        shape, _, names = _header(path, path.stat().st_mtime_ns)
        with zipfile.ZipFile(path) as archive:
            held = set(_members(archive))
        if not any(held.issuperset(pair) for pair in TEST_KEYS):
            return None
        test_shape, labels, _ = _described(path, TEST_KEYS, f"{path.name} (test)")
        _refuse_other_tests(options, names, labels, (shape, test_shape))
        # how many images a class has is about those that train
        whole = options.model_copy(update={"per_class": None})
        pixels = _pixels(path, TEST_KEYS)
        return prepare(pixels, torch.from_numpy(labels), names, whole)


def _refuse_other_tests(
    options: NpzOptions,
    names: Sequence[str],
    labels: np.ndarray,
    shapes: tuple[Shape, Shape],
) -> None:
    """Refuse test images of other classes or another size than those that train."""
    most = int(labels.max(initial=0))
    missing = set(chosen_classes(names, options)).difference(labels.tolist())
    if most >= len(names):
        raise DataError(
            f"The largest test label is {most}, and there are {len(names)} classes; "
            "number the classes of the test images as those of the others.",
            "path",
        )
    if missing:
        raise DataError(
            f"There is no test image of the class {names[min(missing)]!r}; add some, "
            "or leave the test images out.",
            "path",
        )
    (_, _, *size), (_, _, *test_size) = shapes
    if size != test_size and options.image_size is None:
        raise DataError(
            f"The test images are {test_size[1]}x{test_size[0]} pixels and the others "
            f"{size[1]}x{size[0]}; store them in one size, or give an image size.",
            "image_size",
        )


def _pixels(path: Path, pairs: Pairs) -> Tensor:
    try:
        with np.load(path, allow_pickle=False) as archive:
            images = archive[_keys(archive.files, pairs)[0]]
    except (*UNREADABLE, MemoryError) as error:
        raise _unusable(path, error) from None
    return _channels_first(torch.from_numpy(images))


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _path(options: NpzOptions) -> Path:
    path = given_path(options.path, "an npz file of images and labels")
    if not os.path.isfile(path):  # noqa: PTH113 - False, not an error, if too long
        raise DataError(
            f"There is no file {path}; give an npz file of images and labels.", "path"
        )
    return path


@lru_cache(maxsize=16)
def _header(path: Path, _modified: int) -> tuple[Shape, np.ndarray, tuple[str, ...]]:
    """Check a file and return its shape (n, C, H, W), labels and class names; the
    images stay unread.  ``_modified`` makes a changed file a new one."""
    shape, labels, found = _described(path, KEYS, path.name)
    return shape, labels, _names(found, labels, path.name)


def _described(
    path: Path, pairs: Pairs, name: str
) -> tuple[Shape, np.ndarray, list[np.ndarray]]:
    """Check a pair of arrays and return shape (n, C, H, W) and labels, and what the
    file holds of class names; ``name`` is for people."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = _members(archive)
            image_key, label_key = _keys(keys, pairs)
            with archive.open(f"{image_key}.npy") as member:
                shape, kind = _array_header(member)
        with np.load(path, allow_pickle=False) as arrays:
            labels = arrays[label_key]
            found = [arrays[key] for key in NAME_KEYS if key in keys]
    except DataError:  # itself a ValueError
        raise
    except UNREADABLE as error:
        raise _unusable(path, error) from None
    if kind != np.uint8:
        raise DataError(
            f"The images in {name} are {kind}; store them as uint8, 0 to 255.", "path"
        )
    whole = _whole_shape(shape, name)
    return whole, _whole_labels(labels, whole[0], name), found


def _unusable(path: Path, error: BaseException) -> DataError:
    if "allow_pickle" in str(error):
        why = "it holds Python objects, which could run code"
    elif isinstance(error, MemoryError):
        why = "its images do not fit into memory"
    else:
        why = "it is damaged or not an npz file"
    return DataError(
        f"{path} cannot be used: {why}. Write it with numpy.savez from plain arrays.",
        "path",
    )


def _keys(keys: Sequence[str], pairs: Pairs) -> tuple[str, str]:
    for images, labels in pairs:
        if images in keys and labels in keys:
            return images, labels
    wanted = " or ".join(f"{images} and {labels}" for images, labels in pairs)
    raise DataError(
        f"The file holds {', '.join(keys) or 'no arrays'}; it should hold {wanted}.",
        "path",
    )


def _array_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, kind = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, kind = np.lib.format.read_array_header_2_0(member)
    return shape, kind


def _whole_shape(shape: tuple[int, ...], name: str) -> Shape:
    """Return the shape as (n, C, H, W), or say which shapes are understood."""
    if len(shape) == 3:
        return shape[0], 1, shape[1], shape[2]
    if len(shape) == 4 and shape[3] in (1, 3):
        return shape[0], shape[3], shape[1], shape[2]
    if len(shape) == 4 and shape[1] in (1, 3):
        return shape[0], shape[1], shape[2], shape[3]
    given = " x ".join(str(length) for length in shape)
    raise DataError(
        f"The images in {name} have the shape {given}; store them as n x H x W x 3, "
        "n x 3 x H x W, or n x H x W for shades of grey.",
        "path",
    )


def _whole_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise DataError(
            f"{name} holds {count} images but labels of the shape "
            f"{' x '.join(str(length) for length in labels.shape)}; store one label "
            "an image.",
            "path",
        )
    if labels.dtype.kind not in "iu" or (count and labels.min() < 0):
        raise DataError(
            f"The labels in {name} must be whole numbers from 0 on; store the number "
            "of the class of each image.",
            "path",
        )
    return labels.astype(np.int64)


def _names(found: list[np.ndarray], labels: np.ndarray, name: str) -> tuple[str, ...]:
    most = int(labels.max()) + 1 if len(labels) else 0
    if not found:
        if most > len(labels):
            raise DataError(
                f"The largest label in {name} is {most - 1}, with {len(labels)} "
                "images; number the classes from 0 on without gaps.",
                "path",
            )
        return tuple(str(number) for number in range(most))
    names = tuple(str(given) for given in found[0].ravel())
    if most > len(names) or len(set(names)) < len(names):
        raise DataError(
            f"{name} names {len(set(names))} different classes and its labels reach "
            f"{most - 1}; give every class a name of its own.",
            "path",
        )
    return names


def _channels_first(images: Tensor) -> Tensor:
    """Return uint8 (n, 3, H, W) of any of the shapes that are understood."""
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    return images.expand(-1, 3, -1, -1).contiguous()
