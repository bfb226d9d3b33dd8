"""Find the parts of a search by the name that the spec carries.

A part (space, method, selection, stopping rule, derivation, data source) is one
class in one file.  It registers itself by decorator; third-party packages add
theirs through an entry point in the registry's group, and from then on it stands
in the spec, the form, the command line and ``list`` like one of ours.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import reduce
from importlib.metadata import entry_points
from operator import or_
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


def setting(
    default: Any,
    title: str,
    help: str,
    *,
    unit: str = "",
    advanced: bool = True,
    names: str = "",
    labels: Mapping[str, str] | None = None,
    **limits: Any,
) -> Any:
    """A field with all that the form shows of it.

    ``names="operations"``: the value is one of the operations of the search space;
    ``names="subsets"``: it is the id of a subset, or the path of its file;
    ``names="files"``: it is the path of a file or a folder on the worker's machine.
    ``labels``: how pages write a value that is no plain word, such as a recipe's name.
    """
    return Field(
        default,
        title=title,
        description=help,
        json_schema_extra={
            "unit": unit,
            "advanced": advanced,
            "names": names,
            "labels": dict(labels or {}),
        },
        **limits,
    )


class Options(BaseModel):
    """The options of one part; ``name`` is the discriminator in the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part:
    """What every registered part says about itself.

    Attributes:
        name: the name in specs, files, pages and ``list``.
        label: the name for people, as the field writes it.
        summary: one sentence on what it does.
        source: the paper or book it comes from, with the equation or section.
        family: under which heading the form lists it, if its kind has many parts.
        Options: the pydantic model of its options, with a ``name`` literal.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    family: ClassVar[str] = ""
    Options: ClassVar[type[Options]]


P = TypeVar("P", bound=type[Part])


def paths_of(part: type[Part]) -> list[str]:
    """Return the options of a part by which a spec may name a file."""
    return [
        name
        for name, field in part.Options.model_fields.items()
        if isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("names") in {"files", "subsets"}
    ]


class Registry(Generic[P]):
    """The parts of one kind, by name."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self.group = f"nasweb.{kind}"
        self._parts: dict[str, P] = {}
        self._discovered = False
        self._discovering = False

    def register(self, part: P) -> P:
        """Add a part; a second part of the same name is an error."""
        known = self._parts.get(part.name)
        if known is not None and known is not part:
            raise ValueError(
                f"two {self.kind} are named {part.name!r}: {known.__module__} and "
                f"{part.__module__}; rename one of them"
            )
        self._parts[part.name] = part
        return part

    def discover(self) -> None:
        """Import every module of the package and every entry point, once.

        Raises RuntimeError if a part asks for the parts while it is imported: it would
        see only those before it, and so would whatever it builds.
        """
        if self._discovered:
            return
        if self._discovering:
            raise RuntimeError(
                f"one of the {self.kind} asks for all {self.kind} while it is being "
                "imported, as by an import of the spec; import it where it is used"
            )
        self._discovering = True
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{self.package}.{module.name}")
            for entry in entry_points(group=self.group):
                self.register(entry.load())
            # not before: pydantic swallows an error in an annotation, and the next
            # call must raise it again, or parts would be missing without a word
            self._discovered = True
        finally:
            self._discovering = False

    def get(self, name: str) -> P:
        """Return the part of that name, or say which names there are."""
        self.discover()
        if name not in self._parts:
            raise KeyError(
                f"there is no {self.kind} named {name!r}; "
                f"choose one of {', '.join(self._parts)}"
            )
        return self._parts[name]

    def all(self) -> list[P]:
        self.discover()
        return list(self._parts.values())

    def options_type(self) -> Any:
        """Return the discriminated union of all options, for a spec field."""
        union = reduce(or_, [part.Options for part in self.all()])
        if len(self.all()) == 1:
            return union
        return Annotated[union, Field(discriminator="name")]

    def describe(self) -> list[dict[str, Any]]:
        """Return name, label, family, summary, source and options of each part."""
        return [
            {
                "name": part.name,
                "label": part.label,
                "family": part.family,
                "summary": part.summary,
                "source": part.source,
                "options": {
                    name: {
                        "title": schema.get("title", ""),
                        "default": schema.get("default"),
                        "description": schema.get("description", ""),
                    }
                    for name, schema in part.Options.model_json_schema()
                    .get("properties", {})
                    .items()
                    if name != "name"
                },
            }
            for part in self.all()
        ]
