"""Folders of images, each sub-folder a class: what all sources of such files share.

Classes lie in the folder itself, or in one named ``train`` inside it; beside that, one
named ``test`` or ``val`` may hold images of the same classes to test by.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ...registry import setting
from ..decode import ENDINGS, decode
from ..prepare import chosen_classes, prepare, summarise
from ..source import DataError, Images, Loading, SourceOptions, Summary, Unreadable

Files = dict[str, tuple[str, ...]]
"""By class, the names of its files; paths would fill the memory for ImageNet."""
#: Folders beside the one named train, the first that has all classes holds the test.
TESTS = ("test", "val")


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


def train_folder(root: Path) -> Path:
    """Return the folder of the classes: the one named train, if there is one."""
    return root / "train" if (root / "train").is_dir() else root


def folder_for_tests(root: Path, options: SourceOptions) -> Path | None:
    """Return the folder of the test images: beside the one named train, and with
    images of every class that is kept; None if there is none."""
    if not (root / "train").is_dir():
        return None
    names = tuple(classes_in(train_folder(root)))
    wanted = {names[number] for number in chosen_classes(names, options)}
    for folder in (root / name for name in TESTS):
        found = _listed(folder) if folder.is_dir() else {}
        if wanted <= {name for name, files in found.items() if files}:
            return folder
    return None


def classes_in(folder: Path) -> Files:
    """Return the image files of each class, classes and files sorted by name."""
    files = _listed(folder)
    if not any(files.values()):
        raise DataError(
            f"No class is found in {folder}: it should hold one sub-folder of images "
            f"(such as {', '.join(ENDINGS[:3])}) for each class.",
            "path",
        )
    return files


def summary_of(folder: Path, options: SquareOptions) -> Summary:
    """Return what is left of the classes of a folder, from their file names alone."""
    files = classes_in(folder)
    counts = [len(found) for found in files.values()]
    return summarise(tuple(files), counts, options.image_size, options)


def loaded(loading: Loading) -> Images:
    """Drive a loading to its end without telling anybody."""
    while True:
        try:
            next(loading)
        except StopIteration as end:
            images: Images = end.value
            return images


def load_classes(root: Path, folder: Path, options: SquareOptions) -> Loading:
    """Read the images of a folder of classes; those that are broken are left out and
    told by their path below ``root``, and have no id."""
    summary_of(folder, options)  # refuses empty classes before anything is decoded
    files = classes_in(folder)
    names = tuple(files)
    paths: list[Path] = []
    labels: list[int] = []
    for label in chosen_classes(names, options):
        chosen = files[names[label]][: options.per_class]
        paths += [folder / names[label] / name for name in chosen]
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


def load_test_classes(root: Path, options: SquareOptions) -> Images | None:
    """Read the test images of a folder, if it has some: all of the classes that are
    kept, numbered as those that train."""
    folder = folder_for_tests(root, options)
    if folder is None:
        return None
    names = tuple(classes_in(train_folder(root)))
    kept = [names[number] for number in chosen_classes(names, options)]
    # how many images a class has is about those that train; numbers are names by now
    whole = options.model_copy(update={"per_class": None, "classes": tuple(kept)})
    return loaded(load_classes(root, folder, whole))


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


def _listed(folder: Path) -> Files:
    try:
        folders = sorted(
            entry
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        return {f.name: _images(f, f.stat().st_mtime_ns) for f in folders}
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be read ({error.strerror}); check its "
            "permissions.",
            "path",
        ) from None


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
