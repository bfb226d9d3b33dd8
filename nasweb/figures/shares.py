"""What a search costs and finds against the share of the data that it used (Moser et
al., Less is More, Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nasweb.comparison import Spread

from .theme import DASHES, GROUPS, Figure, axis, figure, layout

NOTHING = "None of these runs has succeeded yet."


class Point(Protocol):
    """What a chart needs of a group; ``train`` is the share of T in per cent."""

    @property
    def label(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def train(self) -> float: ...


def against_share(
    points: Sequence[Point],
    of: Callable[[Any], Spread],
    y_title: str,
    *,
    suffix: str = "",
    from_zero: bool = False,
) -> Figure:
    """Return a line a method over the share of T, with a marker a group and its
    standard deviation; ``of`` reads what stands on the y axis."""
    data = []
    for place, method in enumerate(dict.fromkeys(point.method for point in points)):
        its = sorted(
            (p for p in points if p.method == method and of(p).mean is not None),
            key=lambda point: point.train,
        )
        if not its:
            continue
        colour = GROUPS[place % len(GROUPS)]
        values = [of(point) for point in its]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": method,
                "x": [point.train for point in its],
                "y": [value.mean for value in values],
                "error_y": {
                    "type": "data",
                    "array": [value.deviation or 0.0 for value in values],
                    "color": colour,
                    "thickness": 1.2,
                    "width": 4,
                },
                "customdata": [
                    [point.label, f"n = {value.n}{_told(value, suffix)}"]
                    for point, value in zip(its, values, strict=True)
                ],
                "line": {
                    "color": colour,
                    "width": 1.8,
                    "dash": DASHES[place % len(DASHES)],
                },
                "marker": {"color": colour, "size": 8, "symbol": place},
                "hovertemplate": "%{customdata[0]}: %{y:,.2f}"
                + suffix
                + " at %{x:.0f} % of T, %{customdata[1]}<extra></extra>",
            }
        )
    floor = {"rangemode": "tozero"} if from_zero else {}
    shape = layout(
        axis("share of T that an epoch used", ticksuffix=" %", range=[0, 105]),
        axis(y_title, ticksuffix=suffix, **floor),
    )
    return figure(data, shape, "" if data else NOTHING)


def _told(value: Spread, suffix: str) -> str:
    return "" if value.deviation is None else f", ± {value.deviation:,.2f}{suffix}"
