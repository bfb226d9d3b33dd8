"""A page of images: which, in which order, with what under each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from . import sheet
from .images import Pictures
from .sets import STILL_IN, Ids, Step
from .subject import Subject

#: Images of a page.
PAGE = 96
#: What a gallery may show.
SHOWN = ("pruned", "added", "kept", "in", "all")


class Shown(Protocol):
    """Whose images a gallery shows.

    Attributes:
        pictures: the images; None where there are none to be had now.
    """

    pictures: Pictures | None

    def name_of(self, label: int) -> str:
        """Return the name of a class."""


@dataclass(frozen=True)
class Asked:
    """What an address asks for.

    Attributes:
        set: T or V.
        epoch: of an event; None: the last.
        show: one of SHOWN; empty: what the event makes likely.
        label: a class alone; None: all.
        ids: these ids alone; empty: all.
        page: from 1.
    """

    set: str = "T"
    epoch: int | None = None
    show: str = ""
    label: int | None = None
    ids: tuple[int, ...] = ()
    page: int = 1

    def query(self, **changes: Any) -> str:
        """Return the query string of an address that asks for this, but for what is
        given here; nothing for what is as it is without it."""
        values = {**vars(self), **changes}
        found: dict[str, Any] = {"set": values["set"]}
        for name, key in (("epoch", "epoch"), ("show", "show"), ("label", "class")):
            if values[name] not in {None, ""}:
                found[key] = values[name]
        if values["ids"]:
            found["q"] = ",".join(map(str, values["ids"]))
        if values["page"] != 1:
            found["page"] = values["page"]
        return urlencode(found, safe=",")


@dataclass(frozen=True)
class Picture:
    """One image of a page; ``x`` and ``y`` say where it lies on the sheet."""

    id: int
    name: str
    note: str
    title: str
    out: bool = False
    x: str = ""
    y: str = ""


@dataclass(frozen=True)
class Gallery:
    """A page of images.

    Attributes:
        pictures: of this page.
        total: of all pages.
        page, pages: from 1.
        side: pixels of an image; 0 where there are no images, but ids alone.
        ids: of this page, for the address of their sheet.
        width, height: of the sheet, as CSS per cent of one image.
    """

    pictures: list[Picture] = field(default_factory=list)
    total: int = 0
    page: int = 1
    pages: int = 1
    side: int = 0
    ids: str = ""
    width: str = ""
    height: str = ""

    @property
    def first(self) -> int:
        """Number of the first image of this page, from 1."""
        return (self.page - 1) * PAGE + 1

    @property
    def last(self) -> int:
        return self.first + len(self.pictures) - 1

    @property
    def smooth(self) -> bool:
        """Whether the images are large enough to be scaled smoothly."""
        return self.side >= sheet.SMOOTH_SIDE


@dataclass(frozen=True)
class Listed:
    """Samples in the order in which they are shown.

    Attributes:
        ids: int64 (n,).
        scores: (n,) at an event; None: they are not shown.
        left, inside: as those of a ``Replay``; None: nothing is said of them.
    """

    ids: Ids
    scores: NDArray[np.floating] | None = None
    left: NDArray[np.int64] | None = None
    inside: NDArray[np.bool_] | None = None

    def take(self, chosen: NDArray[Any]) -> Listed:
        """Return these samples alone."""
        return Listed(
            self.ids[chosen],
            *(
                None if column is None else column[chosen]
                for column in (self.scores, self.left, self.inside)
            ),
        )


def of_event(step: Step, show: str) -> Listed:
    """Return the samples of an event: those that went or stay, the first to go in
    front, or those that came in."""
    chosen = {"pruned": step.gone, "added": step.came}.get(show, step.kept)
    ranks = step.ranks()
    places = np.flatnonzero(chosen)
    # what has no rank stands behind what has
    keys = np.where(ranks[places] > 0, ranks[places], len(ranks) + 1)
    places = places[np.argsort(keys, kind="stable")]
    return Listed(step.ids[places], step.scores[places])


def of_set(subject: Subject, name: str, show: str) -> Listed | None:
    """Return the samples of a set: those that are in it, or all that it had, in the
    order of their ids; None if nobody knows them.  Raises MissingArraysError."""
    if show == "in":
        changes = subject.told[name].changes
        if changes:
            step = subject.files.step(changes[-1])
            return Listed(step.ids[step.after], step.scores[step.after])
        ids = subject.survivors(name)
        return None if ids is None else Listed(ids)
    found = subject.replay(name)
    if found is None:
        return None
    return Listed(found.ids, None, found.left, found.inside)


def narrowed(listed: Listed, asked: Asked, pictures: Pictures | None) -> Listed:
    """Return the samples of one class, or those of the ids asked for."""
    if asked.label is not None and pictures is not None:
        listed = listed.take(pictures.labels[listed.ids] == asked.label)
    if asked.ids:
        listed = listed.take(np.isin(listed.ids, np.array(asked.ids)))
    return listed


def gallery(subject: Shown, listed: Listed, page: int, score: str = "") -> Gallery:
    """Return a page; ``score`` is what the scores are called."""
    pages = max(1, -(-len(listed.ids) // PAGE))
    page = min(max(page, 1), pages)
    shown = listed.take(np.arange(len(listed.ids))[(page - 1) * PAGE : page * PAGE])
    pictures = subject.pictures
    side = pictures.side if pictures is not None else 0
    width, height = sheet.scale(len(shown.ids), side) if side else (0.0, 0.0)
    return Gallery(
        pictures=_pictures(subject, shown, side, score),
        total=len(listed.ids),
        page=page,
        pages=pages,
        side=side,
        ids=",".join(map(str, shown.ids.tolist())),
        width=f"{width:.4f}%",
        height=f"{height:.4f}%",
    )


def _pictures(subject: Shown, of: Listed, side: int, score: str) -> list[Picture]:
    ids = of.ids.tolist()
    places = sheet.cells(len(ids), side) if side else [None] * len(ids)
    known = subject.pictures
    labels = known.labels[of.ids].tolist() if known is not None else []
    found = []
    for at, (sample, place) in enumerate(zip(ids, places, strict=True)):
        name = subject.name_of(labels[at]) if labels else ""
        note = _note(of, at)
        told = [name or "image", str(sample)]
        if of.scores is not None and note:
            told.append(f"{score or 'score'} {note}")
        found.append(
            Picture(
                id=sample,
                name=name,
                note=note,
                title=" · ".join(told),
                out=of.inside is not None and not of.inside[at],
                x=f"{place.x:.4f}%" if place else "",
                y=f"{place.y:.4f}%" if place else "",
            )
        )
    return found


def _note(of: Listed, at: int) -> str:
    """Write what stands beside an id: its score, or what became of it."""
    if of.scores is not None:
        return short(float(of.scores[at]))
    if of.inside is None or of.left is None:
        return ""
    if of.inside[at]:
        return "in"
    left = int(of.left[at])
    return "never in" if left == STILL_IN else f"out at {left}"


def short(number: float) -> str:
    """Write a score in few signs: ``.0123``, ``4.21``, ``1.2e-06``."""
    if not np.isfinite(number):
        return "–"
    size = abs(number)
    if size and (size < 0.0005 or size >= 100_000):
        return f"{number:.1e}"
    text = f"{number:.4f}" if size < 1 else f"{number:.3g}"
    return text.replace("0.", ".", 1) if size < 1 else text


def asked(given: Mapping[str, str]) -> Asked:
    """Read an address; what makes no sense in it counts as not given."""
    name = given.get("set", "T")
    return Asked(
        set=name if name in {"T", "V"} else "T",
        epoch=_whole(given.get("epoch", "")),
        show=given.get("show", "") if given.get("show") in SHOWN else "",
        label=_whole(given.get("class", "")),
        ids=tuple(
            number
            for part in given.get("q", "").replace(",", " ").split()[:PAGE]
            if (number := _whole(part)) is not None
        ),
        page=_whole(given.get("page", "")) or 1,
    )


def _whole(text: str) -> int | None:
    """Read a whole number of at most nine digits; None of anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
