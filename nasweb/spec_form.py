"""The launch form's values: from a spec, from a browser, and back to a spec.

Values travel as text under dotted names (``training.weight_lr``), the same paths
that ``Problem.field`` carries.  Which names there are follows from the choices (the
search space, the data set ...): each chosen part brings the options of its model.
How the fields are drawn stands in ``spec_fields``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from searchjobs.engine.spec import PARTS, SearchSpec
from searchjobs.engine.spec import defaults as spec_defaults

Values = dict[str, str]

#: Parts of a spec that are one choice among registered parts.
CHOICES = ("space", "dataset", "method", "selection", "derivation")
#: Parts of a spec that always have the same settings.
SECTIONS = ("split", "augmentation", "training", "diagnostics", "compute")
RECIPE = "training.recipe"
#: Choices that a method may bring with it.
BROUGHT = (RECIPE, "derivation.name")
#: What the other settings depend on: which there are, and their defaults.
DECISIVE = (*(f"{name}.name" for name in CHOICES), RECIPE)
#: Prefix of the hidden fields that tell which choices the reader was shown.
SHOWN = "shown."
#: The list of rules: ``stopping.0.name``, ``stopping.0.skips`` and so on.
RULES = "stopping"
#: Fields by which a reader asks for one more rule (its name) or one less (its number).
ADD, REMOVE = f"add.{RULES}", f"remove.{RULES}"
MOST_RULES = 20
_RULE_NAME = re.compile(rf"{RULES}\.(0|[1-9]\d?)\.name")


def from_spec(spec: SearchSpec) -> Values:
    """Return every value of the form for a whole spec."""
    content = spec.model_dump(mode="json")
    values = {f"{name}.name": str(content[name]["name"]) for name in CHOICES}
    for number, rule in enumerate(content[RULES]):
        values[f"{RULES}.{number}.name"] = rule["name"]
    for path, _ in settings(values):
        home, name = _home(content, path)
        values[path] = as_text(home[name])
    return values


def from_browser(given: Mapping[str, str]) -> Values:
    """Return the form's values from what a browser sent; what is missing is default.

    Where a choice differs from the one that the reader was shown, settings that
    still stood at the default of the old choice move to that of the new one; what
    the reader has typed stays.
    """
    chosen = {path: given[path] for path in DECISIVE if path in given}
    shown = {path: given[SHOWN + path] for path in DECISIVE if given.get(SHOWN + path)}
    moved = _came_with_the_method(chosen, shown)
    for path in moved:
        del chosen[path]  # the new method brings its own
    unread = ignored(chosen)
    chosen = {path: text for path, text in chosen.items() if is_read(path, unread)}
    values = defaults(chosen)
    before = defaults(shown) if shown else values
    for path, default in values.items():
        if path not in given or path in moved or not is_read(path, unread):
            continue
        text = given[path].strip()
        untouched = path not in DECISIVE and text == before.get(path)
        values[path] = default if untouched else text
    return values if RULES in unread else values | _rules_from(given)


def ignored(values: Mapping[str, str]) -> frozenset[str]:
    """Return the parts, sections and settings that the chosen method does not read:
    they stay at their defaults, and the form does not show them."""
    return frozenset(_part("method", values).ignores)


def is_read(path: str, unread: frozenset[str]) -> bool:
    """Say whether a setting is neither ignored itself nor in what is."""
    return unread.isdisjoint({path, path.partition(".")[0]})


def _rules_from(given: Mapping[str, str]) -> Values:
    """Return the rules that a browser sent, numbered anew, less the one that is to go
    and with the one that was added."""
    kept = [n for n in _numbers(given) if str(n) != given.get(REMOVE)]
    values: Values = {}
    for number, former in enumerate(kept[:MOST_RULES]):
        for path, default in rule_defaults(
            number, given[f"{RULES}.{former}.name"]
        ).items():
            name = path.rpartition(".")[2]
            values[path] = given.get(f"{RULES}.{former}.{name}", default).strip()
    if given.get(ADD) and len(kept) < MOST_RULES:
        values |= rule_defaults(len(kept), given[ADD])
    return values


def rule_defaults(number: int, name: str) -> Values:
    """Return the name and the settings of a rule that nobody has touched."""
    values = {f"{RULES}.{number}.name": name}
    for path, info in _rule_settings(number, name):
        values[path] = as_text(info.get_default())
    return values


def rule_names(values: Mapping[str, str]) -> list[str]:
    """Return the names of the rules in their order."""
    return [values[f"{RULES}.{number}.name"] for number in _numbers(values)]


def _numbers(values: Mapping[str, str]) -> list[int]:
    found = (_RULE_NAME.fullmatch(path) for path in values)
    return sorted(int(match[1]) for match in found if match)


def _rule_settings(number: int, name: str) -> list[tuple[str, FieldInfo]]:
    """Return a rule's settings; an unknown rule has none, and its sentence from
    validation."""
    try:
        options = PARTS[RULES].get(name).Options
    except KeyError:
        return []
    return [
        (f"{RULES}.{number}.{field}", info)
        for field, info in options.model_fields.items()
        if field != "name"
    ]


def choices_differ(given: Mapping[str, str]) -> bool:
    """Say whether the reader made a choice whose settings they have not seen."""
    return bool(given.get(ADD)) or any(
        given.get(path, "") != given[SHOWN + path]
        for path in DECISIVE
        if SHOWN + path in given
    )


def defaults(chosen: Mapping[str, str]) -> Values:
    """Return what the settings are if only the choices are made."""
    values = {}
    names = {
        part: chosen.get(f"{part}.name") or _default_choice(part)
        for part in ("space", "dataset", "method")
    }
    follows = spec_defaults(**names, recipe=chosen.get(RECIPE))
    for name in CHOICES:
        path, own = f"{name}.name", follows.get(name, {}).get("name")
        values[path] = chosen.get(path) or own or _default_choice(name)
    for path, info in settings(values):
        values[path] = as_text(info.get_default(call_default_factory=True))
    for section, settled in follows.items():
        for name, value in settled.items():
            if name != "name" and f"{section}.{name}" in values:
                values[f"{section}.{name}"] = as_text(value)
    if chosen.get(RECIPE):
        values[RECIPE] = chosen[RECIPE]
    return values


def _came_with_the_method(
    chosen: Mapping[str, str], shown: Mapping[str, str]
) -> list[str]:
    """Return the choices that were left as the former method had set them, if another
    method was chosen."""
    path = "method.name"
    if not shown or chosen.get(path) == shown.get(path):
        return []
    former = defaults({path: shown[path]} if path in shown else {})
    return [
        brought
        for brought in BROUGHT
        if chosen.get(brought) == shown.get(brought) == former[brought]
    ]


def to_data(values: Values) -> dict[str, Any]:
    """Return the mapping that ``searchjobs.engine.validation.validate`` judges."""
    data: dict[str, Any] = {name: {"name": values[f"{name}.name"]} for name in CHOICES}
    data |= {name: {} for name in SECTIONS}
    data[RULES] = [{"name": name} for name in rule_names(values)]
    for path, info in settings(values):
        home, name = _home(data, path)
        home[name] = from_text(info, values[path])
    return data


def _home(content: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return where a path leads to inside a spec: the part or section, and the name."""
    *parents, name = path.split(".")
    home: Any = content[parents[0]]
    return (home[int(parents[1])] if parents[0] == RULES else home), name


