"""The curves of a cell that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence

from .theme import TRAIN, VALID, Figure, Point, epoch_axis, figure, growing, layout
from .theme import axis as plain_axis

#: What the accuracy is measured on, in words.
SPLITS = {"test": "test images", "held-out": "held-out images", "": "other images"}
WAITING = "The curve begins with the first epoch."


def accuracy(curve: Sequence[Point], epochs: int, split: str) -> Figure:
    """Return accuracy in per cent over the epochs, of images trained on and of
    others."""
    hover = "epoch %{x}: %{y:.2f} %<extra>%{fullData.name}</extra>"
    lines = [
        growing(
            "training images, augmented",
            "train_accuracy",
            curve,
            scale=100,
            line={"color": TRAIN, "width": 1.8},
            hovertemplate=hover,
        ),
        growing(
            SPLITS[split],
            "accuracy",
            curve,
            scale=100,
            line={"color": VALID, "width": 2.2, "dash": "dash"},
            hovertemplate=hover,
        ),
    ]
    shape = layout(epoch_axis(epochs), plain_axis("top-1, per cent"))
    return figure(lines, shape, "" if curve else WAITING)


def loss(curve: Sequence[Point], epochs: int, split: str) -> Figure:
    """Return the mean cross-entropy over the epochs, of the same images."""
    hover = "epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
    lines = [
        growing(
            "training images, augmented",
            "train_loss",
            curve,
            line={"color": TRAIN, "width": 1.8},
            hovertemplate=hover,
        ),
        growing(
            SPLITS[split],
            "loss",
            curve,
            line={"color": VALID, "width": 2.2, "dash": "dash"},
            hovertemplate=hover,
        ),
    ]
    shape = layout(epoch_axis(epochs), plain_axis("cross-entropy", rangemode="tozero"))
    return figure(lines, shape, "" if curve else WAITING)
