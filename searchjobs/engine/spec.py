"""SearchSpec: the single definition of a run.

It makes the form, the API, the command line, the clone and the diff.  The options
of each part come from the part itself (see ``registry``), so a new method, data
source or selection is in the spec as soon as its file exists.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import yaml
from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from .contracts import derivations, methods, selections, spaces, stopping_rules
from .data.source import sources
from .problems import SpecError
from .registry import Registry, setting
from .sections import (
    RECIPES,
    Augmentation,
    Compute,
    Diagnostics,
    Section,
    Split,
    Training,
)
from .seeds import parse_seeds

Group = Literal["what", "samples", "how"]


#: Fields of the spec that name a part, and where the part is found.
PARTS: dict[str, Registry[Any]] = {
    "space": spaces,
    "dataset": sources,
    "method": methods,
    "selection": selections,
    "stopping": stopping_rules,
    "derivation": derivations,
}


class SearchSpec(Section):
    """Everything that determines a run, bit for bit, apart from the machine."""

    space: spaces.options_type() = setting(  # type: ignore[valid-type]
        {"name": "nas-bench-201"},
        "Search space",
        "The set of architectures.",
        advanced=False,
        validate_default=True,
    )
    dataset: sources.options_type() = setting(  # type: ignore[valid-type]
        {"name": "digits"},
        "Data set",
        "The images that are searched on.",
        advanced=False,
        validate_default=True,
    )
    method: methods.options_type() = setting(  # type: ignore[valid-type]
        {"name": "darts"},
        "Method",
        "How weights and alpha are updated.",
        advanced=False,
        validate_default=True,
    )
    selection: selections.options_type() = setting(  # type: ignore[valid-type]
        {"name": "full"},
        "Samples",
        "Which samples feed the search.",
        advanced=False,
        validate_default=True,
    )
    stopping: list[stopping_rules.options_type()] = setting(  # type: ignore[valid-type]
        [], "Stopping rules", "Several rules may watch one run."
    )
    derivation: derivations.options_type() = setting(  # type: ignore[valid-type]
        {"name": "argmax"},
        "Derivation",
        "How the architecture is read off.",
        validate_default=True,
    )
    split: Split = Field(default_factory=Split, title="Split of the images")
    augmentation: Augmentation = Field(
        default_factory=Augmentation, title="Augmentation"
    )
    training: Training = Field(default_factory=Training, title="Training")
    diagnostics: Diagnostics = Field(default_factory=Diagnostics, title="Diagnostics")
    compute: Compute = Field(default_factory=Compute, title="Compute")
    seed: int = setting(
        1, "Seed", "Of every random stream of the run.", advanced=False, ge=0, lt=2**32
    )

    @model_validator(mode="before")
    @classmethod
    def _recipe_defaults(cls, data: Any) -> Any:
        """Fill what the user left open from the recipe and from the data set."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        training = filled.get("training") or {}
        if isinstance(training, dict):
            recipe = RECIPES.get(training.get("recipe", "adl"), {})
            for section, values in recipe.items():
                given = filled.get(section) or {}
                if isinstance(given, dict):
                    given = {**values, **given}
                    if section == "space":
                        given.setdefault("name", "nas-bench-201")
                    filled[section] = given
        dataset = filled.get("dataset") or {}
        if isinstance(dataset, dict):
            source = _source_named(dataset.get("name", "digits"))
            given = filled.get("augmentation") or {}
            if source is not None and isinstance(given, dict):
                filled["augmentation"] = {**source.augmentation, **given}
        return filled

    @field_validator("seed", mode="before")
    @classmethod
    def _one_seed(cls, given: Any) -> Any:
        """Read a seed given as text as the form reads its list of them."""
        if not isinstance(given, str):
            return given
        try:
            seeds = parse_seeds(given)
        except SpecError as error:
            raise ValueError(error.problems[0].sentence) from None
        if len(seeds) > 1:
            raise ValueError(
                f"A spec has one seed; {given!r} are {len(seeds)}. Launch them as the "
                "seeds of an experiment."
            )
        return seeds[0]

    @classmethod
    def union_tags(cls, field: str) -> tuple[str, ...]:
        """Return the names to choose from, for a field that is a choice of parts."""
        registry = PARTS.get(field)
        return tuple(part.name for part in registry.all()) if registry else ()

    @classmethod
    def title_of(cls, path: list[str | int]) -> str | None:
        """Return the label that the form shows for a dotted path."""
        if not path or path[0] not in cls.model_fields:
            return None
        top = cls.model_fields[str(path[0])]
        if len(path) == 1:
            return top.title
        registry = PARTS.get(str(path[0]))
        models = (
            [part.Options for part in registry.all()] if registry else [top.annotation]
        )
        for model in models:
            field = model.model_fields.get(str(path[-1])) if model else None
            if field is not None and field.title:
                return field.title
        return None

    def to_yaml(self) -> str:
        """Write the spec as YAML, complete: every default stands in it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def fingerprint(self, *, with_seed: bool = True) -> str:
        """Return a hash that is equal exactly when the runs are the same."""
        content = self.model_dump(mode="json")
        if not with_seed:
            content.pop("seed")
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_seed(self, seed: int) -> SearchSpec:
        return self.model_copy(update={"seed": seed})


def _source_named(name: Any) -> Any:
    return next((source for source in sources.all() if source.name == name), None)
