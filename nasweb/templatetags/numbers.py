"""Numbers for people: durations, shares, accuracies, counts of operations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone

from nasweb.figures.devices import hours_words
from nasweb.figures.theme import operation_style
from nasweb.runs import words
from searchjobs import benchmark
from searchjobs.models import Architecture

register = template.Library()
#: Columns of the papers' tables that hold accuracies: ``CIFAR-10 test``.
_ACCURACY = re.compile(r"\b(valid|test)\b")
register.filter("duration", words.duration)
register.filter("hours", hours_words)


@register.filter
def ago(moment: datetime | None) -> str:
    """Write how long ago a moment was."""
    if moment is None:
        return "never"
    seconds = max(round((timezone.now() - moment).total_seconds()), 0)
    if seconds >= 90:
        seconds = round(seconds / 60) * 60  # nobody asks for the seconds of an hour
    return f"{words.duration(seconds)} ago"


@register.filter
def since(moment: datetime | None) -> str:
    """Write the age of a heartbeat: as ``ago``, without the word."""
    return ago(moment).removesuffix(" ago")


@register.filter
def printed(reference: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return a preset's printed values with their units: accuracies are per cent, the
    names of the others (``search hours``) and their values tell it themselves."""
    return [
        (name, f"{value} %" if _ACCURACY.search(name) else value)
        for name, value in reference.items()
    ]


@register.filter("bytes")
def bytes_(count: float | None) -> str:
    """Write a number of bytes: ``812 GB``, by powers of ten as disks are sold."""
    if count is None:
        return "–"
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= limit:
            number = count / limit
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


@register.filter
def percent(share: float | None, digits: int = 0) -> str:
    """Write a share of 0 to 1 as a percentage with a thin space."""
    if share is None:
        return "–"
    return f"{100 * share:.{digits}f} %"


@register.filter
def accuracy(value: float | None) -> str:
    """Write an accuracy that is already in per cent."""
    return "–" if value in (None, "") else f"{value:.2f}"  # "": of what is not there


@register.filter
def times(share: float | None) -> str:
    """Write a ratio: 0.58."""
    return "–" if share is None else f"{share:.2f}"


@register.filter
def thousandths(share: float | None) -> int:
    """A share as the value of a progress bar of 1,000 parts."""
    return round(1000 * (share or 0.0))


@register.inclusion_tag("_genotype.html")
def genotype(architecture: Architecture | None) -> dict[str, Any]:
    """An architecture as counts of its operations, most frequent first."""
    if architecture is None:
        return {"operations": []}
    space = benchmark.space_named(architecture.space)
    counts = Counter(
        operation
        for row in space.decode(architecture.encoding).values()
        for operation in row
    )
    return {
        "encoding": architecture.encoding,
        "operations": [
            {"name": name, "label": operation_style(name).label, "count": count}
            for name, count in counts.most_common()
        ],
    }
