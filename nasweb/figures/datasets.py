"""How many images a data set has of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .samples import MOST_NAMED_CLASSES
from .theme import TRAIN, Figure, axis, figure, layout


def class_counts(classes: Sequence[str], counts: Sequence[int]) -> Figure:
    """Return a bar a class: across while all names can be read, else upright."""
    across = len(classes) <= MOST_NAMED_CLASSES
    values: dict[str, Any] = {"x": list(counts), "y": list(classes)}
    if not across:
        values = {"x": list(classes), "y": list(counts)}
    hover = "%{y}: %{x:,} images" if across else "%{x}: %{y:,} images"
    bars = {
        "type": "bar",
        "orientation": "h" if across else "v",
        **values,
        "marker": {"color": TRAIN},
        "hovertemplate": hover + "<extra></extra>",
    }
    numbers = axis("images", rangemode="tozero", separatethousands=True)
    named = axis(type="category", showgrid=False)
    if across:
        shape = layout(numbers, {**named, "autorange": "reversed"})
    else:
        shape = layout({**named, "nticks": 20}, numbers)
    waiting = "The check has not told the classes yet."
    return figure([bars], shape | {"bargap": 0.25}, "" if classes else waiting)
