"""Operation magnitudes: mean strength over all edges (EX-/SS-DARTS, section on
selective stop), with the peak of each operation and a strip of what stopping rules
have said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .theme import (
    GRID,
    INK,
    MUTED,
    PRUNED,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
    operation_style,
    operation_words,
)

_ROW = 0.085
"""Height of a rule's row, as a share of the chart."""
NOTE = "mean strength over all edges · ◆ peak of an operation"
NOTE_OF_RULES = " · above: ◆ epoch that a rule named, ○ when it spoke, ■ if it stopped"


def magnitudes(
    points: Sequence[Point],
    epochs: int,
    operations: Sequence[str],
    suggestions: Sequence[Mapping[str, Any]] = (),
    *,
    waiting: str,
    xaxis: Mapping[str, Any] | None = None,
    note: str = NOTE,
) -> Figure:
    """Return one line an operation; after a softmax they sum to 1 at every epoch.

    ``suggestions`` are what stopping rules have said (``StopSuggested``), each a row
    of its own above the lines; ``xaxis`` stands in the place of the epochs.
    """
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
    shape = layout(xaxis or epoch_axis(epochs), axis())
    traces = [*lines, _peaks(lines)]
    if suggestions:
        note += NOTE_OF_RULES
        traces += _rules(suggestions, epochs)
        shape |= _with_strip(shape, suggestions)
    return figure(traces, shape, "" if points else waiting, note)


def _peaks(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the highest point of each line, the first of equal ones.

    ``meta.peaks`` asks the browser to find them anew when the lines have grown.
    """
    tops = [
        max(zip(line["x"], line["y"], strict=True), key=lambda at: at[1])
        for line in lines
        if line["x"]
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "peak",
        "x": [x for x, _ in tops],
        "y": [y for _, y in tops],
        "text": [line["name"] for line in lines if line["x"]],
        "marker": {
            "symbol": "diamond",
            "size": 9,
            "color": [line["line"]["color"] for line in lines if line["x"]],
            "line": {"color": "var(--surface)", "width": 1.2},
        },
        "hovertemplate": "peak of %{text}: %{y:.3f} at epoch %{x}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
        "meta": {"peaks": len(lines)},
    }


def _rules(
    suggestions: Sequence[Mapping[str, Any]], epochs: int
) -> list[dict[str, Any]]:
    """Return a row a rule: a diamond at the epoch that it named, joined to the sign at
    the epoch at which it spoke."""
    rows = []
    for row, said in enumerate(reversed(suggestions)):
        named, spoke = said["architecture_epoch"], said["epoch"]
        nothing = said["reason"].startswith("Found nothing")
        colour = MUTED if nothing else PRUNED if said["stopped"] else INK
        spoken = ("square" if said["stopped"] else "circle-open", spoke)
        signs = [("diamond-open" if nothing else "diamond", named), spoken]
        if spoke == named:
            signs = [spoken] if said["stopped"] else signs[:1]
        left = max(named, spoke) > 0.5 * epochs
        words = operation_words(said.get("title") or said["rule"])
        rows.append(
            {
                "type": "scatter",
                "mode": "lines+markers+text",
                "name": words,
                "x": [epoch for _, epoch in signs],
                "y": [row] * len(signs),
                "yaxis": "y2",
                "text": _beside(
                    words + (": nothing found" if nothing else ""), signs, left
                ),
                "textposition": "middle left" if left else "middle right",
                "textfont": {"size": 10.5, "color": MUTED if nothing else INK},
                "line": {"color": colour, "width": 1.2},
                "marker": {
                    "symbol": [symbol for symbol, _ in signs],
                    "size": 8,
                    "color": colour,
                },
                "customdata": [operation_words(said["reason"])] * len(signs),
                "hovertemplate": f"named epoch {named}, spoke at epoch {spoke}"
                f"{', stopped the search' if said['stopped'] else ''}"
                "<br>%{customdata}<extra>%{fullData.name}</extra>",
                "showlegend": False,
                "cliponaxis": False,
            }
        )
    return rows


def _beside(words: str, signs: Sequence[tuple[str, int]], left: bool) -> list[str]:
    """Return the words at the outer one of the signs, towards the wider side."""
    epochs = [epoch for _, epoch in signs]
    outer = epochs.index(min(epochs) if left else max(epochs))
    return [f" {words} " if place == outer else "" for place in range(len(signs))]


def _with_strip(
    shape: Mapping[str, Any], suggestions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what changes in the layout where a strip of rules stands above."""
    share = min(0.5, _ROW * len(suggestions) + 0.02)
    named = {said["architecture_epoch"] for said in suggestions}
    return {
        "yaxis": {**shape["yaxis"], "domain": [0, 1 - share - 0.03]},
        "yaxis2": {
            "domain": [1 - share, 1],
            "range": [-0.6, len(suggestions) - 0.4],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "showticklabels": False,
        },
        "shapes": [
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": epoch,
                "x1": epoch,
                "y0": 0,
                "y1": 1,
                "layer": "below",
                "line": {"color": GRID, "width": 1.5, "dash": "dot"},
            }
            for epoch in sorted(named)
        ],
    }
