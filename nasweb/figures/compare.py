"""Curves of groups of runs: mean and band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        line: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines" if len(found.x) > 1 else "markers",
            "name": f"{label} (n = {found.n})",
            "legendgroup": label,
            "x": found.x,
            "y": drawn(found.mean),
            "line": {
                "color": colour,
                "width": 2,
                "dash": DASHES[place % len(DASHES)],
                "shape": shape_of_line,
            },
        }
        told = ""
        if found.n > 1:  # one run has no deviation
            told = " ± %{customdata:.2f}"
            line["customdata"] = drawn(found.deviation)
        line["hovertemplate"] = (
            f"%{{x:,}}: %{{y:.2f}}{suffix}{told}<extra>{label}, n = {found.n}</extra>"
        )
        data.append(line)
    floor = {"rangemode": "tozero"} if from_zero else {}
    shape = layout(axis(x_title, rangemode="tozero"), axis(ticksuffix=suffix, **floor))
    shape["showlegend"] = named
    return figure(data, shape, "" if data else empty)


def drawn(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Return values of one curve as a page carries them: of the largest, six digits
    are more than a chart shows, and the others would be most of the page."""
    numbers = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(numbers).max(initial=0.0))
    digits = 5 - math.floor(math.log10(largest)) if largest else 0
    found: list[float] = numbers.round(digits).tolist()
    return found


def _band(label: str, found: Band, colour: str, line: str) -> list[dict[str, Any]]:
    mean, deviation = np.asarray(found.mean), np.asarray(found.deviation)
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
        {**edge, "y": drawn(mean - deviation)},
        {
            **edge,
            "y": drawn(mean + deviation),
            "fill": "tonexty",
            "fillcolor": f"soft({colour})",
        },
    ]
