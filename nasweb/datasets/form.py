"""The form by which a data set is registered: made from the options of its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nasweb import spec_form
from nasweb.spec_fields import Field, Option, part_fields
from searchjobs.engine.data.source import Source, sources
from searchjobs.engine.problems import Problem

#: What comes by upload has a form of its own.
UPLOADED = "uploaded"
#: The source that the form opens with.
FIRST = "folder"
SOURCE = "dataset.name"
ABOUT = ("name", "licence")


@dataclass(frozen=True)
class Form:
    """What ``datasets/new.html`` draws; ``problems`` belong to no field."""

    about: tuple[Field, ...]
    source: Field
    fields: tuple[Field, ...]
    problems: tuple[str, ...]


def offered() -> list[type[Source]]:
    """Return the sources that can be registered."""
    return [source for source in sources.all() if source.name != UPLOADED]


def chosen(given: Mapping[str, str]) -> type[Source]:
    """Return the source that a browser names, the first one if it names none."""
    name = given.get(SOURCE, FIRST)
    found = next((source for source in offered() if source.name == name), None)
    return found or sources.get(FIRST)


def section(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the section ``dataset`` of a spec that a browser sent."""
    source = chosen(given)
    found: dict[str, Any] = {"name": source.name}
    for name, info in source.Options.model_fields.items():
        text = given.get(f"dataset.{name}")
        if name != "name" and text is not None:
            found[name] = spec_form.from_text(info, text.strip())
    return found


def form(given: Mapping[str, str], problems: Iterable[Problem] = ()) -> Form:
    """Return the fields for what a browser sent, with each problem at its field."""
    problems = list(problems)
    source = chosen(given)
    own = [problem for problem in problems if problem.field not in ABOUT]
    # the choice itself is no option, and its problem stands above all
    fields, unplaced = part_fields("dataset", source.Options, dict(given), own)
    return Form(
        about=about(given, problems),
        source=Field(
            name=SOURCE,
            label="Source",
            kind="select",
            value=source.name,
            help=f"{source.summary} Source: {source.source}",
            options=tuple(
                Option(each.name, each.label, hint=each.summary) for each in offered()
            ),
        ),
        fields=fields,
        problems=unplaced,
    )


def about(
    given: Mapping[str, str], problems: Iterable[Problem] = ()
) -> tuple[Field, ...]:
    """Return the fields of name and licence."""
    problems = list(problems)

    def errors(name: str) -> tuple[str, ...]:
        return tuple(each.sentence for each in problems if each.field == name)

    return (
        Field(
            name="name",
            label="Name",
            kind="text",
            value=given.get("name", ""),
            help="what your team calls it",
            errors=errors("name"),
        ),
        Field(
            name="licence",
            label="Licence",
            kind="area",
            value=given.get("licence", ""),
            help="whose images they are, and on which terms they may be used",
            wide=True,
            errors=errors("licence"),
        ),
    )
