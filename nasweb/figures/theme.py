"""What all figures share: tokens, operation styles, axes, growing traces."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]
Point = Mapping[str, Any]
"""One epoch as ``nasweb.runs.points.point`` makes it."""

MOST_POINTS = 1000
"""Points a trace holds when the page opens; epochs that arrive are appended."""

INK = "var(--chart-ink)"
MUTED = "var(--chart-muted)"
GRID = "var(--chart-grid)"
SURFACE = "var(--chart-hover)"
TRAIN = "var(--series-train)"
VALID = "var(--series-valid)"
INHERITED = "var(--series-inherited)"
TABLE = "var(--series-table)"
PLAN = "var(--series-plan)"
BASELINE = "var(--series-baseline)"
PRUNED = "var(--series-pruned)"
EIGENVALUE = "var(--series-eigenvalue)"
DECIDED = "var(--success)"
SCALAR = "var(--series-plan)"
CLEAR = "rgba(0,0,0,0)"
HEAT = tuple(f"var(--heat-{step})" for step in range(5))
GROUPS = tuple(f"var(--group-{number})" for number in range(1, 9))
DASHES = ("solid", "dash", "dashdot", "longdash", "dot", "longdashdot", "solid", "dash")


@dataclass(frozen=True)
class OperationStyle:
    """How an operation looks on every page: a name, a colour and a line style."""

    label: str
    colour: str
    dash: str


_OPERATIONS = {
    "none": OperationStyle("none", "var(--op-none)", "dot"),
    "skip_connect": OperationStyle("skip", "var(--op-skip)", "dash"),
    "nor_conv_1x1": OperationStyle("conv 1×1", "var(--op-conv1)", "longdash"),
    "nor_conv_3x3": OperationStyle("conv 3×3", "var(--op-conv3)", "solid"),
    "avg_pool_3x3": OperationStyle("avg pool", "var(--op-pool)", "dashdot"),
}


_NAMES = re.compile(rf"\b({'|'.join(_OPERATIONS)})\b")


def operation_style(name: str, position: int = 0) -> OperationStyle:
    """Return the style of an operation; unknown ones get one by their position."""
    known = _OPERATIONS.get(name)
    if known is not None:
        return known
    place = position % len(GROUPS)
    return OperationStyle(name.replace("_", " "), GROUPS[place], DASHES[place])


def operation_words(text: str) -> str:
    """Return a title or sentence of the engine with the operations named as on the
    pages: ``SS nor_conv_3x3`` becomes ``SS conv 3×3``."""
    return _NAMES.sub(lambda found: _OPERATIONS[found[0]].label, text)


def pick(point: Point, field: str) -> Any:
    """Follow a dotted path into a point; None where a step is missing."""
    value: Any = point
    for part in field.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def finite(value: Any, scale: float = 1.0) -> float | None:
    """Return the scaled number, or None for what JSON and charts cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    return value * scale


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Keep at most ``most`` points, the first and the last among them.

    The choice depends on nothing but the number of points: two loads of a page
    show the same picture.
    """
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(position * step)] for position in range(most)]


def growing(
    name: str,
    field: str,
    points: Sequence[Point],
    *,
    scale: float = 1.0,
    start: tuple[float, float] | None = None,
    detail: str = "",
    mode: str = "lines",
    **style: Any,
) -> dict[str, Any]:
    """Return a line over the epochs that the browser extends by itself.

    ``start`` is a first point before epoch 1; ``detail`` a second field, shown on
    hover.  Epochs without a value (an eigenvalue that is measured every fifth
    epoch) are left out, so the line goes on to the next value.
    """
    x: list[float] = [start[0]] if start else []
    y: list[float] = [start[1]] if start else []
    details: list[Any] = [""] if start else []
    for point in thin(points):
        value = finite(pick(point, field), scale)
        if value is not None:
            x.append(point["epoch"])
            y.append(value)
            details.append(pick(point, detail) if detail else "")
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode if len(x) > 1 else "lines+markers",
        "name": name,
        "x": x,
        "y": y,
        "meta": {"field": field, "scale": scale, "detail": detail, "mode": mode},
        **style,
    }
    if detail:
        trace["customdata"] = details
    return trace


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis in the quiet style of the pages."""
    found: dict[str, Any] = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "automargin": True,
        "tickfont": {"color": MUTED, "size": 11},
        "fixedrange": False,
    }
    if title:
        found["title"] = {"text": title, "font": {"color": MUTED, "size": 12}}
    return {**found, **more}


def epoch_axis(epochs: int, **more: Any) -> dict[str, Any]:
    """Return the x axis of a run: all its epochs, so that what is left is seen."""
    return axis("epoch", range=[0, max(epochs, 1)], **more)


def layout(
    xaxis: Mapping[str, Any], yaxis: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """Return the layout that all charts share."""
    return {
        "autosize": True,
        "margin": {"l": 48, "r": 14, "t": 12, "b": 40},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "var(--chart-font)", "size": 12, "color": INK},
        "hoverlabel": {
            "bgcolor": SURFACE,
            "bordercolor": GRID,
            "font": {"color": INK},
        },
        "hovermode": "closest",
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": 11, "color": MUTED},
            "bgcolor": CLEAR,
        },
        "uirevision": "keep",
        "xaxis": dict(xaxis),
        "yaxis": dict(yaxis),
        **more,
    }


def figure(
    data: list[dict[str, Any]], shape: dict[str, Any], empty: str = "", note: str = ""
) -> Figure:
    """Return a figure.

    ``empty`` is the sentence that stands there without data, ``note`` a line under
    the chart's title that changes with its data.
    """
    return {"data": data, "layout": shape, "empty": empty, "note": note}
