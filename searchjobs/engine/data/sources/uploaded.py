"""Images that somebody has uploaded to the site: a folder of classes, known by its id.

The id is all that a spec carries, so it holds on every machine that sees the site's
data folder; it is no path, so it leads nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal
from uuid import UUID

from ...places import uploads_root
from ...registry import Options as AnyOptions
from ...registry import setting
from ..source import DataError, Images, Loading, Source, Summary, Unreadable, sources
from ._image_folder import (
    SquareOptions,
    load_classes,
    load_test_classes,
    loaded,
    summary_of,
    train_folder,
)

#: What the unpacking has left out; beside the classes, where no class is looked for.
LEFT_OUT = ".left-out.json"


class UploadedOptions(SquareOptions):
    name: Literal["uploaded"] = "uploaded"
    upload: str = setting(
        "",
        "Upload",
        "Id of the uploaded images; the page of their data set fills it in.",
        advanced=False,
    )


@sources.register
class Uploaded(Source):
    name = "uploaded"
    label = "Uploaded images"
    summary = "Your own images from a zip file that was uploaded to this site."
    source = "Your data."
    Options = UploadedOptions
    augmentation = {"flip": True, "crop_padding": 4}

    @classmethod
    def look(cls, options: AnyOptions) -> Summary:
        assert isinstance(options, UploadedOptions)
        return summary_of(train_folder(folder_of(options.upload)), options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        return loaded(cls.loading(options))

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        assert isinstance(options, UploadedOptions)
        return load_test_classes(folder_of(options.upload), options)

    @classmethod
    def loading(cls, options: AnyOptions) -> Loading:
        assert isinstance(options, UploadedOptions)
        root = folder_of(options.upload)
        images = yield from load_classes(root, train_folder(root), options)
        return replace(images, unreadable=(*left_out(root), *images.unreadable))


def folder_of(upload: str) -> Path:
    """Return the folder of an upload that is there."""
    try:
        folder = uploads_root() / str(UUID(upload))
    except ValueError:
        raise DataError(
            "Uploads are known by an id; start from the page of the data set, which "
            "fills it in.",
            "upload",
        ) from None
    if not folder.is_dir():
        raise DataError(
            "These images were removed, or the data folder of this machine is not "
            "that of the site; upload them again, or let all machines see one "
            "NASWEB_DATA_ROOT.",
            "upload",
        )
    return folder


def left_out(folder: Path) -> tuple[Unreadable, ...]:
    """Return what the unpacking has left out."""
    try:
        found = json.loads((folder / LEFT_OUT).read_text("utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(Unreadable(path, sentence) for path, sentence in found)
