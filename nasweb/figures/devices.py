"""Hours of devices by team; the load of one slot over a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .theme import (
    DASHES,
    GROUPS,
    INHERITED,
    MUTED,
    TRAIN,
    VALID,
    Figure,
    axis,
    figure,
    finite,
    layout,
)


class Load(Protocol):
    """What a moment of a slot's load tells; None: not known."""

    @property
    def minutes_ago(self) -> float: ...
    @property
    def utilisation(self) -> float | None: ...
    @property
    def memory_gib(self) -> float | None: ...
    @property
    def temperature(self) -> float | None: ...


def team_hours(hours: Mapping[str, float], empty: str) -> Figure:
    """Return a bar a team with its hours above it, most first."""
    teams = list(hours)
    data = [
        {
            "type": "bar",
            "x": teams,
            "y": list(hours.values()),
            "text": [hours_words(value) for value in hours.values()],
            "textposition": "outside",
            "textfont": {"color": MUTED, "size": 11},
            "cliponaxis": False,
            "width": 0.75 if len(teams) > 2 else 0.4,
            "marker": {
                "color": [GROUPS[place % len(GROUPS)] for place in range(len(teams))]
            },
            "hovertemplate": "%{x}: %{text}<extra></extra>",
        }
    ]
    top = max(hours.values(), default=0.0)
    shape = layout(
        axis(type="category", showgrid=False),
        axis("hours", rangemode="tozero", range=[0, 1.15 * top or 1]),
        showlegend=False,
    )
    shape["margin"] = {"l": 48, "r": 10, "t": 16, "b": 28}
    return figure(data if teams else [], shape, "" if teams else empty)


def hours_words(value: float) -> str:
    """Write hours of devices: ``212 h``, ``3.1 h``, below a tenth the minutes."""
    if 0 < value < 1 / 60:
        return "under 1 min"
    if 0 < value < 0.1:
        return f"{60 * value:.0f} min"
    return f"{value:,.0f} h" if value >= 10 else f"{value:.1f} h"


def load(moments: Sequence[Load], memory_gib: float) -> Figure:
    """Return utilisation and memory in per cent, temperature in degrees, over hours.

    ``memory_gib`` is that of the device; 0 leaves the memory out.
    """
    hours = [-moment.minutes_ago / 60 for moment in moments]
    curves: list[tuple[str, str, list[float | None], str, str]] = [
        ("utilisation", TRAIN, [finite(m.utilisation) for m in moments], " %", "y"),
        (
            "memory",
            VALID,
            [
                finite(m.memory_gib, 100 / memory_gib) if memory_gib else None
                for m in moments
            ],
            " %",
            "y",
        ),
        (
            "temperature",
            INHERITED,
            [finite(m.temperature) for m in moments],
            " °C",
            "y2",
        ),
    ]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines" if len(moments) > 1 else "markers",
            "name": name,
            "x": hours,
            "y": values,
            "yaxis": which,
            "line": {"color": colour, "width": 1.8, "dash": DASHES[place]},
            "hovertemplate": f"%{{x:.1f}} h: %{{y:.0f}}{unit}<extra>{name}</extra>",
        }
        for place, (name, colour, values, unit, which) in enumerate(curves)
        if any(value is not None for value in values)
    ]
    shape = layout(
        axis("hours ago", range=[-24, 0], tickvals=[-24, -18, -12, -6, 0],
             ticktext=["24", "18", "12", "6", "now"]),
        axis(range=[0, 105], ticksuffix=" %"),
        yaxis2=axis(overlaying="y", side="right", range=[0, 105], showgrid=False,
                    ticksuffix=" °C"),
    )  # fmt: skip
    shape["margin"] = {"l": 48, "r": 52, "t": 28, "b": 40}
    return figure(data, shape, "" if data else "No load was recorded in 24 hours.")
