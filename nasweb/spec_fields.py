"""The launch form's fields: what the templates draw, made from the spec's schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from nasweb import spec_form
from nasweb.spec_form import Values
from searchjobs.engine.methods import FAMILIES
from searchjobs.engine.problems import Problem
from searchjobs.engine.spec import PARTS, SearchSpec

Kind = Literal["text", "number", "select", "buttons", "check", "area"]

#: Choices that are drawn side by side; the others drop down.
BUTTONS = frozenset({"space", "selection"})


@dataclass(frozen=True)
class Option:
    """One of the values of a choice; ``group`` heads those that stand together."""

    value: str
    label: str
    group: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Field:
    """One field as ``launch/_field.html`` draws it.

    Attributes:
        name: the dotted path.
        help: what it does, in words.
        decisive: a change draws the form anew.
        default: what it is if left alone; ``changed``: it is something else.
        errors: sentences that say what is wrong and what to do.
    """

    name: str
    label: str
    kind: Kind
    value: str
    help: str = ""
    unit: str = ""
    options: tuple[Option, ...] = ()
    decisive: bool = False
    default: str = ""
    changed: bool = False
    placeholder: str = ""
    wide: bool = False
    errors: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return "f-" + self.name.replace(".", "-")

    @property
    def long_unit(self) -> bool:
        """Too long to stand inside the input."""
        return len(self.unit) > 8


@dataclass(frozen=True)
class Section:
    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Form:
    """The fields of a spec in the three groups of the page.

    ``advanced`` holds what is folded away; ``problems`` what belongs to no field.
    """

    what: tuple[Field, ...]
    samples: tuple[Field, ...]
    how: tuple[Field, ...]
    advanced: tuple[Section, ...]
    shown: dict[str, str]
    problems: tuple[str, ...] = field(default=())

    @property
    def advanced_count(self) -> int:
        return sum(len(section.fields) for section in self.advanced)

    @property
    def advanced_changed(self) -> int:
        return sum(each.changed for section in self.advanced for each in section.fields)

    @property
    def advanced_wrong(self) -> bool:
        return any(each.errors for section in self.advanced for each in section.fields)


def form(values: Values, problems: Iterable[Problem] = ()) -> Form:
    """Return the fields for the present values, with each problem at its field."""
    definitions = dict(spec_form.settings(values))
    errors, unplaced = _place(problems, definitions)
    base = spec_form.defaults({path: values[path] for path in spec_form.DECISIVE})

    def options_of(section: str, *, advanced: bool) -> tuple[Field, ...]:
        return tuple(
            _setting(path, info, values, base, errors)
            for path, info in definitions.items()
            if path.startswith(f"{section}.") and _is_advanced(info) == advanced
        )

    def choice(section: str) -> Field:
        return _choice(section, values, errors)

    folded = {
        name: options_of(name, advanced=True)
        for name in (*spec_form.CHOICES, *spec_form.SECTIONS)
    }
    folded["derivation"] = (choice("derivation"), *folded["derivation"])
    what = [
        each
        for name in ("space", "dataset", "method")
        for each in (choice(name), *options_of(name, advanced=False))
    ]
    how = [
        each
        for name in (*spec_form.SECTIONS, "derivation")
        for each in options_of(name, advanced=False)
    ]
    return Form(
        what=tuple(what),
        samples=(choice("selection"), *options_of("selection", advanced=False)),
        how=tuple(how),
        advanced=tuple(
            Section(SearchSpec.model_fields[name].title or name, fields)
            for name, fields in folded.items()
            if fields
        ),
        shown={f"{spec_form.SHOWN}{path}": values[path] for path in spec_form.DECISIVE},
        problems=tuple(unplaced),
    )


def chosen_part(section: str, values: Values) -> Any:
    """Return the registered part that is chosen, None if there is none of the name."""
    try:
        return PARTS[section].get(values[f"{section}.name"])
    except KeyError:
        return None


def _choice(section: str, values: Values, errors: dict[str, list[str]]) -> Field:
    info = SearchSpec.model_fields[section]
    path = f"{section}.name"
    part = chosen_part(section, values)
    return Field(
        name=path,
        label=info.title or section,
        kind="buttons" if section in BUTTONS else "select",
        value=values[path],
        help=f"{part.summary} Source: {part.source}" if part else "",
        options=_parts(section),
        decisive=True,
        wide=section in BUTTONS,
        errors=tuple(errors.get(path, ())),
    )


def _parts(section: str) -> tuple[Option, ...]:
    """Return the parts to choose from; those of a family stand together, the families
    in our order, then the rest."""
    found = [
        Option(part.name, part.label, part.family, part.summary)
        for part in PARTS[section].all()
    ]
    if not any(each.group for each in found):
        return tuple(found)
    families = list(dict.fromkeys([*FAMILIES, *(each.group for each in found)]))
    found.sort(key=lambda each: (families.index(each.group), each.label))
    return tuple(found)


def _setting(
    path: str,
    info: FieldInfo,
    values: Values,
    base: Values,
    errors: dict[str, list[str]],
) -> Field:
    kind, options = _kind(info)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = str(extra.get("unit") or "")
    return Field(
        name=path,
        label=info.title or path.partition(".")[2].replace("_", " "),
        kind=kind,
        value=values[path],
        help=info.description or "",
        unit=unit if kind in {"text", "number"} else "",
        options=options,
        decisive=path in spec_form.DECISIVE,
        default=base.get(path, ""),
        changed=_read(info, values[path]) != _read(info, base.get(path, "")),
        placeholder="any" if NoneType in get_args(info.annotation) else "",
        errors=tuple(errors.get(path, ())),
    )


def _kind(info: FieldInfo) -> tuple[Kind, tuple[Option, ...]]:
    kinds = [each for each in get_args(info.annotation) if each is not NoneType]
    optional = NoneType in get_args(info.annotation)
    kind = kinds[0] if optional and len(kinds) == 1 else info.annotation
    if kind is bool:
        return "check", ()
    if get_origin(kind) is Literal:
        values = [Option(str(each), str(each)) for each in get_args(kind)]
        blank = [Option("", "as it comes")] if optional else []
        return "select", tuple(blank + values)
    return ("number" if kind in {int, float} else "text"), ()


def _read(info: FieldInfo, text: str) -> Any:
    return spec_form.from_text(info, text)


def _is_advanced(info: FieldInfo) -> bool:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return bool(extra.get("advanced", True))


def _place(
    problems: Iterable[Problem], definitions: dict[str, FieldInfo]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return sentences by field, and those that belong to no field of the form.

    A problem of a list's element goes to the list, one of a whole part to its
    choice.
    """
    placed: dict[str, list[str]] = {}
    unplaced: list[str] = []
    for problem in problems:
        path = ".".join(problem.field.split(".")[:2])
        if path in spec_form.CHOICES:
            path = f"{path}.name"
        if path in definitions or path in spec_form.DECISIVE:
            placed.setdefault(path, []).append(problem.sentence)
        else:
            unplaced.append(problem.sentence)
    return placed, unplaced
