"""A folder of images: each sub-folder is a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...places import uploads_root
from ...registry import Options as AnyOptions
from ...registry import setting
from ..decode import ENDINGS, decode
from ..prepare import chosen_classes, given_path, prepare, summarise
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

Files = dict[str, tuple[str, ...]]
"""By class, the names of its files; paths would fill the memory for ImageNet."""


class SquareOptions(SourceOptions):
    """What sources of image files offer: images of any shape become squares."""

    image_size: int = setting(  # type: ignore[assignment]
        32,
        "Image size",
        "Side to which the central square of every image is averaged.",
        unit="pixels",
        advanced=False,
        ge=4,
        le=512,
    )


class FolderOptions(SquareOptions):
    name: Literal["folder"] = "folder"
    path: str = setting(
        "",
        "Folder",
        "Folder with one sub-folder of images a class, on the worker's machine. If "
        "it holds a folder named train, that one is used.",
        advanced=False,
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
        return summary_of(classes_in(root_of(options.path)), options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        return loaded(cls.loading(options))

    @classmethod
    def loading(cls, options: AnyOptions) -> Loading:
        assert isinstance(options, FolderOptions)
        return load_classes(root_of(options.path), options)


def root_of(path: str) -> Path:
    """Return the folder that an option names; uploads have no path."""
    root = given_path(path, "the folder that holds one sub-folder a class")
    if not os.path.isdir(root):  # noqa: PTH112 - False, not an error, if too long
        raise DataError(
            f"There is no folder {root}; give the folder that holds one sub-folder "
            "of images for each class.",
            "path",
        )
    uploads = uploads_root().resolve()
    if root.resolve().is_relative_to(uploads):
        # the names of its folders are what keeps the uploads of teams apart
        raise DataError(
            "Uploaded images are no folder to name: start from the page of their data "
            "set.",
            "path",
        )
    return root


def loaded(loading: Loading) -> Images:
    """Drive a loading to its end without telling anybody."""
    while True:
        try:
            next(loading)
        except StopIteration as end:
            images: Images = end.value
            return images


def summary_of(files: Files, options: SquareOptions) -> Summary:
    """Return what is left of the classes, from their file names alone."""
    counts = [len(found) for found in files.values()]
    return summarise(tuple(files), counts, options.image_size, options)


def load_classes(root: Path, options: SquareOptions) -> Loading:
    """Read the images of a folder of classes; those that are broken are left out and
    told, and have no id."""
    files = classes_in(root)
    names = tuple(files)
    summary_of(files, options)  # refuses empty classes before anything is decoded
    paths: list[Path] = []
    labels: list[int] = []
    for label in chosen_classes(names, options):
        folder = train_folder(root) / names[label]
        chosen = files[names[label]][: options.per_class]
        paths += [folder / name for name in chosen]
        labels += [label] * len(chosen)
    pixels, bad = yield from decode(paths, options.image_size)
    unreadable = tuple(
        Unreadable(paths[position].relative_to(root).as_posix(), sentence)
        for position, sentence in sorted(bad.items())
    )
    if unreadable:
        good = torch.tensor([n for n in range(len(paths)) if n not in bad])
        _refuse_lost_classes(names, labels, good, unreadable)
        pixels, kept = pixels[good], torch.tensor(labels)[good]
    else:
        kept = torch.tensor(labels)
    return replace(prepare(pixels, kept, names, options), unreadable=unreadable)


def _refuse_lost_classes(
    names: Sequence[str],
    labels: Sequence[int],
    good: Tensor,
    unreadable: Sequence[Unreadable],
) -> None:
    lost = set(labels) - {labels[position] for position in good.tolist()}
    if lost:
        raise DataError(
            f"No image of the class {names[min(lost)]!r} can be read, as "
            f"{unreadable[0].path}: {unreadable[0].sentence} Replace what is broken, "
            "or keep only the other classes.",
            "classes",
        )


def train_folder(root: Path) -> Path:
    """Return the folder of the classes: the one named train, if there is one."""
    return root / "train" if (root / "train").is_dir() else root


def classes_in(root: Path) -> Files:
    """Return the image files of each class, classes and files sorted by name."""
    root = train_folder(root)
    try:
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
def _images(folder: Path, _modified: int) -> tuple[str, ...]:
    """List the images of a class; ``_modified`` makes a changed folder a new one."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(ENDINGS)
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    return tuple(sorted(names))
