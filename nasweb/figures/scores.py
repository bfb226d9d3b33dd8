"""The scores of one pruning event, with the cut between pruned and kept."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from .samples import SETS
from .theme import INK, PRUNED, SURFACE, Figure, axis, figure, layout


def histogram(name: str, event: Mapping[str, Any] | None, *, waiting: str) -> Figure:
    """Return the histogram of the last event of set ``name`` ("T" or "V").

    ``event`` is a SamplesPruned: B + 1 ``histogram_edges`` and B counts each of
    kept and removed samples.
    """
    edges = list(event["histogram_edges"]) if event else []
    if event is None or len(edges) < 2:
        reason = (event or {}).get("reason", "")
        return figure([], layout(axis(), axis()), reason or waiting)
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    bars = [
        _bars("kept", centres, widths, event["histogram_kept"], SETS[name][1], ""),
        _bars("pruned", centres, widths, event["histogram_removed"], PRUNED, "/"),
    ]
    shape = layout(
        axis(f"score ({event.get('score', 'VoE')})"),
        axis("samples", rangemode="tozero"),
        barmode="stack",
    )
    shape |= {"bargap": 0.05, "uirevision": f"scores of {name}"}
    if event.get("cut") is not None:
        shape["shapes"] = [
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": event["cut"],
                "x1": event["cut"],
                "y0": 0,
                "y1": 1,
                "line": {"color": INK, "width": 1.5, "dash": "dot"},
            }
        ]
    return figure(bars, shape, note=_note(event))


def _note(event: Mapping[str, Any]) -> str:
    """Say what the event did, and whether low scores meant easy or never learned."""
    ends = {"low": "lowest scores", "high": "highest scores", "random": "by chance"}
    when = f"epoch {event['epoch']}" if event["epoch"] else "before the search"
    words = (
        f"{when}: {event['removed']:,} of {event['before']:,} pruned, "
        f"{ends.get(event['criterion'], event['criterion'])}"
    )
    if event["removed"] and event.get("cut") is None:
        words += f" · {_without_cut(event)}"
    if event.get("correlation") is not None:
        words += f" · Spearman with mean error {event['correlation']:+.2f}"
    return words


def _without_cut(event: Mapping[str, Any]) -> str:
    """Say why no score divides what stays from what goes."""
    if event["criterion"] == "random":
        return "no cut: the scores did not count"
    if event.get("added"):
        return "no cut: chosen in rounds, and the scores change from round to round"
    if event.get("limit") is not None:
        return "no cut: a class that has lost as many as it may loses no more"
    return "no cut: each class loses a share of its own"


def _bars(
    name: str,
    centres: list[float],
    widths: list[float],
    counts: list[int],
    colour: str,
    pattern: str,
) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": centres,
        "y": list(counts),
        "width": widths,
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
        "hovertemplate": f"score %{{x:.4f}}: %{{y:,}} {name}<extra></extra>",
    }
