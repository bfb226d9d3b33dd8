"""Heat maps of edges x operations, and the marks upon their fields.

The browser moves through the epochs of a run by itself: it takes the values of an epoch
and its marks, as ``marks`` gives them, and turns the latter into shapes by the
templates in ``MARKS``, as ``shapes`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .theme import (
    CLEAR,
    DECIDED,
    GRID,
    HEAT,
    INK,
    MUTED,
    Point,
    axis,
    finite,
    layout,
    operation_style,
)

#: The scale is the same at every epoch and for every run, so that colours can be
#: compared; it spends most of its steps below one half, where softmax values live.
HEAT_STOPS = (0.0, 0.2, 0.35, 0.6, 1.0)

_FIELD: dict[str, Any] = {"type": "rect", "xref": "x", "yref": "y", "fillcolor": CLEAR}
#: How a field is marked: what the genotype takes; what its row may take no more (a
#: cover and a stroke across it); a whole row whose operation is decided.
MARKS: dict[str, dict[str, Any]] = {
    "taken": {**_FIELD, "line": {"color": INK, "width": 2.5}},
    "gone": {**_FIELD, "line": {"color": GRID, "width": 1}, "fillcolor": GRID},
    "stroke": {**_FIELD, "type": "line", "line": {"color": MUTED, "width": 1.2}},
    "decided": {**_FIELD, "line": {"color": DECIDED, "width": 2, "dash": "dash"}},
}
#: What the marks mean, for the line under the chart's title.
WORDS = {
    "taken": "box: operation that the genotype takes",
    "gone": "struck: out of reach of the edge",
    "decided": "dashed: edge decided",
    "scale": "the same colour scale at every epoch",
}

#: Decimals that stand in a field, at least and at most.
FEWEST_DIGITS, MOST_DIGITS = 2, 4

Edges = Mapping[str, Sequence[str]]
Marks = dict[str, list[list[int]]]


def rows_of(edges: Edges) -> list[str]:
    """Return the labels of all rows; the table's name stands before them if there
    are several tables (normal and reduction cell)."""
    several = len(edges) > 1
    return [
        f"{table} {row}" if several else row
        for table, rows in edges.items()
        for row in rows
    ]


def stacked(
    tables: Mapping[str, Sequence[Any]] | None, edges: Edges
) -> list[tuple[int, Any]]:
    """Return number and content of each row, the tables one below the other."""
    found, first = [], 0
    for table, rows in edges.items():
        content = (tables or {}).get(table, [])
        found += [(first + place, each) for place, each in enumerate(content)]
        first += len(rows)
    return found


def matrix(
    tables: Mapping[str, Sequence[Sequence[float | None]]] | None,
    edges: Edges,
    scale: float = 1.0,
) -> list[list[float | None]]:
    """Return the values of all rows, scaled; None for what no chart can hold."""
    return [
        [finite(value, scale) for value in row] for _, row in stacked(tables, edges)
    ]


def digits(
    values: Sequence[Sequence[float | None]],
    gone: Sequence[Sequence[int]] = (),
) -> int:
    """Return with how many decimals the fields of every row can be told apart.

    In the first epochs all strengths of a row lie within some thousandths, and two
    decimals would read alike.  ``gone`` are the [row, column] of fields that no row
    may take: their zeros say nothing of the others.
    """
    out = {tuple(at) for at in gone}
    needed = FEWEST_DIGITS
    for row, fields in enumerate(values):
        kept = [v for at, v in enumerate(fields) if (row, at) not in out]
        known = [value for value in kept if value is not None]
        width = max(known) - min(known) if known else 0.0
        while 0 < width < 5 * 0.1**needed and needed < MOST_DIGITS:
            needed += 1
    return needed


def edges_by_operations(
    values: Sequence[Sequence[float | None]],
    edges: Edges,
    operations: Sequence[str],
    gone: Sequence[Sequence[int]] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return trace and layout of a heat map with the value in each field."""
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
        "texttemplate": f"%{{z:.{digits(values, gone)}f}}",
        "hovertemplate": "edge %{y}, %{x}: %{z:.4f}<extra></extra>",
    }
    shape = layout(
        axis(type="category", showgrid=False, side="bottom", fixedrange=True),
        axis(type="category", showgrid=False, autorange="reversed", fixedrange=True),
    )
    shape["margin"] = {"l": 44, "r": 8, "t": 6, "b": 28}
    return trace, shape


def marks(point: Point | None, edges: Edges, operations: Sequence[str]) -> Marks:
    """Return what is marked at an epoch, as [row, column] of fields.

    ``taken``: what the genotype takes; ``gone``: what a row may take no more;
    ``decided``: the fixed operation of each row that is decided; ``missed``: per row,
    the operation without which the supernet is worst.
    """
    if point is None:
        return {"taken": [], "gone": [], "decided": [], "missed": []}
    columns = {name: place for place, name in enumerate(operations)}
    method = point.get("method") or {}
    allowed = stacked(method.get("allowed"), edges)
    fixed = stacked(method.get("decided"), edges)
    without = stacked(method.get("importance"), edges)
    return {
        "taken": [
            [row, columns[choice[-1]]]
            for row, choice in enumerate(point["cell"])
            if choice[-1] in columns
        ],
        "gone": [
            [row, column]
            for row, fields in allowed
            for column, may in enumerate(fields)
            if not may
        ],
        "decided": [[row, columns[name]] for row, name in fixed if name in columns],
        "missed": [
            [row, min(known)[1]]
            for row, fields in without
            if (known := [(v, at) for at, v in enumerate(fields) if v is not None])
        ],
    }


def shapes(marked: Marks, operations: int) -> list[dict[str, Any]]:
    """Return the marks of the strengths as shapes, for so many columns."""
    found = [
        {**MARKS[kind], **field(row, column)}
        for row, column in marked["gone"]
        for kind in ("gone", "stroke")
    ]
    found += [
        {**MARKS["decided"], **field(row, 0), "x1": operations - 0.5}
        for row, _ in marked["decided"]
    ]
    return found + framed(marked["taken"])


def note(marked: Marks) -> str:
    """Return what the marks that are there mean."""
    said = [kind for kind in ("taken", "gone", "decided") if marked[kind]]
    return " · ".join(WORDS[kind] for kind in (*said, "scale"))


def framed(fields: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return a box around each field."""
    return [{**MARKS["taken"], **field(row, column)} for row, column in fields]


def field(row: int, column: int) -> dict[str, float]:
    """Return the corners of a field; categories stand at whole numbers."""
    return {
        "x0": column - 0.5,
        "x1": column + 0.5,
        "y0": row - 0.5,
        "y1": row + 0.5,
    }
