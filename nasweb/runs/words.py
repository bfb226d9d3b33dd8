"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def duration(seconds: float | None) -> str:
    """Write a time span with its two largest units: ``2 h 41 min``, ``12 s``."""
    if seconds is None:
        return "–"
    seconds = max(0.0, float(seconds))
    if seconds < 10 and seconds % 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return _two(whole // 60, "min", whole % 60, "s")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    hours = round(minutes / 60)
    return _two(hours // 24, "d", hours % 24, "h")


def phase_words(progress: Mapping[str, Any], *, by_epochs: bool) -> str:
    """Say where a phase stands and how long it goes on: ``K-means 3 of 10, 40 s left``;
    ``training the cell, epoch 3 of 10``, if its epochs are its own."""
    phase, steps = progress["phase"], progress.get("steps")
    if by_epochs and progress.get("epochs"):
        told = f"{phase}, epoch {progress['epoch']:,} of {progress['epochs']:,}"
    else:
        told = f"{phase} {progress['step']:,} of {steps:,}" if steps else str(phase)
    left = progress.get("seconds_left")
    return told if left is None else f"{told}, {duration(left)} left"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"


def per_cent(share: float | None, digits: int = 1) -> str:
    """Write a share of 0 to 1 in per cent."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def compact(number: float | None) -> str:
    """Write a large number with its unit: ``1.29 M``; nothing for None."""
    if number is None:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:g}"
