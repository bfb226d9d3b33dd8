"""Two searches side by side over their epochs (BDP Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasweb.comparison import Band, Group, band

from .compare import NOTHING, curves
from .theme import GROUPS, Figure, axis, figure, layout

_SETS = (("T", "dash"), ("V", "dot"), ("T and V", "solid"))


def accuracy(groups: Sequence[Group], value: Any, *, empty: str) -> Figure:
    """Return Fig. 3a: accuracy of each epoch's genotype, mean and band over seeds."""
    found = [(group.label, band(group.members, "epoch", value)) for group in groups]
    return curves(found, "epoch", suffix=" %", empty=empty)


def remaining(groups: Sequence[Group], *, logarithmic: bool) -> Figure:
    """Return Fig. 3b: samples that remain of T, of V and of both, as steps."""
    data = []
    for place, group in enumerate(groups):
        for name, dash in _SETS:
            found = band(group.members, "epoch", _left(name))
            if found is not None:
                data.append(_steps(f"{group.label}, {name}", found, place, dash))
    vertical = {"type": "log"} if logarithmic else {"rangemode": "tozero"}
    shape = layout(
        axis("epoch", rangemode="tozero"),
        axis("samples", separatethousands=True, **vertical),
    )
    return figure(data, shape, "" if data else NOTHING)


def _left(name: str) -> Any:
    """Return the function that reads how much of T, of V or of both is left."""

    def of(step: Any) -> float | None:
        if name in step.sets:
            return float(step.sets[name])
        return float(sum(step.sets.values())) if " " in name and step.sets else None

    return of


def _steps(name: str, found: Band, place: int, dash: str) -> dict[str, Any]:
    told = [
        "" if found.n < 2 else f" ± {deviation:,.0f}" for deviation in found.deviation
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{name} (n = {found.n})",
        "x": found.x,
        "y": found.mean,
        "customdata": told,
        "line": {
            "color": GROUPS[place % len(GROUPS)],
            "width": 2,
            "dash": dash,
            "shape": "hv",
        },
        "hovertemplate": f"after epoch %{{x}}: %{{y:,.0f}}%{{customdata}} of {name}, "
        f"n = {found.n}<extra></extra>",
    }


def eigenvalue(groups: Sequence[Group]) -> Figure:
    """Return Fig. 3c: the dominant eigenvalue of the alpha Hessian, where measured."""
    found = [
        (group.label, band(group.members, "epoch", lambda step: step.eigenvalue))
        for group in groups
    ]
    return curves(
        found,
        "epoch",
        stepped=False,
        empty="No eigenvalue was measured: set diagnostics.eigenvalue_every.",
    )
