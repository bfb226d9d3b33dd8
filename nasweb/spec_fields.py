"""The launch form's fields: what the templates draw, made from the spec's schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nasweb import spec_form
from nasweb.figures.theme import operation_style
from nasweb.spec_form import Values
from searchjobs.engine.methods import FAMILIES
from searchjobs.engine.problems import Problem
from searchjobs.engine.spec import PARTS, SearchSpec
from searchjobs.engine.subset_spec import reductions

Kind = Literal["text", "number", "select", "buttons", "check", "area"]

#: Choices that are drawn side by side; the others drop down.
BUTTONS = frozenset({"space"})
#: The stopping rule that does nothing; a search without rules needs none.
NO_RULE = "none"


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
class Rule:
    """One stopping rule: what it is, its settings, and what is wrong with it."""

    number: int
    name: str
    label: str
    help: str
    fields: tuple[Field, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """The fields of a spec in the three groups of the page.

    ``rules`` are the stopping rules, ``another`` adds one; ``advanced`` holds what is
    folded away; ``problems`` what belongs to no field.
    What the chosen method does not read is left out: ``samples`` may be empty, and
    ``another`` is None where no rule can be added.
    """

    what: tuple[Field, ...]
    samples: tuple[Field, ...]
    how: tuple[Field, ...]
    rules: tuple[Rule, ...]
    another: Field | None
    advanced: tuple[Section, ...]
    shown: dict[str, str]
    problems: tuple[str, ...] = field(default=())

    @property
    def can_be_chosen_once(self) -> bool:
        """Whether a job of its own could choose the samples, for many searches."""
        chosen = self.samples[0].value if self.samples else ""
        return chosen in {part.name for part in reductions()}

    @property
    def advanced_count(self) -> int:
        return sum(len(section.fields) for section in self.advanced)

    @property
    def advanced_titles(self) -> str:
        """What is folded away, in words."""
        titles = [section.title for section in self.advanced]
        return ", ".join([*titles[:1], *(t[:1].lower() + t[1:] for t in titles[1:])])

    @property
    def advanced_changed(self) -> int:
        return sum(each.changed for section in self.advanced for each in section.fields)

    @property
    def advanced_wrong(self) -> bool:
        return any(each.errors for section in self.advanced for each in section.fields)


def form(
    values: Values,
    problems: Iterable[Problem] = (),
    subsets: tuple[Option, ...] = (),
) -> Form:
    """Return the fields for the present values, with each problem at its field.

    ``subsets`` are those that a search may name by their ids.
    """
    definitions = dict(spec_form.settings(values))
    rules = spec_form.rule_names(values)
    errors, unplaced = _place(problems, definitions, len(rules))
    base = spec_form.defaults({path: values[path] for path in spec_form.DECISIVE})
    unread = spec_form.ignored(values)
    for number, rule in enumerate(rules):
        base |= spec_form.rule_defaults(number, rule)

    def options_of(section: str, *, advanced: bool) -> tuple[Field, ...]:
        return tuple(
            _setting(path, info, values, base, errors, subsets)
            for path, info in definitions.items()
            if path.startswith(f"{section}.")
            and spec_form.is_read(path, unread)
            and _is_advanced(info) == advanced
        )

    def choice(section: str) -> tuple[Field, ...]:
        return () if section in unread else (_choice(section, values, errors),)

    folded = {
        name: options_of(name, advanced=True)
        for name in (*spec_form.CHOICES, *spec_form.SECTIONS)
    }
    folded["derivation"] = (*choice("derivation"), *folded["derivation"])
    what = [
        each
        for name in ("space", "dataset", "method")
        for each in (*choice(name), *options_of(name, advanced=False))
    ]
    how = [
        each
        for name in (*spec_form.SECTIONS, "derivation")
        for each in options_of(name, advanced=False)
    ]
    return Form(
        what=tuple(what),
        samples=(*choice("selection"), *options_of("selection", advanced=False)),
        how=tuple(how),
        rules=tuple(
            _rule(number, name, definitions, values, base, errors)
            for number, name in enumerate(rules)
        ),
        another=None if spec_form.RULES in unread else _another(),
        advanced=tuple(
            Section(SearchSpec.model_fields[name].title or name, fields)
            for name, fields in folded.items()
            if fields
        ),
        shown={
            f"{spec_form.SHOWN}{path}": values[path]
            for path in spec_form.DECISIVE
            if path.partition(".")[0] not in unread
        },
        problems=tuple(unplaced),
    )


def chosen_part(section: str, values: Values) -> Any:
    """Return the registered part that is chosen, None if there is none of the name."""
    try:
        return PARTS[section].get(values[f"{section}.name"])
    except KeyError:
        return None


def part_fields(
    section: str,
    options: type[BaseModel],
    values: Values,
    problems: Iterable[Problem] = (),
) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """Return the fields of one part alone, for a form that has no others, what matters
    most in front; and the sentences that belong to none of them."""
    own = list(options.model_fields.items())
    own.sort(key=lambda each: _is_advanced(each[1]))
    definitions = {f"{section}.{name}": info for name, info in own if name != "name"}
    base = {
        path: spec_form.as_text(info.get_default(call_default_factory=True))
        for path, info in definitions.items()
    }
    errors, unplaced = _place(problems, definitions, 0)
    fields = tuple(
        _setting(path, info, {**base, **values}, base, errors)
        for path, info in definitions.items()
    )
    return fields, (*errors.get(f"{section}.name", ()), *unplaced)


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


def _rule(
    number: int,
    name: str,
    definitions: dict[str, FieldInfo],
    values: Values,
    base: Values,
    errors: dict[str, list[str]],
) -> Rule:
    prefix = f"{spec_form.RULES}.{number}."
    part = next((p for p in PARTS[spec_form.RULES].all() if p.name == name), None)
    return Rule(
        number,
        name,
        label=part.label if part else name,
        help=f"{part.summary} Source: {part.source}" if part else "",
        fields=tuple(
            _setting(path, info, values, base, errors)
            for path, info in definitions.items()
            if path.startswith(prefix)
        ),
        errors=tuple(errors.get(f"{prefix}name", ())),
    )


def _another() -> Field:
    """The field that adds a rule; the part that does nothing is not offered."""
    rules = [part for part in PARTS[spec_form.RULES].all() if part.name != NO_RULE]
    return Field(
        name=spec_form.ADD,
        label="Add a rule",
        kind="select",
        value="",
        help="Any number of rules may look at one run, also several of one kind. The "
        "first that acts ends the search; those that only watch mark their epoch and "
        "keep its architecture.",
        options=(
            Option("", "choose a rule …"),
            *(Option(part.name, part.label, hint=part.summary) for part in rules),
        ),
        decisive=True,
        wide=True,
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


def plain_field(
    path: str, info: FieldInfo, value: str, default: str, errors: tuple[str, ...] = ()
) -> Field:
    """Return the field of a setting outside of the launch form."""
    return _setting(path, info, {path: value}, {path: default}, {path: [*errors]})


def _setting(
    path: str,
    info: FieldInfo,
    values: Values,
    base: Values,
    errors: dict[str, list[str]],
    subsets: tuple[Option, ...] = (),
) -> Field:
    kind, options = _kind(info)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if extra.get("names") == "operations":
        kind, options = "select", _operations(values, values[path])
    elif extra.get("names") == "subsets":
        kind, options = "select", _subsets(subsets, values[path])
    unit = str(extra.get("unit") or "")
    return Field(
        name=path,
        label=info.title or path.rpartition(".")[2].replace("_", " "),
        kind=kind,
        value=values[path],
        help=info.description or "",
        unit=unit if kind in {"text", "number"} else "",
        options=options,
        decisive=path in spec_form.DECISIVE,
        default=base.get(path, ""),
        changed=_read(info, values[path]) != _read(info, base.get(path, "")),
        placeholder="left open" if NoneType in get_args(info.annotation) else "",
        errors=tuple(errors.get(path, ())),
    )


def _operations(values: Values, present: str) -> tuple[Option, ...]:
    """Return the operations of the chosen space, and a value that is none of them."""
    part = chosen_part("space", values)
    names = part(part.Options()).operations if part else ()
    return tuple(
        Option(name, operation_style(name).label)
        for name in dict.fromkeys([*names, present])
    )


def _subsets(known: tuple[Option, ...], present: str) -> tuple[Option, ...]:
    """Return the subsets to choose from, and a value that is none of them: a path."""
    options = [Option("", "choose a subset …"), *known]
    if present not in {option.value for option in options}:
        options.append(Option(present, present))
    return tuple(options)


def _kind(info: FieldInfo) -> tuple[Kind, tuple[Option, ...]]:
    kinds = [each for each in get_args(info.annotation) if each is not NoneType]
    optional = NoneType in get_args(info.annotation)
    kind = kinds[0] if optional and len(kinds) == 1 else info.annotation
    if kind is bool:
        return "check", ()
    if get_origin(kind) is Literal:
        values = [Option(str(each), _label(info, str(each))) for each in get_args(kind)]
        blank = [Option("", "as it comes")] if optional else []
        return "select", tuple(blank + values)
    return ("number" if kind in {int, float} else "text"), ()


def _label(info: FieldInfo, value: str) -> str:
    """Return how the form writes a value: by its label, else as words."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    labels = extra.get("labels")
    known = labels.get(value) if isinstance(labels, dict) else None
    return str(known or value.replace("-", " "))


