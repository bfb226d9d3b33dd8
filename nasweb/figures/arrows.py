"""Search cost against accuracy, with an arrow from a search to the same on fewer
samples (BDP Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.comparison import Spread

from .compare import NOTHING
from .theme import GROUPS, MUTED, Figure, axis, figure, layout

_STANDOFF = 8
"""Pixels between the marker and the tip of an arrow."""


@dataclass(frozen=True)
class Marker:
    """A group: cost on any scale, accuracy in per cent."""

    label: str
    cost: Spread
    result: Spread


def cost_against_result(
    markers: Sequence[Marker],
    pairs: Sequence[tuple[int, int]],
    x_title: str,
    measure: str,
) -> Figure:
    """Return one marker a group at (mean cost, mean result), with the standard
    deviation of the result where there are several runs.

    ``pairs`` holds the arrows as places (from, to), ``measure`` says what the result
    is.
    """
    shown = {
        place: marker
        for place, marker in enumerate(markers)
        if marker.cost.mean is not None and marker.result.mean is not None
    }
    data = [_marker(place, marker) for place, marker in shown.items()]
    shape = layout(axis(x_title, rangemode="tozero"), axis(ticksuffix=" %"))
    shape["annotations"] = [
        _arrow(shown[start], shown[end])
        for start, end in pairs
        if start in shown and end in shown
    ]
    note = f"{measure}; mean of each group, bars: std over its runs"
    if shape["annotations"]:
        note += "; arrows: the same search on all samples → on fewer"
    return figure(data, shape, "" if data else NOTHING, note)


def _marker(place: int, marker: Marker) -> dict[str, Any]:
    colour = GROUPS[place % len(GROUPS)]
    deviation = marker.result.deviation
    told = "" if deviation is None else f" ± {deviation:.2f}"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{marker.label} (n = {marker.result.n})",
        "x": [marker.cost.mean],
        "y": [marker.result.mean],
        "cliponaxis": False,
        "marker": {"color": colour, "size": 11, "symbol": place},
        "hovertemplate": f"{marker.label}: %{{y:.2f}}{told} % for %{{x:,.0f}}, "
        f"n = {marker.result.n}<extra></extra>",
    }
    if deviation:
        trace["error_y"] = {
            "type": "data",
            "array": [deviation],
            "color": colour,
            "thickness": 1.2,
            "width": 4,
        }
    return trace


def _arrow(start: Marker, end: Marker) -> dict[str, Any]:
    return {
        "x": end.cost.mean,
        "y": end.result.mean,
        "ax": start.cost.mean,
        "ay": start.result.mean,
        "xref": "x",
        "yref": "y",
        "axref": "x",
        "ayref": "y",
        "text": "",
        "showarrow": True,
        "arrowhead": 2,
        "arrowsize": 1.1,
        "arrowwidth": 1.4,
        "arrowcolor": MUTED,
        "standoff": _STANDOFF,
        "startstandoff": _STANDOFF,
    }
