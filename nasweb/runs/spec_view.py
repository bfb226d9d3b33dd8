"""A spec as a flat table of settings, for the spec tab and the diff of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def flatten(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return dotted path -> value in words, in the order of the spec."""
    found: dict[str, str] = {}
    for name, value in spec.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found |= flatten(value, f"{path}.")
        elif _is_list_of_parts(value):
            for number, part in enumerate(value):
                found |= flatten(part, f"{path}.{number}.")
        else:
            found[path] = in_words(value)
    return found


def _is_list_of_parts(value: Any) -> bool:
    """Say whether a setting holds parts with settings of their own: stopping rules."""
    is_list = isinstance(value, list | tuple) and bool(value)
    return is_list and all(isinstance(part, Mapping) for part in value)


def in_words(value: Any) -> str:
    """Write a setting's value as the form shows it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(in_words(each) for each in value) or "none"
    return str(value)


def sections(spec: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (section, settings) pairs; what stands at the top is in the first."""
    top: list[tuple[str, str]] = []
    found = []
    for name, value in spec.items():
        if isinstance(value, Mapping):
            found.append((name, list(flatten(value).items())))
        elif _is_list_of_parts(value):
            for number, part in enumerate(value):
                found.append((f"{name}.{number}", list(flatten(part).items())))
        else:
            top.append((name, in_words(value)))
    return [("run", top), *found] if top else found


def differences(specs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the settings that differ: path, and the value in each spec.

    Stopping rules are paired by their name, wherever they stand in their lists.
    """
    flat = [flatten(spec) for spec in _paired(specs)]
    paths = dict.fromkeys(path for each in flat for path in each)
    rows = [(path, [each.get(path, "–") for each in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _paired(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the specs with each list of parts as a mapping, in which parts that are
    to be compared have the same key."""
    paired = [dict(spec) for spec in specs]
    lists = dict.fromkeys(
        name for spec in specs for name in spec if _is_list_of_parts(spec[name])
    )
    for name in lists:
        slots: dict[str, list[Mapping[str, Any]]] = {}
        for spec in paired:
            spec[name] = _in_slots(spec.get(name) or [], slots)
    return paired


def _in_slots(
    parts: Sequence[Mapping[str, Any]], slots: dict[str, list[Mapping[str, Any]]]
) -> dict[str, Mapping[str, Any]]:
    """Return the parts of one list by their slots, and add to ``slots`` what has none.

    Per part's name, ``slots`` holds those of the lists before.  Of several of one name
    those go together first that are the same, then those that are left, in order.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in dict.fromkeys(str(part.get("name", "")) for part in parts):
        own = [part for part in parts if str(part.get("name", "")) == name]
        known = slots.setdefault(name, [])
        free = list(range(len(known)))
        places: dict[int, Mapping[str, Any]] = {}
        left = []
        for part in own:
            same = next((place for place in free if known[place] == part), None)
            if same is None:
                left.append(part)
            else:
                free.remove(same)
                places[same] = part
        for part in left:
            if free:
                places[free.pop(0)] = part
            else:
                known.append(part)
                places[len(known) - 1] = part
        for place, part in sorted(places.items()):
            found[name if place == 0 else f"{name} {place + 1}"] = part
    return found
