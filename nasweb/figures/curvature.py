"""The dominant eigenvalue of the alpha Hessian over the epochs (BDP Fig. 3c)."""

from __future__ import annotations

from collections.abc import Sequence

from .theme import (
    EIGENVALUE,
    GRID,
    MUTED,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
)


def eigenvalue(
    points: Sequence[Point], epochs: int, every: int, *, waiting: str
) -> Figure:
    """Return the eigenvalue chart; ``every`` is the spec's interval, 0 if off."""
    line = growing(
        "largest",
        "eigenvalue",
        points,
        mode="lines+markers",
        line={"color": EIGENVALUE, "width": 1.8},
        marker={"color": EIGENVALUE, "size": 5},
        hovertemplate="epoch %{x}: %{y:.4g}<extra>largest</extra>",
    )
    absolute = growing(
        "largest in absolute value",
        "eigenvalue_absolute",
        points,
        mode="lines+markers",
        line={"color": MUTED, "width": 1.2, "dash": "dot"},
        marker={"color": MUTED, "size": 4},
        hovertemplate="epoch %{x}: %{y:.4g}<extra>largest in absolute value</extra>",
    )
    if every == 0:
        empty = (
            "The eigenvalue is switched off in this spec (diagnostics.eigenvalue_every "
            "is 0). Clone the run and set it to measure it."
        )
    elif line["x"]:
        empty = ""
    elif points:
        empty = f"Measured every {every} epochs; the first measurement is to come."
    else:
        empty = waiting
    shape = layout(epoch_axis(epochs), axis(zeroline=True, zerolinecolor=GRID))
    return figure([line, absolute], shape, empty)
