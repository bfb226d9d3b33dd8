"""The launch preview's chart: a plan as the coordinates of a small drawing.

Drawn by the server as SVG (``launch/_plan_chart.html``), because it changes at every
keystroke and needs neither zoom nor a script.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from searchjobs.engine.events import Plan

WIDTH, HEIGHT = 460, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 40
_MOST_STEPS = 400


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One step line: ``series`` names its colour, ``area`` closes it to the axis."""

    label: str
    series: str
    points: str
    area: str


@dataclass(frozen=True)
class Chart:
    lines: tuple[Line, ...]
    baseline: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    sentence: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(plan: Plan) -> Chart:
    """Return remaining samples of T and V against epochs, as steps."""
    most = max(*plan.sizes.values(), 1)
    top = _ceiling(most)

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / max(plan.epochs, 1)

    def y(samples: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * samples / top

    T, V = plan.remaining["T"], plan.remaining["V"]
    drawn = [("T", "train", T), ("V", "valid", V)]
    if all(abs(t - v) <= most / 100 for t, v in zip(T, V, strict=True)):
        drawn = [("T and V", "train", T)]  # two lines would lie on each other
    lines = []
    for label, series, remaining in drawn:
        points = _steps(remaining)
        path = " ".join(f"{x(e):.1f},{y(n):.1f}" for e, n in points)
        area = f"{x(0):.1f},{y(0):.1f} {path} {x(points[-1][0]):.1f},{y(0):.1f}"
        lines.append(Line(label, series, path, area))
    step = _nice(plan.epochs / 5)
    epochs = range(0, plan.epochs + 1, max(1, round(step)))
    return Chart(
        lines=tuple(lines),
        baseline=y(most),
        x_ticks=tuple(Tick(round(x(epoch), 1), str(epoch)) for epoch in epochs),
        y_ticks=tuple(
            Tick(round(y(top * part / 4), 1), _short(top * part / 4))
            for part in range(5)
        ),
        sentence=(
            f"Remaining samples over {plan.epochs} epochs: T from {T[0]:,} to "
            f"{T[-1]:,}, V from {V[0]:,} to {V[-1]:,}."
        ),
    )


def _steps(remaining: list[int]) -> list[tuple[int, int]]:
    """Return corners (epoch, samples): level during an epoch, falling at its end."""
    corners = [(0, remaining[0])]
    stride = max(1, math.ceil(len(remaining) / _MOST_STEPS))
    for epoch in range(stride, len(remaining), stride):
        samples = remaining[epoch]
        if samples != corners[-1][1]:
            corners += [(epoch, corners[-1][1]), (epoch, samples)]
    last = len(remaining) - 1
    if corners[-1][0] != last:
        corners.append((last, corners[-1][1]))
    return corners


def _nice(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50 ... at or above a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= value - 1e-9)


def _ceiling(most: int) -> float:
    """Return the top of the axis: four even divisions, a little above the most."""
    return 4 * _nice_quarter(most / 4)


def _nice_quarter(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(value, 0.25)))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return next(power * m for m in steps if power * m > value * 1.02)


def _short(samples: float) -> str:
    if samples >= 1000:
        return f"{samples / 1000:g}k"
    return f"{samples:g}"
