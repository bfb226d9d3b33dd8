"""Which operation the cells of a group take on each edge: pies, and stacked bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nasweb.statistics import entropy

from .theme import (
    INK,
    MUTED,
    SURFACE,
    Figure,
    OperationStyle,
    axis,
    figure,
    layout,
    operation_style,
)

Shares = Sequence[tuple[str, int, Mapping[str, Sequence[float]]]]
"""Label, n, and per edge the share (0 to 1) of each operation."""

NOTHING = "None of these runs has a cell yet."
_ROW, _TITLE, _EDGE, _LEGEND = 108, 24, 18, 96
"""Heights in px: of a line of pies, a group's title, a bar, and what stands around."""
_NAMES = 44
"""Of the legend above the pies, on a narrow screen too."""
_PIE_SHARE = 0.86
_PIES_A_LINE = 6
_LAST_BAR = 100
_ENTROPY_AT = 104


def pies(shares: Shares, operations: Sequence[str]) -> Figure:
    """Return P(operation | edge) as a pie an edge (Moser et al., Less is More, Fig. 5),
    a group below the other; edges stand in the order of the cell, ten of them in two
    lines; operations have their fixed colours."""
    rows = [each for each in shares if each[2]]
    if not rows:
        return figure([], layout(axis(), axis()), NOTHING)
    styles = [operation_style(name, at) for at, name in enumerate(operations)]
    lines = [math.ceil(len(edges) / _PIES_A_LINE) for _, _, edges in rows]
    height = sum(_TITLE + _ROW * count for count in lines)
    line_height = _ROW / height
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    top = 1.0
    for (label, n, edges), count in zip(rows, lines, strict=True):
        notes.append(_words(f"{label} (n = {n})", 0, top, "left", INK, 12, "top"))
        across = math.ceil(len(edges) / count)
        first = top - _TITLE / height
        for place, (edge, values) in enumerate(edges.items()):
            line, column = divmod(place, across)
            left, right = column / across, (column + 1) / across
            below = first - (line + 1) * line_height
            data.append(
                {
                    "type": "pie",
                    "labels": [style.label for style in styles],
                    "values": [100 * value for value in values],
                    "marker": {
                        "colors": [style.colour for style in styles],
                        "line": {"color": SURFACE, "width": 0 if 1 in values else 1},
                    },
                    "domain": {
                        "x": [left, left + (right - left) * _PIE_SHARE],
                        "y": [below + line_height * 0.2, below + line_height],
                    },
                    "sort": False,
                    "direction": "clockwise",
                    "textinfo": "none",
                    "showlegend": False,
                    "hovertemplate": f"{label}, edge {edge}: %{{value:.0f}} % of "
                    f"n = {n} take %{{label}}<extra></extra>",
                }
            )
            middle = left + (right - left) * _PIE_SHARE / 2
            notes.append(
                _words(
                    edge, middle, below + line_height * 0.16, "center", MUTED, 11, "top"
                )
            )
        top = first - count * line_height
    shape = layout(axis(visible=False), axis(visible=False))
    shape |= {"height": height + _NAMES, "annotations": notes}
    shape["margin"] = {"l": 4, "r": 4, "t": _NAMES, "b": 4}
    return figure([*data, *map(_named, styles)], shape)


def _named(style: OperationStyle) -> dict[str, Any]:
    """Return an entry of the legend: a trace without a point."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": style.label,
        "x": [None],
        "y": [None],
        "marker": {"color": style.colour, "symbol": "square", "size": 10},
        "hoverinfo": "skip",
    }


def _words(
    text: str, x: float, y: float, anchor: str, colour: str, size: int, valign: str
) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": anchor,
        "yanchor": valign,
        "showarrow": False,
        "font": {"color": colour, "size": size},
    }


def bars(shares: Shares, operations: Sequence[str]) -> Figure:
    """Return the same as stacked bars, with the entropy of each edge in bits behind."""
    rows = [
        (f"{label.replace(' · ', '<br>')}<br>(n = {n})", edge, values)
        for label, n, edges in shares
        for edge, values in edges.items()
    ]
    groups, edges = [row[0] for row in rows], [row[1] for row in rows]
    data: list[dict[str, Any]] = []
    for place, name in enumerate(operations):
        style = operation_style(name, place)
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": style.label,
                "y": [groups, edges],
                "x": [100 * values[place] for _, _, values in rows],
                "marker": {"color": style.colour},
                "hovertemplate": f"%{{y}}: %{{x:.0f}} % take {style.label}"
                "<extra></extra>",
            }
        )
    entropies = [entropy(values) for _, _, values in rows]
    data.append(
        {
            "type": "scatter",
            "mode": "text",
            "name": "entropy",
            "showlegend": False,
            "y": [groups, edges],
            "x": [_ENTROPY_AT] * len(rows),
            "text": [f"{value:.2f} bits" for value in entropies],
            "textposition": "middle right",
            "textfont": {"color": MUTED, "size": 11},
            "cliponaxis": False,
            "hovertemplate": "%{y}: entropy %{text}<extra></extra>",
        }
    )
    shape = layout(
        axis(ticksuffix=" %", range=[0, 128], tickvals=[0, 25, 50, 75, _LAST_BAR]),
        axis(type="multicategory", autorange="reversed", showgrid=False, dtick=1),
    )
    shape |= {"barmode": "stack", "bargap": 0.18}
    shape["height"] = max(300, _EDGE * len(rows) + _LEGEND)
    shape["legend"]["traceorder"] = "normal"
    return figure(data if rows else [], shape, "" if rows else NOTHING)
