"""What parts of a spec are called, those of packages that are gone included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasweb.runs.spec_view import in_words
from searchjobs.engine.spec import PARTS, SearchSpec


def part_of(section: str, name: object) -> Any | None:
    """Return the registered part of a section of the spec; None if there is none."""
    return next((part for part in PARTS[section].all() if part.name == name), None)


def label_of(section: str, name: object) -> str:
    """Return what a part is called: rows outlive the package that brought it."""
    part = part_of(section, name)
    return part.label if part else f"{name} (not installed here)"


def settings_of(
    spec: Mapping[str, Any], sections: Sequence[str], model: Any = SearchSpec
) -> list[tuple[str, str]]:
    """Return the settings of some sections that say something, each with its label.

    ``model`` is the kind of spec, which knows the labels of what is no part's own.
    """
    return [
        (_title(section, name, spec[section], model), in_words(value))
        for section in sections
        for name, value in spec[section].items()
        if name != "name" and value not in (None, "", [], ())
    ]


def _title(section: str, name: str, given: Mapping[str, Any], model: Any) -> str:
    # parts call different things by one name: a path may be a file or a folder
    part = part_of(section, given.get("name")) if section in PARTS else None
    field = part.Options.model_fields.get(name) if part else None
    own = field.title if field else None
    title = own or model.title_of([section, name]) or name
    if section == "split" and "split" not in title.lower():
        return f"Split: {title[0].lower()}{title[1:]}"
    return str(title)
