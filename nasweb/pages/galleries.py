"""What ``runs/data/_gallery.html`` shows: kinds of images, a page of them, a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from nasweb.explorer import sheet
from nasweb.explorer.gallery import (
    Asked,
    Gallery,
    Listed,
    Shown,
    gallery,
    narrowed,
)

_BY_CHANCE = "chosen by chance; the lowest score in front"
_NOTES = {
    "pruned": "the first to go in front, its score beside its id",
    "kept": "the next to go in front, scores as of this event",
    "added": "samples that were not in the set before",
    "all": "in the order of their ids; pale: not in the set any more",
    "in": "what is left after the newest event, in the order of ids",
}


class Seen(Shown, Protocol):
    """Whose images they are.

    Attributes:
        trouble: why there are none, a sentence; empty if there are.
        reading: they are being read: ask again.
    """

    trouble: str
    reading: bool

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in order."""


@dataclass(frozen=True)
class Addresses:
    """Where the page is, the gallery alone, and its sheets."""

    tab: str
    part: str
    sheet: str


@dataclass(frozen=True)
class Kind:
    """One of the kinds of images among which a reader chooses; ``count`` None: nobody
    knows how many."""

    set: str
    show: str
    label: str
    count: int | None


def frame(seen: Seen, page: Gallery, address: str) -> dict[str, Any]:
    """Return the address of the sheet of a page, and why there is none."""
    shown = page.side and page.ids
    return {
        "sheet": sheet.address(address, seen.fingerprint, page.ids) if shown else "",
        "gallery": page,
        "images_trouble": seen.trouble,
        "images_reading": seen.reading,
    }


def context(
    seen: Seen,
    asked: Asked,
    kinds: Sequence[Kind],
    listed: Listed | None,
    event: Mapping[str, Any] | None,
    at: Addresses,
    trouble: str = "",
) -> dict[str, Any]:
    """Return the whole of it.

    Args:
        seen: whose images.
        asked: what is shown: ``show`` is one of the kinds.
        kinds: what may be shown.
        listed: the samples of the kind that is shown; None: nobody knows them.
        event: what took samples away, if something did.
        at: addresses.
        trouble: why the samples cannot be read, a sentence.
    """
    page = Gallery()
    if listed is not None:
        listed = narrowed(listed, asked, seen.pictures)
        page = gallery(seen, listed, asked.page, (event or {}).get("score") or "VoE")
    return {
        **frame(seen, page, at.sheet),
        "asked": asked,
        "note": _note(asked.show, event),
        "tab_url": at.tab,
        "part_url": at.part,
        "gallery_trouble": trouble,
        "again": 1 if seen.reading else 0,
        "known": listed is not None,
        "kinds": [
            {
                "label": kind.label,
                "count": kind.count,
                "query": asked.query(set=kind.set, show=kind.show, page=1),
                "current": (kind.set, kind.show) == (asked.set, asked.show),
            }
            for kind in kinds
        ],
        "class_choices": [] if seen.pictures is None else list(enumerate(seen.classes)),
        "query": asked.query(),
        "before": asked.query(page=page.page - 1),
        "after": asked.query(page=page.page + 1),
        "whole": asked.query(ids=(), label=None, page=1),
    }


def answer(request: HttpRequest, shown: Mapping[str, Any]) -> HttpResponse:
    """Return the gallery alone.  The browser shows the address of the page that holds
    the same, but while it asks again for images that are being read."""
    response = render(request, "runs/data/_gallery.html", dict(shown))
    if request.GET.get("wait") is None:
        response["HX-Replace-Url"] = f"{shown['tab_url']}?{shown['query']}"
    return response


def _note(show: str, event: Mapping[str, Any] | None) -> str:
    """Say in which order they stand."""
    by_chance = (event or {}).get("criterion") == "random"
    return _BY_CHANCE if by_chance and show in {"pruned", "kept"} else _NOTES[show]
