"""The samples of a data set: a few images of each class, as its check left them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nasweb.explorer import sheet
from searchjobs.artefacts import StorageAwayError, open_artefact
from searchjobs.engine.check import NAME
from searchjobs.models import Artefact, Dataset

#: Classes on a page of the gallery, and images of each; all of one sheet.
CLASSES, ACROSS = 10, 12
#: Files that a process keeps open: at most 66 MB each.
MOST_OPEN = 4


@dataclass(frozen=True)
class Samples:
    """The images of the file.

    Attributes:
        pixels: uint8 (k, S, S, 3), sorted by class.
        labels: int (k,).
        ids: int (k,), positions in the data set.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]

    @property
    def side(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class Shot:
    """An image: where it lies on its sheet, and its id."""

    id: int
    x: str
    y: str


@dataclass(frozen=True)
class Row:
    """A class: number, name, how many images it has, and some of them."""

    label: int
    name: str
    count: int
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Gallery:
    """A page of classes, all on one sheet.

    Attributes:
        rows: classes with some of their images.
        first, last, total: numbers of the classes, from 1.
        page, pages: from 1.
        version: changes with the images, for the address of the sheet.
        width, height: of the sheet, as CSS per cent of one image.
        smooth: the images are large enough to be scaled smoothly.
    """

    rows: tuple[Row, ...]
    first: int
    last: int
    total: int
    page: int
    pages: int
    version: str
    width: str
    height: str
    smooth: bool


def samples_of(dataset: Dataset) -> tuple[Samples, str] | None:
    """Return the samples of the newest check and their version; None if it has left
    none yet.  Raises StorageAwayError."""
    if dataset.check_job_id is None:
        return None
    row = Artefact.objects.filter(job=dataset.check_job_id, name=NAME).first()
    if row is None:
        return None
    version = f"{row.pk}-{row.fence}-{row.created.timestamp():.0f}"
    return _read(row.pk, version), version


@lru_cache(maxsize=MOST_OPEN)
def _read(artefact: int, _version: str) -> Samples:
    row = Artefact.objects.get(pk=artefact)
    try:
        with open_artefact(row) as file:
            content = io.BytesIO(file.read())
        with np.load(content, allow_pickle=False) as found:
            pixels = np.ascontiguousarray(found["pixels"].transpose(0, 2, 3, 1))
            return Samples(pixels, found["labels"], found["ids"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageAwayError(
            "The samples of the last check cannot be read; check the data set again."
        ) from error


def chosen(samples: Samples, label: int | None, page: int) -> NDArray[np.int64]:
    """Return the positions of the images on a page: of one class all, else a few of
    each of the page's classes."""
    if label is not None:
        return np.flatnonzero(samples.labels == label)[: sheet.MOST]
    first = (page - 1) * CLASSES
    return np.concatenate(
        [
            np.flatnonzero(samples.labels == number)[:ACROSS]
            for number in range(first, first + CLASSES)
        ]
    )


def gallery(
    dataset: Dataset, samples: Samples, version: str, label: int | None, page: int
) -> Gallery:
    """Return a page of classes, or one class."""
    total = len(dataset.classes)
    pages = 1 if label is not None else max(1, -(-total // CLASSES))
    page = min(max(page, 1), pages)
    places = chosen(samples, label, page)
    cells = sheet.cells(len(places), samples.side)
    shots: dict[int, list[Shot]] = {}
    for place, cell in zip(places.tolist(), cells, strict=True):
        shot = Shot(int(samples.ids[place]), _per_cent(cell.x), _per_cent(cell.y))
        shots.setdefault(int(samples.labels[place]), []).append(shot)
    shown = [label] if label is not None else range(total)[_of_page(page)]
    width, height = sheet.scale(len(places), samples.side)
    return Gallery(
        rows=tuple(
            Row(
                number,
                dataset.classes[number],
                dataset.class_counts[number],
                tuple(shots.get(number, ())),
            )
            for number in shown
        ),
        first=shown[0] + 1 if shown else 0,
        last=shown[-1] + 1 if shown else 0,
        total=total,
        page=page,
        pages=pages,
        version=version,
        width=_per_cent(width),
        height=_per_cent(height),
        smooth=samples.side >= sheet.SMOOTH_SIDE,
    )


def _of_page(page: int) -> slice:
    return slice((page - 1) * CLASSES, page * CLASSES)


def _per_cent(number: float) -> str:
    return f"{number:.4f}%"