def settings(values: Mapping[str, str]) -> list[tuple[str, FieldInfo]]:
    """Return path and definition of every setting under the present choices."""
    models: dict[str, Any] = {
        **{name: _part(name, values).Options for name in CHOICES},
        **{name: SearchSpec.model_fields[name].annotation for name in SECTIONS},
    }
    found = [
        (f"{section}.{name}", info)
        for section, model in models.items()
        for name, info in model.model_fields.items()
        if not (section in CHOICES and name == "name")
    ]
    for number, rule in enumerate(rule_names(values)):
        found += _rule_settings(number, rule)
    return found


def as_text(value: Any) -> str:
    """Write a value as the form shows it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(as_text(part) for part in value)
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return str(value)


def from_text(info: FieldInfo, text: str) -> Any:
    """Return what validation shall see: lists are split, an empty field of a
    setting that may be left open is None, and a number is a number, so that a wrong
    one is told in the same words as on the command line."""
    options = get_args(info.annotation)
    if text == "" and NoneType in options:
        return None
    if is_list(info):
        return [part.strip() for part in text.split(",") if part.strip()]
    named = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    if text in {str(value) for value in named}:  # a choice may be among numbers
        return next(value for value in named if str(value) == text)
    if {int, float} & {info.annotation, *options}:
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
    return text


def is_list(info: FieldInfo) -> bool:
    """Say whether a setting holds several values."""
    candidates = (info.annotation, *get_args(info.annotation))
    return any(get_origin(each) in {list, tuple} for each in candidates)


def _part(name: str, values: Mapping[str, str]) -> Any:
    """The chosen part; an unknown name gets the default one's fields, and its
    sentence from validation."""
    try:
        return PARTS[name].get(values[f"{name}.name"])
    except KeyError:
        return PARTS[name].get(_default_choice(name))


def _default_choice(name: str) -> str:
    default = SearchSpec.model_fields[name].default
    return str(default["name"])
