"""What every source does alike: choose classes and images, resize, measure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..places import path_of
from .source import DataError, Images, SourceOptions, Summary

CHUNK = 4096  # images that are handled as floats at a time, to bound memory

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Published:
    """Mean and deviation that the papers use, per channel, in units of 0 to 1."""

    mean: Triple
    std: Triple


def given_constants(options: SourceOptions) -> Published | None:
    """Return the constants that the options give, if they do."""
    if options.normalise != "given" or options.mean is None or options.std is None:
        return None
    return Published(options.mean, options.std)


def given_path(path: str, wanted: str) -> Path:
    """Return an option as a path, or say what it should name."""
    if not path.strip():
        raise DataError(f"The path is empty; give {wanted}.", "path")
    return path_of(path)


def chosen_classes(names: Sequence[str], options: SourceOptions) -> list[int]:
    """Return the numbers of the classes to keep, ascending.

    A name wins over a number, for data sets whose classes are named by digits.

    Raises:
        DataError: a class is not there, or fewer than two are left.
    """
    numbers = {name: number for number, name in enumerate(names)}
    chosen = set()
    for given in options.classes:
        if given in numbers:
            chosen.add(numbers[given])
        elif given.isdecimal() and len(given) < 10 and int(given) < len(names):
            chosen.add(int(given))
        else:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise DataError(
                f"There is no class {given!r} in this data set; it has {shown}.",
                "classes",
            )
    kept = sorted(chosen) if options.classes else list(range(len(names)))
    if len(kept) < 2:
        raise DataError(
            f"A search needs at least two classes and has {len(kept)}; add classes.",
            "classes" if options.classes else "",
        )
    return kept


def summarise(
    names: Sequence[str], counts: Sequence[int], size: int, options: SourceOptions
) -> Summary:
    """Return what ``prepare`` will leave of a source, from its counts alone.

    Args:
        names: all class names.
        counts: images of each class.
        size: side of the images before ``options.image_size``.
        options: what to keep.
    """
    kept = chosen_classes(names, options)
    for label in kept:
        if counts[label] == 0:
            raise DataError(
                f"The class {names[label]!r} has no images; add some, or keep only "
                "the classes that have.",
                "classes",
            )
    most = options.per_class or max(counts)
    return Summary(
        tuple(min(counts[label], most) for label in kept),
        tuple(names[label] for label in kept),
        options.image_size or size,
    )


def keep(labels: Tensor, classes: Sequence[int], per_class: int | None) -> Tensor:
    """Return the positions (k,) int64, ascending, of the images that stay: the
    first ``per_class`` of each of ``classes``."""
    positions = [torch.nonzero(labels == label).flatten() for label in classes]
    return torch.cat([found[:per_class] for found in positions]).sort().values


def prepare(
    pixels: Tensor,
    labels: Tensor,
    names: Sequence[str],
    options: SourceOptions,
    published: Published | None = None,
) -> Images:
    """Choose, renumber and resize images; their ids are their positions here.

    Args:
        pixels: uint8 (n, 3, H, W); H and W may differ if ``image_size`` is given.
        labels: int64 (n,).
        names: all class names.
        options: what to keep, and at which size.
        published: constants that hold for all images at their own size.

    Raises:
        DataError: classes are missing or empty, or the images are not square.
    """
    counts = torch.bincount(labels, minlength=len(names)).tolist()
    height, width = pixels.shape[-2:]
    if height != width and options.image_size is None:
        raise DataError(
            f"The images are {width}x{height} pixels and a search needs square ones; "
            "give an image size.",
            "image_size",
        )
    summary = summarise(names, counts, height, options)
    kept = chosen_classes(names, options)
    ids = keep(labels, kept, options.per_class)
    whole = len(ids) == len(labels) and summary.image_size == height == width
    if len(ids) < len(labels):
        pixels, labels = pixels[ids], labels[ids]
    renumbered = torch.zeros(len(names), dtype=torch.int64)
    renumbered[kept] = torch.arange(len(kept))
    labels = renumbered[labels]
    pixels = resize(pixels, summary.image_size)
    given = given_constants(options)
    if given is not None:
        published = given
    elif published is None or not whole or options.normalise == "measured":
        published = measure(pixels)
    return Images(
        pixels,
        labels,
        summary.classes,
        published.mean,
        published.std,
        fingerprint(pixels, labels),
    )


def resize(pixels: Tensor, size: int) -> Tensor:
    """Cut uint8 images (n, 3, H, W) to their central square and average areas to
    (n, 3, size, size), rounded to uint8."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    if height != width:
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[..., top : top + side, left : left + side]
    if side == size:
        return pixels.contiguous()
    return torch.cat(
        [
            functional.interpolate(part.float(), (size, size), mode="area")
            .round_()
            .to(torch.uint8)
            for part in pixels.split(CHUNK)
        ]
    )


def measure(pixels: Tensor) -> Published:
    """Return mean and deviation of uint8 images (n, 3, H, W), exact sums.

    A channel without any contrast gets deviation 1: it is only centred.
    """
    shades = np.arange(256)
    counts = np.zeros((3, 256), dtype=np.int64)  # exact, and faster than any sum
    for part in pixels.split(CHUNK):
        for channel in range(3):
            values = part[:, channel].reshape(-1).numpy()
            counts[channel] += np.bincount(values, minlength=256)
    shares = counts / counts[0].sum()
    mean = shares @ shades
    std = np.sqrt((shares * (shades - mean[:, None]) ** 2).sum(axis=1))
    std[std == 0] = 255
    means, deviations = (mean / 255).tolist(), (std / 255).tolist()
    return Published(
        (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])
    )


def fingerprint(pixels: Tensor, labels: Tensor) -> str:
    """Return a hash of pixels and labels, the same on every machine."""
    digest = hashlib.sha256(str(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]
