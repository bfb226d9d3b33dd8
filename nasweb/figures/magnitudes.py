"""Operation magnitudes: mean strength over all edges (EX-/SS-DARTS, section on
selective stop)."""

from __future__ import annotations

from collections.abc import Sequence

from .theme import (
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
    operation_style,
)


def magnitudes(
    points: Sequence[Point], epochs: int, operations: Sequence[str], *, waiting: str
) -> Figure:
    """Return one line an operation; they sum to 1 at every epoch."""
    lines = []
    for position, name in enumerate(operations):
        style = operation_style(name, position)
        lines.append(
            growing(
                style.label,
                f"magnitudes.{name}",
                points,
                line={"color": style.colour, "width": 1.8, "dash": style.dash},
                hovertemplate="epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
            )
        )
    shape = layout(epoch_axis(epochs), axis())
    return figure(lines, shape, "" if points else waiting)
