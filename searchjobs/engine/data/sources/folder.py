"""A folder of images: each sub-folder is a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import chosen_classes, given_path, prepare, resize, summarise
from ..source import DataError, Images, Source, SourceOptions, Summary, sources

ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm"),
)
DEEP_MODES = ("I", "F")  # more than 8 bits a channel; Pillow would clip them


class FolderOptions(SourceOptions):
    name: Literal["folder"] = "folder"
    path: str = setting(
        "",
        "Folder",
        "Folder with one sub-folder of images a class, on the worker's machine. If "
        "it holds a folder named train, that one is used.",
        advanced=False,
    )
    image_size: int = setting(  # type: ignore[assignment]
        32,
        "Image size",
        "Side to which the central square of every image is averaged.",
        unit="pixels",
        advanced=False,
        ge=4,
        le=512,
    )


@sources.register
class Folder(Source):
    name = "folder"
    label = "Folder of images"
    summary = "Your own images: each sub-folder of the folder is a class."
    source = "Your data."
    Options = FolderOptions
    augmentation = {"flip": True, "crop_padding": 4}

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, FolderOptions)
        files = _classes(options)
        counts = [len(found) for found in files.values()]
        return summarise(tuple(files), counts, options.image_size, options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        assert isinstance(options, FolderOptions)
        files = _classes(options)
        names = tuple(files)
        cls.look(options)  # refuses empty classes before anything is decoded
        paths: list[Path] = []
        labels: list[int] = []
        for label in chosen_classes(names, options):
            chosen = files[names[label]][: options.per_class]
            paths += chosen
            labels += [label] * len(chosen)
        pixels = _decode(paths, options.image_size)
        return prepare(pixels, torch.tensor(labels), names, options)


def _classes(options: FolderOptions) -> dict[str, tuple[Path, ...]]:
    """Return the image files of each class, classes and files sorted by name."""
    root = given_path(options.path, "the folder that holds one sub-folder a class")
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}; give the folder that holds one sub-folder "
            "of images for each class.",
            "path",
        )
    try:
        if (root / "train").is_dir():
            root = root / "train"
        folders = sorted(
            entry
            for entry in root.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        files = {f.name: _images(f, f.stat().st_mtime_ns) for f in folders}
    except OSError as error:
        raise DataError(
            f"The folder {root} cannot be read ({error.strerror}); check its "
            "permissions.",
            "path",
        ) from None
    if not any(files.values()):
        raise DataError(
            f"No class is found in {root}: it should hold one sub-folder of images "
            f"(such as {', '.join(ENDINGS[:3])}) for each class.",
            "path",
        )
    return files


@lru_cache(maxsize=4096)
def _images(folder: Path, _modified: int) -> tuple[Path, ...]:
    """List the images of a class; ``_modified`` makes a changed folder a new one."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(ENDINGS)
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    return tuple(folder / name for name in sorted(names))


def _decode(paths: Sequence[Path], size: int) -> Tensor:
    """Return the images as uint8 (n, 3, size, size), or name those that are bad."""
    pixels = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)

    def decode(position: int) -> str:
        try:
            pixels[position] = _square(paths[position], size)
        # a broken file makes Pillow raise almost anything
        except Exception as error:
            return str(error) or type(error).__name__
        return ""

    # Pillow and torch let go of the interpreter while they work
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(decode, range(len(paths))))
    bad = [paths[position].name for position, why in enumerate(reasons) if why]
    if bad:
        shown = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        number = "One image cannot" if len(bad) == 1 else f"{len(bad)} images cannot"
        raise DataError(
            f"{number} be read ({shown}); remove or replace what is broken.", "path"
        )
    return pixels


def _square(path: Path, size: int) -> Tensor:
    """Return one image, upright, as uint8 (3, size, size)."""
    with Image.open(path) as image:
        if image.mode.startswith(DEEP_MODES):
            raise ValueError("more than 8 bits a channel")
        colours = ImageOps.exif_transpose(image).convert("RGB")
    pixels = torch.from_numpy(np.array(colours)).permute(2, 0, 1)
    return resize(pixels[None], size)[0]
