"""The colours of charts, the same for the same thing on every page.

``static/css/tokens.css`` carries them as variables (``--op-skip``,
``--series-train``); a test holds the two together.  Every colour has a partner for
the dark theme and a line style as second signal, and the operations stay apart in
the three common kinds of colour blindness (tested in CIELAB).
"""

from __future__ import annotations

from typing import TypedDict


class Ink(TypedDict):
    """A colour in both themes, a Plotly dash, and the name for people."""

    label: str
    light: str
    dark: str
    dash: str


def _ink(label: str, light: str, dark: str, dash: str = "solid") -> Ink:
    return {"label": label, "light": light, "dark": dark, "dash": dash}


#: By the operation names of the spaces.
OPERATIONS: dict[str, Ink] = {
    "none": _ink("none", "#7f8999", "#a3acbb", "dot"),
    "skip_connect": _ink("skip", "#d56c0c", "#f0a04b", "dash"),
    "nor_conv_1x1": _ink("conv 1×1", "#b06fe0", "#d8b4fa", "longdash"),
    "nor_conv_3x3": _ink("conv 3×3", "#1d4ed8", "#5c88fb", "solid"),
    "avg_pool_3x3": _ink("avg pool", "#087f5b", "#1fae86", "dashdot"),
}

#: By what a curve shows, whatever page it is on.
SERIES: dict[str, Ink] = {
    "train": _ink("T (weights)", "#2457d6", "#7c9ff8"),
    "valid": _ink("V (alpha)", "#c2650b", "#e8a04c", "dash"),
    "table": _ink("genotype, table", "#17494d", "#4cc4b4"),
    "plan": _ink("plan", "#5f6b80", "#9aa3b2", "dot"),
    "baseline": _ink("no pruning", "#b3264a", "#f08ca4", "longdash"),
    "removed": _ink("removed", "#b3264a", "#f58fa7"),
    "kept": _ink("kept", "#2457d6", "#7c9ff8"),
    "eigenvalue": _ink("eigenvalue", "#8a3ab9", "#cf9bf5"),
}

#: For groups of runs that share a chart (compare), in order of use.
GROUPS: tuple[Ink, ...] = (
    _ink("", "#2457d6", "#7c9ff8", "solid"),
    _ink("", "#b3264a", "#f58fa7", "dash"),
    _ink("", "#087f5b", "#1fae86", "dashdot"),
    _ink("", "#d56c0c", "#f0a04b", "longdash"),
    _ink("", "#8a3ab9", "#cf9bf5", "dot"),
    _ink("", "#0e7490", "#4fc3dc", "longdashdot"),
    _ink("", "#7a5a00", "#d9c04a", "solid"),
    _ink("", "#5f6b80", "#a3acbb", "dash"),
)


def as_data() -> dict[str, object]:
    """Return the palette for the charts' JavaScript."""
    return {"operations": OPERATIONS, "series": SERIES, "groups": GROUPS}


def css_name(operation: str) -> str:
    """Return the CSS variable of an operation: ``--op-conv-3x3``."""
    short = {
        "skip_connect": "skip",
        "nor_conv_1x1": "conv-1x1",
        "nor_conv_3x3": "conv-3x3",
        "avg_pool_3x3": "avg-pool",
    }.get(operation, operation)
    return f"--op-{short}"
