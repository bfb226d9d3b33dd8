"""What one method alone tells of a search: named curves, edge weights, importance.

Nothing here knows a method.  A chart exists exactly where the points of a run hold its
values, so a run of plain DARTS shows none of them.  ``card`` heads the chart: a page
that is open already makes it when the first values arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .alpha import edge_lines
from .heat import MARKS, Edges, edges_by_operations, framed, marks, matrix
from .theme import (
    HEAT,
    SCALAR,
    Figure,
    Point,
    axis,
    epoch_axis,
    figure,
    growing,
    layout,
    pick,
)

IMPORTANCE = "importance"
EDGES = "edge-weights"
_SCALAR = "scalar-"
_NOT_TRIED = (
    "In this epoch the method removed no operation on trial; other epochs have values."
)


def names(point: Point | None) -> list[str]:
    """Return the names of the charts that this epoch has values for."""
    method = (point or {}).get("method") or {}
    found = [IMPORTANCE] if method.get("importance") else []
    found += [EDGES] if method.get("edges") else []
    return found + [f"{_SCALAR}{name}" for name in method.get("scalars") or {}]


def charts(
    points: Sequence[Point],
    epochs: int,
    edges: Edges,
    operations: Sequence[str],
    notes: Mapping[str, str] | None = None,
) -> dict[str, Figure]:
    """Return the charts of a run that some epoch has values for, by name; ``notes``
    say what the named curves are."""
    found = {}
    for name in dict.fromkeys(name for point in points for name in names(point)):
        if name == IMPORTANCE:
            found[name] = importance(points[-1], edges, operations)
        elif name == EDGES:
            found[name] = edge_weights(points, epochs, edges)
        else:
            curve = name.removeprefix(_SCALAR)
            found[name] = scalar(points, epochs, curve, (notes or {}).get(curve, ""))
    return found


def scalar(points: Sequence[Point], epochs: int, name: str, note: str = "") -> Figure:
    """Return one named curve of a method: temperature, skip dropout, radius."""
    words = name.replace("_", " ")
    line = growing(
        words,
        f"method.scalars.{name}",
        points,
        line={"color": SCALAR, "width": 1.8},
        showlegend=False,
        hovertemplate=f"epoch %{{x}}: %{{y:.4g}}<extra>{words}</extra>",
    )
    shape = layout(epoch_axis(epochs), axis(rangemode="tozero"))
    return _on_card(figure([line], shape), words[:1].upper() + words[1:], note)


def edge_weights(points: Sequence[Point], epochs: int, edges: Edges) -> Figure:
    """Return the weights of the edges themselves (PC-DARTS), a line an edge."""
    shape = layout(epoch_axis(epochs), axis(rangemode="tozero"))
    found = figure(edge_lines("method.edges", points, edges), shape)
    note = "how much of each edge reaches its node, beside its operations"
    return _on_card(found, "Edge weights", note)


def importance(point: Point | None, edges: Edges, operations: Sequence[str]) -> Figure:
    """Return edges x operations: per cent of V that the supernet gets right without
    the operation (VP-DARTS, Alg. 1).

    The darker, the more it is missed; the colours span the values of one epoch, which
    lie within a few per cent.  A box marks the one that its edge misses most.
    """
    tables = pick(point, "method.importance") if point else None
    values = matrix(tables, edges, scale=100)
    trace, shape = edges_by_operations(values, edges, operations)
    del trace["zmin"], trace["zmax"]
    trace |= {
        "colorscale": [[step / 4, colour] for step, colour in enumerate(HEAT)],
        "reversescale": True,
        "texttemplate": "%{z:.1f}",
        "hovertemplate": "edge %{y} without %{x}: %{z:.2f} % of V<extra></extra>",
    }
    shape["shapes"] = framed(marks(point, edges, operations)["missed"])
    shape["meta"] = {"marks": MARKS, "empty": _NOT_TRIED}
    note = (
        "per cent of V that the supernet gets right without the operation · strongest "
        "colour: missed most · box: most important of its edge"
    )
    found = figure([trace], shape, "" if values else _NOT_TRIED)
    return _on_card(found, "Importance of each operation", note)


def _on_card(found: Figure, title: str, note: str) -> Figure:
    return {**found, "card": {"title": title, "note": note}}
