"""Architecture parameters: the heat map of one epoch, and the margins of edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .theme import (
    CLEAR,
    DASHES,
    GROUPS,
    HEAT,
    INK,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
    operation_style,
)

#: The scale is the same at every epoch and for every run, so that colours can be
#: compared; it spends most of its steps below one half, where softmax values live.
HEAT_STOPS = (0.0, 0.2, 0.35, 0.6, 1.0)

_BOX = {
    "type": "rect",
    "xref": "x",
    "yref": "y",
    "line": {"color": INK, "width": 2.5},
    "fillcolor": CLEAR,
}


def rows_of(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the labels of all rows; the table's name stands before them if there
    are several tables (normal and reduction cell)."""
    several = len(edges) > 1
    return [
        f"{table} {row}" if several else row
        for table, rows in edges.items()
        for row in rows
    ]


def heatmap(
    point: Point | None,
    edges: Mapping[str, Sequence[str]],
    operations: Sequence[str],
    *,
    waiting: str,
) -> Figure:
    """Return edges (rows) x operations (columns) of the strengths of one epoch.

    The value stands in each field; a box marks the operation that the genotype
    takes (BDP Fig. 4).
    """
    strengths = point["strengths"] if point else {}
    values = [row for table in edges for row in strengths.get(table, [])]
    labels = [
        operation_style(name, position).label
        for position, name in enumerate(operations)
    ]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": labels,
        "y": rows_of(edges),
        "z": values,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [
            [stop, colour] for stop, colour in zip(HEAT_STOPS, HEAT, strict=True)
        ],
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
        "texttemplate": "%{z:.2f}",
        "hovertemplate": "edge %{y}, %{x}: %{z:.4f}<extra></extra>",
    }
    shape = layout(
        axis(type="category", showgrid=False, side="bottom", fixedrange=True),
        axis(
            type="category",
            showgrid=False,
            autorange="reversed",
            fixedrange=True,
        ),
    )
    shape["margin"] = {"l": 44, "r": 8, "t": 6, "b": 28}
    shape["shapes"] = boxes(point, operations)
    shape["meta"] = {"box": _BOX}
    return figure([trace], shape, "" if values else waiting)


def boxes(point: Point | None, operations: Sequence[str]) -> list[dict[str, Any]]:
    """Return one rectangle a row, on the operation that the genotype takes."""
    columns = {name: position for position, name in enumerate(operations)}
    chosen = [choice[-1] for choice in point["cell"]] if point else []
    return [
        {
            **_BOX,
            "x0": columns[name] - 0.5,
            "x1": columns[name] + 0.5,
            "y0": row - 0.5,
            "y1": row + 0.5,
        }
        for row, name in enumerate(chosen)
        if name in columns
    ]


def margins(
    points: Sequence[Point],
    epochs: int,
    edges: Mapping[str, Sequence[str]],
    *,
    waiting: str,
) -> Figure:
    """Return, per edge, best minus second strength: how firmly it has decided."""
    flat = [(table, row) for table, rows in edges.items() for row in range(len(rows))]
    lines = [
        growing(
            label,
            f"margins.{table}.{row}",
            points,
            line={
                "color": GROUPS[position % len(GROUPS)],
                "width": 1.6,
                "dash": DASHES[position % len(GROUPS)],
            },
            hovertemplate="epoch %{x}: %{y:.4f}<extra>edge %{fullData.name}</extra>",
        )
        for position, ((table, row), label) in enumerate(
            zip(flat, rows_of(edges), strict=True)
        )
    ]
    shape = layout(epoch_axis(epochs), axis(rangemode="tozero"))
    return figure(lines, shape, "" if points else waiting)
