"""What remains of T and V: over the epochs, and class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .theme import (
    BASELINE,
    PLAN,
    PRUNED,
    SURFACE,
    TRAIN,
    VALID,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
)

SETS = {"T": ("T (weights)", TRAIN, "solid"), "V": ("V (alpha)", VALID, "dash")}
MOST_NAMED_CLASSES = 20


def remaining(
    points: Sequence[Point], epochs: int, plan: Mapping[str, Any], *, waiting: str
) -> Figure:
    """Return the step chart of remaining samples beside plan and no pruning.

    ``plan`` is the engine's Plan: ``sizes`` and ``remaining`` per set, the latter
    with (epochs + 1) numbers, before epoch 1 and after each epoch.  Sets that were
    chosen before the first epoch (``chosen`` of its point) fall at 0.
    """
    sizes, planned = plan.get("sizes", {}), plan.get("remaining", {})
    chosen = points[0].get("chosen") if points else None
    if chosen:
        sets = {name: {"remaining": count} for name, count in chosen.items()}
        points = [{"epoch": 0, "sets": sets}, *points]
    lines = [*_plan_lines(planned, epochs)]
    lines += [
        growing(
            SETS[name][0],
            f"sets.{name}.remaining",
            points,
            start=(0, size),
            line={
                "color": SETS[name][1],
                "width": 2.2,
                "shape": "hv",
                "dash": SETS[name][2],
            },
            hovertemplate="after epoch %{x}: %{y:,} samples"
            "<extra>%{fullData.name}</extra>",
        )
        for name, size in sizes.items()
    ]
    lines += [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "no pruning",
            "legendgroup": "no pruning",
            "showlegend": place == 0,
            "x": [0, epochs],
            "y": [size, size],
            "line": {"color": BASELINE, "width": 1.3, "dash": "longdash"},
            "hovertemplate": "%{y:,} samples without pruning<extra></extra>",
        }
        for place, size in enumerate(sorted(set(sizes.values())))
    ]
    shape = layout(epoch_axis(epochs), axis(rangemode="tozero", separatethousands=True))
    return figure(lines, shape, "" if sizes else waiting)


def _plan_lines(
    planned: Mapping[str, Sequence[int]], epochs: int
) -> list[dict[str, Any]]:
    """One dotted line a set, under one name; one line if both are planned alike."""
    different = {tuple(counts): name for name, counts in planned.items()}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "plan",
            "legendgroup": "plan",
            "showlegend": place == 0,
            "x": list(range(min(len(counts), epochs + 1))),
            "y": list(counts[: epochs + 1]),
            "line": {"color": PLAN, "width": 1.6, "dash": "dot", "shape": "hv"},
            "hovertemplate": "after epoch %{x}: %{y:,} planned<extra></extra>",
        }
        for place, counts in enumerate(different)
    ]


def class_counts(
    name: str,
    classes: Sequence[str],
    state: Mapping[str, Any] | None,
    event: Mapping[str, Any] | None,
    *,
    waiting: str,
) -> Figure:
    """Return the classes of a set: kept, and pruned by the last event.

    ``state`` is the set after the newest epoch, ``event`` its last SamplesPruned.
    """
    if event is not None:
        kept = list(event["class_counts_after"])
        gone = [
            before - after
            for before, after in zip(event["class_counts_before"], kept, strict=True)
        ]
    else:
        kept = list(state["class_counts"]) if state else []
        gone = []
    labels = [*classes] if len(classes) == len(kept) else [*map(str, range(len(kept)))]
    across = len(labels) <= MOST_NAMED_CLASSES
    colour, label = SETS[name][1], SETS[name][0]
    bars = [_bars("kept", labels, kept, colour, "", across=across)]
    if event is not None:
        bars.append(
            _bars(
                f"pruned at epoch {event['epoch']}" if event["epoch"] else "left out",
                labels,
                gone,
                PRUNED,
                "/",
                across=across,
            )
        )
    counts = axis("samples", rangemode="tozero")
    named = axis(type="category", showgrid=False)
    if across:
        shape = layout(counts, {**named, "autorange": "reversed"})
    else:
        shape = layout({**named, "nticks": 20}, counts)
    shape |= {"barmode": "stack", "bargap": 0.25, "uirevision": f"classes of {label}"}
    return figure(bars, shape, "" if kept else waiting, _balance(state, event))


def _balance(state: Mapping[str, Any] | None, event: Mapping[str, Any] | None) -> str:
    """Say b of BDP Eq. 5 now and N of Eq. 6 at the last event."""
    if not state:
        return ""
    words = f"{state['remaining']:,} samples · balance b = {state['balance']:.3f}"
    if event is not None and event.get("limit") is not None:
        words += f" · limit N = {event['limit']:.2f} at epoch {event['epoch']}"
    return words


def _bars(
    name: str,
    labels: Sequence[str],
    counts: Sequence[int],
    colour: str,
    pattern: str,
    *,
    across: bool,
) -> dict[str, Any]:
    values = {"x": list(counts), "y": list(labels)}
    if not across:
        values = {"x": list(labels), "y": list(counts)}
    hover = "%{y}: %{x:,} " if across else "%{x}: %{y:,} "
    return {
        "type": "bar",
        "name": name,
        "orientation": "h" if across else "v",
        **values,
        "marker": {
            "color": colour,
            "pattern": {
                "shape": pattern,
                "fillmode": "overlay",
                "fgcolor": SURFACE,
                "size": 6,
                "solidity": 0.25,
            },
        },
        "hovertemplate": hover + f"{name}<extra></extra>",
    }
