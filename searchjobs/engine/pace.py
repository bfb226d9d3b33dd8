"""How long a phase still takes, for progress that does not say so itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .events import Progress

T = TypeVar("T")


def timed(items: Iterable[T]) -> Iterator[T]:
    """Yield items; a ``Progress`` without ``seconds_left`` is given what its phase
    still takes by the pace of its steps so far.

    The first of a phase, or of a phase that begins anew, has no pace yet.
    """
    before: Progress | None = None
    begun, first = 0.0, 0
    for item in items:
        if not isinstance(item, Progress):
            yield item
            continue
        now = time.perf_counter()
        goes_on = before and before.phase == item.phase and before.step <= item.step
        before = item
        if not goes_on:
            begun, first = now, item.step
        if item.seconds_left is None and item.step > first:
            each = (now - begun) / (item.step - first)
            left = each * (item.steps - item.step)
            yield item.model_copy(update={"seconds_left": left})
        else:
            yield item
