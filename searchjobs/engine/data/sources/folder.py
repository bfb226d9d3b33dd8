"""A folder of images: each sub-folder is a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ...places import uploads_root
from ...registry import Options as AnyOptions
from ...registry import setting
from ..prepare import given_path
from ..source import DataError, Images, Loading, Source, Summary, sources
from ._image_folder import (
    SquareOptions,
    load_classes,
    load_test_classes,
    loaded,
    summary_of,
    train_folder,
)


class FolderOptions(SquareOptions):
    name: Literal["folder"] = "folder"
    path: str = setting(
        "",
        "Folder",
        "Folder with one sub-folder of images a class, on the worker's machine. If "
        "it holds a folder named train, that one is used, and test or val beside it "
        "to test trained cells by.",
        advanced=False,
        names="files",
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
        return summary_of(train_folder(root_of(options.path)), options)

    @classmethod
    def load(cls, options: AnyOptions) -> Images:
        return loaded(cls.loading(options))

    @classmethod
    def load_test(cls, options: AnyOptions) -> Images | None:
        assert isinstance(options, FolderOptions)
        return load_test_classes(root_of(options.path), options)

    @classmethod
    def loading(cls, options: AnyOptions) -> Loading:
        assert isinstance(options, FolderOptions)
        root = root_of(options.path)
        return load_classes(root, train_folder(root), options)


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
