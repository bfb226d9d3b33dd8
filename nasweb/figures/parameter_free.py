"""How much of the cell holds no weights: a collapse takes skip, pool and none alike."""

from __future__ import annotations

from collections.abc import Sequence

from .theme import (
    EIGENVALUE,
    PRUNED,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
    operation_style,
)


def parameter_free(points: Sequence[Point], epochs: int, *, waiting: str) -> Figure:
    """Return the edges of the genotype that take an operation without weights, those
    of them that take a skip (both per cent of the edges), and the mean strength of all
    such operations together (x 100, methods spec 15.2)."""
    skip = operation_style("skip_connect")
    hover = "epoch %{x}: %{y:.0f} % of the edges<extra>%{fullData.name}</extra>"
    lines = [
        growing(
            "edges: skip, pool or none",
            "free_edges",
            points,
            scale=100,
            line={"color": PRUNED, "width": 2, "shape": "hv"},
            hovertemplate=hover,
        ),
        growing(
            "edges: skip",
            "skip_edges",
            points,
            scale=100,
            line={"color": skip.colour, "width": 1.6, "shape": "hv", "dash": skip.dash},
            hovertemplate=hover,
        ),
        growing(
            "mean strength of the three",
            "free_magnitude",
            points,
            scale=100,
            line={"color": EIGENVALUE, "width": 1.6, "dash": "dot"},
            hovertemplate="epoch %{x}: %{y:.1f} % of the strength<extra></extra>",
        ),
    ]
    shape = layout(epoch_axis(epochs), axis(ticksuffix=" %", rangemode="tozero"))
    return figure(lines, shape, "" if points else waiting)
