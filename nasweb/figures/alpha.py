"""Architecture parameters: the heat map of one epoch, and the margins of edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .heat import (
    MARKS,
    WORDS,
    Edges,
    edges_by_operations,
    marks,
    matrix,
    note,
    rows_of,
    shapes,
)
from .theme import (
    DASHES,
    GROUPS,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
)


def heatmap(
    point: Point | None, edges: Edges, operations: Sequence[str], *, waiting: str
) -> Figure:
    """Return edges (rows) x operations (columns) of the strengths of one epoch.

    The value stands in each field, with the decimals that tell a row's fields apart; a
    box marks the operation that the genotype takes (BDP Fig. 4), a struck field one
    that the edge may take no more, a dashed frame a row that is decided.
    """
    values = matrix(point["strengths"], edges) if point else []
    marked = marks(point, edges, operations)
    trace, shape = edges_by_operations(values, edges, operations, marked["gone"])
    trace["customdata"] = [["" for _ in row] for row in values]
    trace["hovertemplate"] = "edge %{y}, %{x}: %{z:.4f}%{customdata}<extra></extra>"
    shape["shapes"] = shapes(marked, len(operations))
    shape["meta"] = {"marks": MARKS, "words": WORDS}
    return figure([trace], shape, "" if values else waiting, note(marked))


def margins(
    points: Sequence[Point], epochs: int, edges: Edges, *, waiting: str
) -> Figure:
    """Return, per edge, best minus second strength: how firmly it has decided."""
    lines = edge_lines("margins", points, edges)
    shape = layout(epoch_axis(epochs), axis(rangemode="tozero"))
    return figure(lines, shape, "" if points else waiting)


def edge_lines(
    field: str, points: Sequence[Point], edges: Edges
) -> list[dict[str, Any]]:
    """Return a line an edge of a field that holds, per table, a number a row."""
    flat = [(table, row) for table, rows in edges.items() for row in range(len(rows))]
    # where the colours begin again (ten edges, eight colours), the dashes are others
    return [
        growing(
            label,
            f"{field}.{table}.{row}",
            points,
            line={
                "color": GROUPS[position % len(GROUPS)],
                "width": 1.6,
                "dash": DASHES[(position + position // len(GROUPS)) % len(DASHES)],
            },
            hovertemplate="epoch %{x}: %{y:.4f}<extra>edge %{fullData.name}</extra>",
        )
        for position, ((table, row), label) in enumerate(
            zip(flat, rows_of(edges), strict=True)
        )
    ]
