"""Accuracy and loss over the epochs: of the supernet and of what it derives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from searchjobs.benchmark import DATASETS

from .theme import (
    INHERITED,
    MUTED,
    TABLE,
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

_TABLE_LINES = {
    "cifar10": ("var(--group-1)", "solid"),
    "cifar100": ("var(--group-2)", "dash"),
    "imagenet16": ("var(--group-3)", "dot"),
}
_PER_CENT = {"ticksuffix": " %", "rangemode": "tozero"}


def accuracy(
    points: Sequence[Point],
    epochs: int,
    dataset: str,
    *,
    table: bool,
    paths: int = 0,
    waiting: str,
) -> Figure:
    """Return the accuracy chart (per cent).

    Supernet on T (mean of the weight steps) and V (probe samples), the derived cell
    with inherited weights on V, and, where a table is loaded, the trained value of
    each epoch's genotype on ``dataset``'s test set: a look-up, drawn apart.  With
    ``paths``, V is the mean of so many drawn cells, each on its part of the probe.
    """
    hover = "epoch %{x}: %{y:.1f} %<extra>%{fullData.name}</extra>"
    lines = [
        growing(
            "supernet on T",
            "train_accuracy",
            points,
            scale=100,
            line={"color": TRAIN, "width": 1.8},
            hovertemplate=hover,
        ),
        growing(
            f"mean of {paths} drawn cells on V" if paths else "supernet on V",
            "valid_accuracy",
            points,
            scale=100,
            line={"color": VALID, "width": 1.8, "dash": "dash"},
            hovertemplate=hover,
        ),
        growing(
            "cell, inherited weights, V",
            "inherited_accuracy",
            points,
            scale=100,
            line={"color": INHERITED, "width": 1.6, "dash": "dot"},
            hovertemplate=hover,
        ),
    ]
    if table:
        lines.append(
            growing(
                f"genotype, table ({DATASETS[dataset]} test)",
                f"table.{dataset}.test",
                points,
                detail="genotype",
                line={"color": TABLE, "width": 2.4, "shape": "hv"},
                hovertemplate="epoch %{x}: %{y:.2f} % by table<br>%{customdata}"
                "<extra></extra>",
            )
        )
    shape = layout(epoch_axis(epochs), axis(**_PER_CENT))
    return figure(lines, shape, "" if points else waiting)


def table_accuracy(
    points: Sequence[Point],
    epochs: int,
    optimum: Mapping[str, float],
    *,
    loaded: bool,
    why_not: str = "",
    waiting: str,
) -> Figure:
    """Return test accuracy by table of each epoch's genotype, three data sets.

    ``optimum`` is the best test accuracy of the table per data set; each is a thin
    dotted line above its curve.  ``why_not`` says why there can be no table.
    """
    lines = []
    for name, label in DATASETS.items():
        colour, dash = _TABLE_LINES[name]
        lines.append(
            growing(
                label,
                f"table.{name}.test",
                points,
                detail="genotype",
                line={"color": colour, "width": 2, "shape": "hv", "dash": dash},
                hovertemplate=f"epoch %{{x}}: %{{y:.2f}} % on {label}<br>"
                "%{customdata}<extra></extra>",
            )
        )
        if name in optimum:
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"best of the table, {label}",
                    "x": [0, epochs],
                    "y": [optimum[name]] * 2,
                    "line": {"color": MUTED, "width": 1, "dash": "dot"},
                    "showlegend": False,
                    "hovertemplate": f"best of the table on {label}: %{{y:.2f}} %"
                    "<extra></extra>",
                }
            )
    missing = why_not or (
        "No benchmark table is imported, so nothing is known of trained accuracy. "
        "An admin imports one with: manage.py import_nasbench201 PATH"
    )
    shape = layout(epoch_axis(epochs), axis(ticksuffix=" %"))
    return figure(lines, shape, missing if not loaded else "" if points else waiting)


def losses(
    points: Sequence[Point], epochs: int, *, paths: int = 0, waiting: str
) -> Figure:
    """Return the mean cross-entropy of the weight steps on T and on V's probe, of the
    mixture or of ``paths`` drawn cells."""
    hover = "epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
    lines = [
        growing(
            "T, weight steps",
            "train_loss",
            points,
            line={"color": TRAIN, "width": 1.8},
            hovertemplate=hover,
        ),
        growing(
            f"V, mean of {paths} drawn cells" if paths else "V, probe samples",
            "valid_loss",
            points,
            line={"color": VALID, "width": 1.8, "dash": "dash"},
            hovertemplate=hover,
        ),
    ]
    shape = layout(epoch_axis(epochs), axis("cross-entropy"))
    return figure(lines, shape, "" if points else waiting)
