"""The charts of the explorer: balance, one event, one sample, two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .samples import SETS, class_counts
from .theme import (
    INK,
    MUTED,
    PLAN,
    PRUNED,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
)

_TABLE_COLOURS = ("var(--group-1)", "var(--group-4)")


def balance(
    points: Sequence[Point],
    epochs: int,
    events: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    waiting: str,
) -> Figure:
    """Return b of BDP Eq. 5 after each epoch and N of Eq. 6 at each event.

    ``events`` are the SamplesPruned of T and V.
    """
    lines = [
        growing(
            f"b of {name}",
            f"sets.{name}.balance",
            points,
            line={"color": colour, "width": 1.8, "dash": dash},
            hovertemplate="after epoch %{x}: b = %{y:.3f}"
            "<extra>%{fullData.name}</extra>",
        )
        for name, (_, colour, dash) in SETS.items()
    ]
    for (name, (_, colour, _)), symbol in zip(
        SETS.items(), ("circle", "diamond"), strict=True
    ):
        limited = [e for e in events.get(name, ()) if e.get("limit") is not None]
        if not limited:
            continue
        lines.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"N of {name}",
                "x": [event["epoch"] for event in limited],
                "y": [event["limit"] for event in limited],
                "yaxis": "y2",
                "cliponaxis": False,
                "marker": {"color": colour, "size": 7, "symbol": symbol},
                "hovertemplate": "event of epoch %{x}: N = %{y:.2f}"
                "<extra>%{fullData.name}</extra>",
            }
        )
    shape = layout(epoch_axis(epochs), axis("b", range=[0, 1.05]))
    if len(lines) > len(SETS):  # an axis without a value has no ticks to draw
        shape |= _second("N", shape)
    return figure(lines, shape, "" if points else waiting)


def event_classes(
    name: str,
    classes: Sequence[str],
    event: Mapping[str, Any] | None,
    balance_after: float,
    *,
    waiting: str,
) -> Figure:
    """Return the classes of a set at an event: what stays and what goes, or, of a set
    that is drawn anew, before and after side by side."""
    if event is None or not event.get("added"):
        state = event and {
            "remaining": event["after"],
            "balance": balance_after,
            "class_counts": event["class_counts_after"],
        }
        return class_counts(name, classes, state, event, waiting=waiting)
    counts = event["class_counts_after"]
    labels = (
        [*classes] if len(classes) == len(counts) else [*map(str, range(len(counts)))]
    )
    bars = [
        {
            "type": "bar",
            "name": title,
            "x": labels,
            "y": event[f"class_counts_{key}"],
            "marker": {"color": colour},
            "hovertemplate": f"%{{x}}: %{{y:,}} {title}<extra></extra>",
        }
        for key, title, colour in (
            ("before", "before", PLAN),
            ("after", "after", SETS[name][1]),
        )
    ]
    shape = layout(
        axis(type="category", showgrid=False, nticks=20),
        axis("samples", rangemode="tozero"),
        barmode="group",
    )
    return figure(bars, shape, note=f"balance b = {balance_after:.3f} afterwards")


def journey(
    verdicts: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    epochs: int,
    score: str,
) -> Figure:
    """Return the score of one sample at each event, with the cut and where the middle
    half of its set stood.

    ``verdicts`` have ``epoch``, ``score`` and ``mean_error``; ``events`` are those of
    its set.
    """
    known = [event for event in events if len(event.get("score_quantiles") or ()) == 7]
    lines: list[dict[str, Any]] = []
    if known:
        x = [event["epoch"] for event in known]
        lower = [event["score_quantiles"][2] for event in known]
        upper = [event["score_quantiles"][4] for event in known]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "middle half of the set",
                "x": [*x, *reversed(x)],
                "y": [*upper, *reversed(lower)],
                "fill": "toself",
                "fillcolor": f"soft({PLAN})",
                "line": {"width": 0, "color": PLAN},
                "hoverinfo": "skip",
            }
        )
    cuts = [event for event in events if event.get("cut") is not None]
    lines.append(_line("cut", cuts, "cut", PRUNED, "dot"))
    lines.append(_line(f"its {score}", verdicts, "score", INK, "solid"))
    errors = [each for each in verdicts if each.get("mean_error") is not None]
    shape = layout(epoch_axis(epochs), axis(score, rangemode="tozero"))
    if errors:
        line = _line("its mean error", errors, "mean_error", MUTED, "dash")
        lines.append({**line, "yaxis": "y2"})
        shape |= _second("mean error of the window", shape)
    scored = any(each.get("score") is not None for each in verdicts)
    return figure(lines, shape, "" if scored else "No event has scored it.")


def _second(title: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a layout needs for an axis at the right, with ticks of its own."""
    right = axis(title, rangemode="tozero", showgrid=False, tickmode="auto", nticks=5)
    return {
        "yaxis2": {**right, "overlaying": "y", "side": "right"},
        "margin": {**shape["margin"], "r": 48},
    }


def _line(
    name: str, rows: Sequence[Mapping[str, Any]], key: str, colour: str, dash: str
) -> dict[str, Any]:
    kept = [row for row in rows if row.get(key) is not None]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [row["epoch"] for row in kept],
        "y": [row[key] for row in kept],
        "line": {"color": colour, "width": 1.8, "dash": dash},
        "marker": {"size": 6},
        "cliponaxis": False,
        "hovertemplate": f"epoch %{{x}}: %{{y:.4g}}<extra>{name}</extra>",
    }


def agreement(curves: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int) -> Figure:
    """Return the Jaccard index of two runs' sets over the epochs, beside chance.

    ``curves``: per set, ``epoch``, ``jaccard`` and ``expected`` (both may be None).
    """
    lines = []
    for name, (label, colour, dash) in SETS.items():
        rows = curves.get(name, ())
        for key, title, width in (
            ("jaccard", label, 2.2),
            ("expected", f"{name}, chance", 1.2),
        ):
            kept = [row for row in rows if row[key] is not None]
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": title,
                    "showlegend": bool(kept),
                    "x": [row["epoch"] for row in kept],
                    "y": [row[key] for row in kept],
                    "line": {
                        "color": colour,
                        "width": width,
                        "shape": "hv",
                        "dash": "dot" if key == "expected" else dash,
                    },
                    "hovertemplate": f"epoch %{{x}}: %{{y:.3f}}<extra>{title}</extra>",
                }
            )
    shape = layout(epoch_axis(epochs), axis("Jaccard index", range=[0, 1.05]))
    return figure(lines, shape, "" if any(line["x"] for line in lines) else "No set.")


def agreement_by_class(
    classes: Sequence[str], common: Sequence[int], expected: Sequence[float]
) -> Figure:
    """Return how many samples of each class two runs share, and what chance gives."""
    bars: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": "in both",
            "x": list(classes),
            "y": list(common),
            "marker": {"color": _TABLE_COLOURS[0]},
            "hovertemplate": "%{x}: %{y:,} in both<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "by chance",
            "x": list(classes),
            "y": list(expected),
            "marker": {
                "color": _TABLE_COLOURS[1],
                "symbol": "line-ew-open",
                "size": 16,
                "line": {"width": 3},
            },
            "hovertemplate": "%{x}: %{y:.1f} by chance<extra></extra>",
        },
    ]
    shape = layout(
        axis(type="category", showgrid=False, nticks=20),
        axis("samples", rangemode="tozero"),
        bargap=0.3,
    )
    return figure(bars, shape)
