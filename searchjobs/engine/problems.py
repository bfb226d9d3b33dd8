"""Say what is wrong with a spec in sentences, the same in form, API and shell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from .events import FaultKind


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        field: dotted path in the spec (``selection.window``), empty for the whole.
        sentence: what is wrong and what to do.
    """

    field: str
    sentence: str


class SpecError(ValueError):
    """A spec that cannot be run, with every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(
            "\n".join(
                f"{problem.field}: {problem.sentence}"
                if problem.field
                else problem.sentence
                for problem in self.problems
            )
        )


class MisfitError(ValueError):
    """Settings of one section or part that are sound alone and not together.

    The fields of its problems are those of the section.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(problem.sentence for problem in self.problems))


def refuse(problems: Iterable[Problem]) -> None:
    """Raise what is wrong, if anything is: for the model validators of sections and
    parts, whose ``ValueError`` would stand at the whole section and at no field."""
    found = tuple(problems)
    if found:
        raise MisfitError(found)


def sentences(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's findings into sentences that name field, value and remedy."""
    return [
        problem for found in error.errors() for problem in _found(dict(found), model)
    ]


def _found(found: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    """Give what one finding says: a misfit says several things."""
    whole = _problem(found, model)
    raised = found.get("ctx", {}).get("error")
    if not isinstance(raised, MisfitError):
        yield whole
        return
    for problem in raised.problems:
        places = filter(None, (whole.field, problem.field))
        yield replace(problem, field=".".join(places))


def _problem(found: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    path = [part for part in found["loc"] if isinstance(part, (str, int))]
    path = _without_union_tags(path, model)
    label = _label(path, model)
    context = found.get("ctx", {})
    given = found.get("input")
    kind = found["type"]
    shown = repr(given) if isinstance(given, str) else f"{given}"
    if len(shown) > 60:
        shown = shown[:57] + "..."
    bounds = {
        "greater_than": ("gt", "must be greater than"),
        "greater_than_equal": ("ge", "must be at least"),
        "less_than": ("lt", "must be less than"),
        "less_than_equal": ("le", "must be at most"),
    }
    if kind in bounds:
        key, words = bounds[kind]
        sentence = f"{label} {words} {_number(context[key])}; you gave {shown}."
    elif kind == "missing":
        sentence = f"{label} is missing; give a value."
    elif kind == "extra_forbidden":
        sentence = f"{label} is not a setting here; remove it or check its spelling."
    elif kind in {"int_parsing", "int_type", "int_from_float"}:
        sentence = f"{label} must be a whole number; you gave {shown}."
    elif kind in {"float_parsing", "float_type", "finite_number"}:
        sentence = f"{label} must be a number; you gave {shown}."
    elif kind in {"bool_parsing", "bool_type"}:
        sentence = f"{label} must be yes or no (true or false); you gave {shown}."
    elif kind in {"literal_error", "enum"}:
        sentence = f"{label} must be {context['expected']}; you gave {shown}."
    elif kind == "union_tag_invalid":
        sentence = (
            f"{label} has no choice named {context['tag']!r}; "
            f"choose one of {context['expected_tags']}."
        )
    elif kind == "union_tag_not_found":
        sentence = f"{label} needs a name; say which one you want."
    elif kind == "value_error":
        sentence = str(context.get("error", found["msg"]))
    else:
        sentence = f"{label}: {found['msg'][0].lower()}{found['msg'][1:]}."
    return Problem(".".join(str(part) for part in path), sentence)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _without_union_tags(
    path: list[str | int], model: type[BaseModel]
) -> list[str | int]:
    """Drop the discriminator that pydantic puts between a union and its field."""
    if not path or not hasattr(model, "union_tags"):
        return path
    tag_at = 2 if len(path) > 1 and isinstance(path[1], int) else 1
    tags = model.union_tags(str(path[0]))
    return [p for at, p in enumerate(path) if not (at == tag_at and p in tags)]


def _label(path: list[str | int], model: type[BaseModel]) -> str:
    title = model.title_of(path) if hasattr(model, "title_of") else None
    text = title or " ".join(str(part).replace("_", " ") for part in path) or "The spec"
    return text[0].upper() + text[1:]


class SearchError(RuntimeError):
    """The search cannot go on; the message says why and what to do."""

    def __init__(self, sentence: str, kind: FaultKind) -> None:
        self.kind = kind
        super().__init__(sentence)