def _read(info: FieldInfo, text: str) -> Any:
    return spec_form.from_text(info, text)


def _is_advanced(info: FieldInfo) -> bool:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return bool(extra.get("advanced", True))


def _place(
    problems: Iterable[Problem], definitions: dict[str, FieldInfo], rules: int
) -> tuple[dict[str, list[str]], list[str]]:
    """Return sentences by field, and those that belong to no field of the form."""
    names = {f"{spec_form.RULES}.{number}.name" for number in range(rules)}
    known = {*definitions, *spec_form.DECISIVE, *names}
    placed: dict[str, list[str]] = {}
    unplaced: list[str] = []
    for problem in problems:
        path = _field_of(problem.field, definitions)
        if path in known:
            placed.setdefault(path, []).append(problem.sentence)
        else:
            unplaced.append(problem.sentence)
    return placed, unplaced


def _field_of(path: str, definitions: dict[str, FieldInfo]) -> str:
    """Return the field that shows a problem: that of an element of a list the list's,
    that of a whole part its choice's, that of a whole stopping rule its name's."""
    steps = path.split(".")
    if steps[0] == spec_form.RULES and len(steps) > 1:
        inside = ".".join(steps[:3])
        return inside if inside in definitions else ".".join([*steps[:2], "name"])
    field_path = ".".join(steps[:2])
    return f"{field_path}.name" if field_path in spec_form.CHOICES else field_path
