"""Stages of a search whose supernet changes (P-DARTS), marked on the epoch axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .theme import MUTED, Figure, Point, pick

_LINE: dict[str, Any] = {
    "type": "line",
    "xref": "x",
    "yref": "paper",
    "y0": 0,
    "y1": 1,
    "line": {"color": MUTED, "width": 1, "dash": "dot"},
}
_WORDS: dict[str, Any] = {
    "xref": "x",
    "yref": "paper",
    "y": 1,
    "yanchor": "bottom",
    "xanchor": "left",
    "xshift": -4,
    "showarrow": False,
    "font": {"size": 10, "color": MUTED},
}


def changes(points: Sequence[Point]) -> list[tuple[int, int]]:
    """Return (first epoch, stage) of each stage but the first."""
    return [
        (after["epoch"], pick(after, "method.stage"))
        for before, after in pairwise(points)
        if pick(after, "method.stage") not in (None, pick(before, "method.stage"))
    ]


def with_stages(
    figures: Mapping[str, Figure], found: Sequence[tuple[int, int]]
) -> dict[str, Figure]:
    """Return the figures, all over epochs, with a line where a stage begins.

    The line stands between two epochs.  ``meta.stage`` lets the browser draw the next
    one like it.
    """
    return {name: _marked(each, found) for name, each in figures.items()}


def _marked(drawn: Figure, found: Sequence[tuple[int, int]]) -> Figure:
    shape = drawn["layout"]
    places = [(epoch - 0.5, f"stage {stage}") for epoch, stage in found]
    return {
        **drawn,
        "layout": {
            **shape,
            "meta": {
                **shape.get("meta", {}),
                "stage": {"line": _LINE, "words": _WORDS},
            },
            "shapes": [
                *shape.get("shapes", []),
                *({**_LINE, "x0": x, "x1": x} for x, _ in places),
            ],
            "annotations": [
                *shape.get("annotations", []),
                *({**_WORDS, "x": x, "text": words} for x, words in places),
            ],
        },
    }
