"""A spec as a flat table of settings, for the spec tab and the diff of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from searchjobs.engine.spec import SearchSpec


def ordered(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored spec in the order of its definition, which the database does
    not keep; as it is if this version knows some setting no more."""
    try:
        return SearchSpec.model_validate(spec).model_dump(mode="json")
    except ValidationError:
        return dict(spec)


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
    """Return the settings that differ: path, and the value in each spec."""
    flat = [flatten(spec) for spec in specs]
    paths = dict.fromkeys(path for each in flat for path in each)
    rows = [(path, [each.get(path, "–") for each in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]
