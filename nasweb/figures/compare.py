"""Curves of groups of runs: mean and band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasweb.comparison import Band

from .theme import (
    DASHES,
    GROUPS,
    Figure,
    axis,
    figure,
    layout,
)

NOTHING = "None of these runs has finished an epoch yet."


def curves(
    bands: Sequence[tuple[str, Band | None]],
    x_title: str,
    *,
    suffix: str = "",
    empty: str = NOTHING,
    from_zero: bool = False,
    named: bool = True,
    stepped: bool = True,
) -> Figure:
    """Return one line a group with a band of one standard deviation.

    Lines are ``stepped``: what a run has reached holds until its next epoch; what is
    measured now and then is not.

    ``bands`` keeps the order of the groups, so that a group has its colour and line
    style in every chart of the page; a small chart need not be ``named`` again: its
    legend would leave no room for the lines.
    """
    shape_of_line = "hv" if stepped else "linear"
    data: list[dict[str, Any]] = []
    for place, (label, found) in enumerate(bands):
        if found is None:
            continue
        colour = GROUPS[place % len(GROUPS)]
        if found.n > 1:
            data += _band(label, found, colour, shape_of_line)
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(found.x) > 1 else "markers",
                "name": f"{label} (n = {found.n})",
                "legendgroup": label,
                "x": found.x,
                "y": found.mean,
                "customdata": [_told(found, place) for place in range(len(found.x))],
                "line": {
                    "color": colour,
                    "width": 2,
                    "dash": DASHES[place % len(DASHES)],
                    "shape": shape_of_line,
                },
                "hovertemplate": f"%{{x:,}}: %{{y:.2f}}{suffix}%{{customdata}}"
                f"<extra>{label}, n = {found.n}</extra>",
            }
        )
    floor = {"rangemode": "tozero"} if from_zero else {}
    shape = layout(axis(x_title, rangemode="tozero"), axis(ticksuffix=suffix, **floor))
    shape["showlegend"] = named
    return figure(data, shape, "" if data else empty)


def _told(found: Band, place: int) -> str:
    """Return the deviation as the hover tells it; one run has none."""
    return f" ± {found.deviation[place]:.2f}" if found.n > 1 else ""


def _band(label: str, found: Band, colour: str, line: str) -> list[dict[str, Any]]:
    pairs = list(zip(found.mean, found.deviation, strict=True))
    edge: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": found.x,
        "line": {"width": 0, "color": colour, "shape": line},
        "legendgroup": label,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [
        {**edge, "y": [mean - deviation for mean, deviation in pairs]},
        {
            **edge,
            "y": [mean + deviation for mean, deviation in pairs],
            "fill": "tonexty",
            "fillcolor": f"soft({colour})",
        },
    ]
