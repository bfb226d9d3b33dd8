"""Curves of groups of runs: mean and band; operations per edge; cost and result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasweb.comparison import Band

from .theme import (
    DASHES,
    GROUPS,
    Figure,
    axis,
    figure,
    layout,
    operation_style,
)

NOTHING = "None of these runs has finished an epoch yet."


_LEAST_HEIGHT, _EDGE_HEIGHT, _LEGEND_HEIGHT = 330, 18, 90
"""Of the bars per edge, px: every edge has its label."""


def curves(
    bands: Sequence[tuple[str, Band | None]],
    x_title: str,
    *,
    suffix: str = "",
    empty: str = NOTHING,
    from_zero: bool = False,
    named: bool = True,
) -> Figure:
    """Return one line a group with a band of one standard deviation.

    Lines are steps: what a run has reached holds until its next epoch.

    ``bands`` keeps the order of the groups, so that a group has its colour and line
    style in every chart of the page; a small chart need not be ``named`` again: its
    legend would leave no room for the lines.
    """
    data: list[dict[str, Any]] = []
    for place, (label, found) in enumerate(bands):
        if found is None:
            continue
        colour = GROUPS[place % len(GROUPS)]
        if found.n > 1:
            data += _band(label, found, colour)
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(found.x) > 1 else "markers",
                "name": f"{label} (n = {found.n})",
                "legendgroup": label,
                "x": found.x,
                "y": found.mean,
                "customdata": found.deviation,
                "line": {
                    "color": colour,
                    "width": 2,
                    "dash": DASHES[place % len(DASHES)],
                    "shape": "hv",
                },
                "hovertemplate": f"%{{x:,}}: %{{y:.2f}}{suffix} ± %{{customdata:.2f}}"
                f"<extra>{label}, n = {found.n}</extra>",
            }
        )
    floor = {"rangemode": "tozero"} if from_zero else {}
    shape = layout(axis(x_title, rangemode="tozero"), axis(ticksuffix=suffix, **floor))
    shape["showlegend"] = named
    return figure(data, shape, "" if data else empty)


def _band(label: str, found: Band, colour: str) -> list[dict[str, Any]]:
    pairs = list(zip(found.mean, found.deviation, strict=True))
    edge: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": found.x,
        "line": {"width": 0, "color": colour, "shape": "hv"},
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


def cost_against_result(
    points: Sequence[tuple[str, float | None, float | None, int]],
    x_title: str,
    y_title: str,
) -> Figure:
    """Return one marker a group at (mean cost, mean result, per cent); BDP Fig. 1."""
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{label} (n = {n})",
            "x": [cost],
            "y": [result],
            "cliponaxis": False,
            "marker": {
                "color": GROUPS[place % len(GROUPS)],
                "size": 11,
                "symbol": place,
            },
            "hovertemplate": f"{label}: %{{y:.2f}} % for %{{x:,.0f}}<extra></extra>",
        }
        for place, (label, cost, result, n) in enumerate(points)
        if cost is not None and result is not None
    ]
    shape = layout(axis(x_title, rangemode="tozero"), axis(y_title, ticksuffix=" %"))
    return figure(data, shape, "" if data else NOTHING)


def operations_per_edge(
    shares: Sequence[tuple[str, Mapping[str, Sequence[float]]]],
    operations: Sequence[str],
) -> Figure:
    """Return stacked bars: per group and edge, the share of each operation (%)."""
    groups = [label for label, rows in shares for _ in rows]
    edges = [row for _, rows in shares for row in rows]
    data = []
    for place, name in enumerate(operations):
        style = operation_style(name, place)
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": style.label,
                "y": [groups, edges],
                "x": [
                    100 * values[place]
                    for _, rows in shares
                    for values in rows.values()
                ],
                "marker": {"color": style.colour},
                "hovertemplate": f"%{{y}}: %{{x:.0f}} % take {style.label}"
                "<extra></extra>",
            }
        )
    shape = layout(
        axis(ticksuffix=" %", range=[0, 100]),
        axis(type="multicategory", autorange="reversed", showgrid=False, dtick=1),
    )
    shape |= {"barmode": "stack", "bargap": 0.18}
    shape["height"] = max(_LEAST_HEIGHT, _EDGE_HEIGHT * len(edges) + _LEGEND_HEIGHT)
    shape["legend"]["traceorder"] = "normal"
    return figure(data, shape, "" if edges else NOTHING)
