"""Events and overlaps as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .events import Told
from .gallery import short
from .overlap import Common, Overlap

_ENDS = {"low": "lowest", "high": "highest"}


def event_rows(of: Told, chosen: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return a row an event of a set, the newest first."""
    first = of.events[0]["before"] if of.events else 0
    return [
        {
            **event,
            "added": event.get("added", 0),
            "share": event["after"] / first if first else 0.0,
            "current": chosen is not None and event["epoch"] == chosen["epoch"],
            "end": _end(event),
            "cut": "" if event.get("cut") is None else short(event["cut"]),
        }
        for event in reversed(of.events)
    ]


def headline(event: Mapping[str, Any] | None) -> str:
    """Say in one line what an event did."""
    if event is None:
        return ""
    when = f"epoch {event['epoch']}" if event["epoch"] else "before the first epoch"
    if event.get("reason") and not event["removed"]:
        return f"{when}: nothing was pruned. {event['reason']}"
    words = (
        f"{when}: {event['removed']:,} of {event['before']:,} pruned, {_end(event)}; "
        f"{event['requested']:,} were asked for"
    )
    if event.get("added"):
        words += f"; {event['added']:,} came in"
    return words


def _end(event: Mapping[str, Any]) -> str:
    """Say which samples an event took: those of an end of the scores, or any."""
    if event["criterion"] == "random":
        return "by chance"
    end = _ENDS.get(event["criterion"], event["criterion"])
    return f"{end} {event.get('score') or 'VoE'}"


def common_row(label: str, of: Common) -> dict[str, Any]:
    """Return a row of the table of overlaps."""
    return {
        "label": label,
        "first": of.first,
        "second": of.second,
        "common": of.common,
        "expected": of.expected,
        "deviation": of.deviation,
        "jaccard": of.jaccard,
        "jaccard_expected": of.jaccard_expected,
        "surprise": of.surprise,
        "times": of.common / of.expected if of.expected else None,
    }


def common_rows(found: Overlap, names: list[str]) -> list[dict[str, Any]]:
    """Return a row a class."""
    return [
        common_row(names[label] if label < len(names) else f"class {label}", each)
        for label, each in enumerate(found.classes)
    ]
