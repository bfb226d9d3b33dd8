"""SearchSpec: the single definition of a run.

It makes the form, the API, the command line, the clone and the diff.  The options
of each part come from the part itself (see ``registry``), so a new method, data
source or selection is in the spec as soon as its file exists.
"""

from __future__ import annotations

from typing import Any, Literal

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
    Split,
    Training,
)
from .seeds import parse_seeds
from .whole_spec import WholeSpec

Group = Literal["what", "samples", "how"]
#: What a spec that names none of them searches, on what, and by which method.
SPACE, DATASET, METHOD = "nas-bench-201", "digits", "darts"


#: Fields of the spec that name a part, and where the part is found.
PARTS: dict[str, Registry[Any]] = {
    "space": spaces,
    "dataset": sources,
    "method": methods,
    "selection": selections,
    "stopping": stopping_rules,
    "derivation": derivations,
}


class SearchSpec(WholeSpec):
    """Everything that determines a run, bit for bit, apart from the machine."""

    space: spaces.options_type() = setting(  # type: ignore[valid-type]
        {"name": SPACE},
        "Search space",
        "The set of architectures.",
        advanced=False,
        validate_default=True,
    )
    dataset: sources.options_type() = setting(  # type: ignore[valid-type]
        {"name": DATASET},
        "Data set",
        "The images that are searched on.",
        advanced=False,
        validate_default=True,
    )
    method: methods.options_type() = setting(  # type: ignore[valid-type]
        {"name": METHOD},
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
        """Fill what the user left open from recipe, method and data set."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        chosen = {
            section: _given(filled, section).get("name")
            for section in ("space", "dataset", "method")
        }
        recipe = _given(filled, "training").get("recipe")
        for section, values in defaults(**chosen, recipe=recipe).items():
            given = filled.get(section) or {}
            if isinstance(given, dict):
                filled[section] = {**values, **given}
        if isinstance(filled.get("space"), dict):
            filled["space"] = {"name": SPACE, **filled["space"]}
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

    def with_seed(self, seed: int) -> SearchSpec:
        return self.model_copy(update={"seed": seed})


def _given(data: dict[str, Any], section: str) -> dict[str, Any]:
    """Return what was given of a section, if it is a mapping at all."""
    given = data.get(section)
    return given if isinstance(given, dict) else {}


def with_augmentation(data: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of what was given, with the augmentation of its data set where it
    was left open, for specs that have no recipe and no method to ask."""
    images = _named(sources, _given(data, "dataset").get("name") or DATASET)
    own = data.get("augmentation") or {}
    if not images or not images.augmentation or not isinstance(own, dict):
        return dict(data)
    return {**data, "augmentation": {**images.augmentation, **own}}


def defaults(
    *,
    space: Any = None,
    dataset: Any = None,
    method: Any = None,
    recipe: Any = None,
) -> dict[str, dict[str, Any]]:
    """Return, by section, the values that follow from what was chosen, where they
    differ from those of the section itself: the recipe's, over them the method's own,
    and the data set's augmentation.  What has no name that we know adds nothing."""
    part = _named(methods, method or METHOD)
    own = part.defaults if part else {}
    recipe = recipe or own.get("training", {}).get("recipe", "adl")
    found: dict[str, dict[str, Any]] = {}
    for source in (RECIPES.get(recipe, {}) if isinstance(recipe, str) else {}, own):
        for section, values in source.items():
            found.setdefault(section, {}).update(values)
    if "recipe" in found.get("training", {}):
        found["training"]["recipe"] = recipe
    of_space = _named(spaces, space or SPACE)
    known = of_space.Options.model_fields if of_space else {}
    of_the_space = {k: v for k, v in found.pop("space", {}).items() if k in known}
    if of_the_space:
        found["space"] = of_the_space
    images = _named(sources, dataset or DATASET)
    if images and images.augmentation:
        found["augmentation"] = dict(images.augmentation)
    return found


def _named(registry: Registry[Any], name: Any) -> Any:
    return next((part for part in registry.all() if part.name == name), None)
