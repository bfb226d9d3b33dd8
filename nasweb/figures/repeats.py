"""Searches on a benchmark table: many repeats against simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .theme import MUTED, TABLE, VALID, Figure, Point, axis, figure, growing, layout

_TICKS = 6


def best_so_far(
    points: Sequence[Point],
    epochs: int,
    table: Mapping[str, Any],
    *,
    label: str,
    optimum: float | None,
    waiting: str,
) -> Figure:
    """Return the best accuracy so far, mean ± std over the repeats, per cent.

    Two curves: what the search sees and picks by, and the test accuracy of the pick
    after 200 epochs, a look-up that no search sees.

    Args:
        points: of the budget, as ``nasweb.runs.points`` makes them.
        epochs: how many points the budget has.
        table: the ``TablePlan`` of the run.
        label: the data set, for people.
        optimum: best test accuracy of the whole table.
        waiting: what stands there before the first point.
    """
    lines = [
        *_band(
            f"seen by the search: {table['signal']}", "signal", VALID, "dash", points
        ),
        *_band(
            f"pick after 200 epochs, {label} test (table)",
            f"accuracies.{table['dataset']}.test",
            TABLE,
            "solid",
            points,
        ),
    ]
    if optimum is not None:
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best of the table, test",
                "x": [0, epochs],
                "y": [optimum] * 2,
                "line": {"color": MUTED, "width": 1, "dash": "dot"},
                "hovertemplate": "best of the table: %{y:.2f} %<extra></extra>",
            }
        )
    shape = layout(time_axis(epochs, table["budget"]), axis(ticksuffix=" %"))
    return figure(lines, shape, "" if points else waiting)


def time_axis(epochs: int, budget: float) -> dict[str, Any]:
    """Return the x axis of a search on a table: its points, told as simulated time."""
    ticks = list(range(0, epochs + 1, max(1, epochs // _TICKS)))
    return axis(
        "simulated seconds",
        range=[0, epochs],
        tickvals=ticks,
        ticktext=[f"{budget * tick / epochs:,.0f}" for tick in ticks],
    )


def _band(
    name: str, field: str, colour: str, dash: str, points: Sequence[Point]
) -> list[dict[str, Any]]:
    """Return lower edge, upper edge and mean; the browser extends all three."""
    edge: dict[str, Any] = {"line": {"width": 0, "color": colour}, "showlegend": False}
    return [
        growing("", f"repeats.{field}.low", points, hoverinfo="skip", **edge),
        growing(
            "",
            f"repeats.{field}.high",
            points,
            hoverinfo="skip",
            fill="tonexty",
            fillcolor=f"soft({colour})",
            **edge,
        ),
        growing(
            name,
            f"repeats.{field}.mean",
            points,
            detail="repeats.seconds",
            line={"color": colour, "width": 2, "dash": dash},
            hovertemplate="%{y:.2f} % at %{customdata:,.0f} simulated s"
            "<extra>mean</extra>",
        ),
    ]


def distribution(point: Point | None, *, label: str, waiting: str) -> Figure:
    """Return how the picks of the repeats spread: bars of their test accuracy by
    table, per cent."""
    repeats = (point or {}).get("repeats")
    shape = layout(
        axis(f"{label} test after 200 epochs", ticksuffix=" %"),
        axis("repeats"),
        bargap=0.05,
        showlegend=False,
    )
    if not repeats:
        return figure([], shape, waiting)
    edges, counts = repeats["histogram_edges"], repeats["histogram_counts"]
    bars = {
        "type": "bar",
        "x": [(low + high) / 2 for low, high in pairwise(edges)],
        "y": counts,
        "width": [high - low for low, high in pairwise(edges)],
        "marker": {"color": TABLE},
        "hovertemplate": "%{y} repeats near %{x:.2f} %<extra></extra>",
    }
    return figure([bars], shape)
