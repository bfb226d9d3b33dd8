"""The curves of a cell that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .theme import TRAIN, VALID, Figure, Point, epoch_axis, figure, growing, layout
from .theme import axis as plain_axis

#: What the accuracy is measured on, in words.
SPLITS = {"test": "test images", "held-out": "held-out images", "": "other images"}
WAITING = "The curve begins with the first epoch."


def accuracy(curve: Sequence[Point], epochs: int, split: str) -> Figure:
    """Return accuracy in per cent over the epochs, of images trained on and of
    others."""
    hover = "epoch %{x}: %{y:.2f} %<extra>%{fullData.name}</extra>"
    lines = _lines(curve, split, ("train_accuracy", "accuracy"), 100, hover)
    shape = layout(epoch_axis(epochs), plain_axis("top-1, per cent"))
    return figure(lines, shape, "" if curve else WAITING)


def loss(curve: Sequence[Point], epochs: int, split: str) -> Figure:
    """Return the mean cross-entropy over the epochs, of the same images."""
    hover = "epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
    lines = _lines(curve, split, ("train_loss", "loss"), 1, hover)
    shape = layout(epoch_axis(epochs), plain_axis("cross-entropy", rangemode="tozero"))
    return figure(lines, shape, "" if curve else WAITING)


def _lines(
    curve: Sequence[Point],
    split: str,
    fields: tuple[str, str],
    scale: float,
    hover: str,
) -> list[dict[str, Any]]:
    """Return the line of the images trained on and that of the others."""
    names = ("training images, augmented", SPLITS[split])
    looks = (
        {"color": TRAIN, "width": 1.8},
        {"color": VALID, "width": 2.2, "dash": "dash"},
    )
    return [
        growing(name, field, curve, scale=scale, line=look, hovertemplate=hover)
        for name, field, look in zip(names, fields, looks, strict=True)
    ]
