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
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .contracts import derivations, methods, selections, spaces, stopping_rules
from .data.source import sources
from .problems import Problem, SpecError, sentences
from .registry import Registry, setting
from .seeds import parse_seeds

Group = Literal["what", "samples", "how"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Section):
    """How the training images are divided into T (weights) and V (alpha)."""

    rule: Literal["random", "halves"] = setting(
        "random",
        "Split rule",
        "random: shuffled once by the split seed (seed 1021 and share 0.5 give the "
        "published CIFAR-10 split of NAS-Bench-201); halves: the first images are T, "
        "the last are V, as in the DARTS code.",
    )
    train_share: float = setting(
        0.5,
        "Share of T",
        "Share of the images that trains the weights; the rest trains alpha.",
        unit="share",
        gt=0,
        lt=1,
    )
    stratified: bool = setting(
        False, "Stratified", "Split every class on its own, so both sets are balanced."
    )
    seed: int = setting(
        1021,
        "Split seed",
        "Fixed apart from the run's seed, so that all runs of an experiment see the "
        "same T and V.",
        ge=0,
        lt=2**32,
    )


class Augmentation(_Section):
    """Applied in batches on the device, to T and V alike while searching."""

    crop_padding: int = setting(
        4,
        "Crop padding",
        "Zero padding around the image before a random crop of the image size; "
        "0 switches the crop off.",
        unit="pixels",
        ge=0,
        le=32,
    )
    flip: bool = setting(True, "Horizontal flip", "Mirror half of the images.")
    cutout: int = setting(
        0,
        "Cutout",
        "Side of a square set to zero after normalisation; 0 switches it off.",
        unit="pixels",
        ge=0,
        le=64,
    )


RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    # NAS-Bench-201 / AutoDL-Projects and the SmoothDARTS family (methods spec 0).
    "adl": {
        "training": {
            "epochs": 50,
            "weight_decay": 5e-4,
            "nesterov": True,
            "order": "weights-first",
        },
        "space": {"track_running_stats": False},
    },
    "smooth": {
        "training": {
            "epochs": 100,
            "weight_decay": 3e-4,
            "nesterov": False,
            "order": "architecture-first",
        },
        "space": {"track_running_stats": True},
    },
}


class Training(_Section):
    """Schedules and optimisers of the two levels."""

    recipe: Literal["adl", "smooth"] = setting(
        "adl",
        "Recipe",
        "Family of defaults: adl (NAS-Bench-201 code: 50 epochs, Nesterov, decay 5e-4, "
        "weights first) or smooth (SmoothDARTS family: 100 epochs, plain momentum, "
        "decay 3e-4, alpha first). Results of the two are not comparable.",
    )
    epochs: int = setting(
        50,
        "Epochs",
        "Length of the search.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=5000,
    )
    batch_size: int = setting(
        64,
        "Batch size",
        "Images per step, T and V alike.",
        unit="images",
        ge=2,
        le=8192,
    )
    weight_lr: float = setting(
        0.025,
        "Weight learning rate",
        "Start of the cosine schedule of the supernet's weights (SGD).",
        gt=0,
        le=10,
    )
    weight_lr_min: float = setting(
        0.001, "Final weight learning rate", "End of the cosine schedule.", ge=0, le=10
    )
    momentum: float = setting(0.9, "Momentum", "Of the weights' SGD.", ge=0, lt=1)
    nesterov: bool = setting(True, "Nesterov momentum", "Of the weights' SGD.")
    weight_decay: float = setting(
        5e-4, "Weight decay", "L2 penalty on the weights.", ge=0, le=1
    )
    clip: float = setting(
        5.0,
        "Gradient clip",
        "Largest global norm of the weights' gradient; 0 switches clipping off.",
        ge=0,
    )
    alpha_lr: float = setting(
        3e-4,
        "Alpha learning rate",
        "Of the architecture parameters (Adam). Small data sets make few architecture "
        "steps: 3e-4 x 391 / (steps per epoch) keeps the distance that alpha travels.",
        gt=0,
        le=10,
    )
    alpha_beta1: float = setting(0.5, "Alpha Adam beta 1", "First moment.", ge=0, lt=1)
    alpha_beta2: float = setting(
        0.999, "Alpha Adam beta 2", "Second moment.", ge=0, lt=1
    )
    alpha_weight_decay: float = setting(
        1e-3, "Alpha weight decay", "L2 penalty on alpha.", ge=0, le=1
    )
    order: Literal["weights-first", "architecture-first"] = setting(
        "weights-first",
        "Order of steps",
        "Which half-step comes first in a pair; BDP's Algorithm 1 takes alpha first.",
    )
    policy: Literal["interleave", "train-driven", "zip-min", "zip-max"] = setting(
        "interleave",
        "Loop policy",
        "How T and V of different size share an epoch. interleave: each sample once, "
        "spread evenly; train-driven: as many alpha steps as weight steps, V cycled; "
        "zip-min and zip-max: as many of both as the smaller or larger set has.",
    )
    cap_architecture_steps: bool = setting(
        False,
        "Cap architecture steps",
        "Never more architecture steps than weight steps in an epoch.",
    )

    @model_validator(mode="after")
    def _schedule_falls(self) -> Training:
        if self.weight_lr_min > self.weight_lr:
            raise ValueError(
                f"Final weight learning rate ({self.weight_lr_min:g}) is above the "
                f"weight learning rate ({self.weight_lr:g}): the schedule would rise. "
                "Lower the final value."
            )
        return self


class Diagnostics(_Section):
    """What is measured beside the search; its time is kept apart."""

    probe_samples: int = setting(
        1024,
        "Probe samples",
        "Fixed samples of V, never pruned from the probe, on which accuracies of the "
        "supernet and of the derived cell are measured each epoch.",
        unit="images",
        ge=1,
        le=100_000,
    )
    eigenvalue_every: int = setting(
        5,
        "Eigenvalue every",
        "Epochs between two measurements of the dominant eigenvalue of the alpha "
        "Hessian (exact); 0 switches it off.",
        unit="epochs",
        ge=0,
    )
    eigenvalue_samples: int = setting(
        64,
        "Eigenvalue samples",
        "Size of the fixed batch of V for the eigenvalue.",
        unit="images",
        ge=2,
        le=4096,
    )


class Compute(_Section):
    """Where and how the search is computed; does not change what is computed."""

    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Device", "auto: the GPU if the worker has one, else the CPU."
    )
    backend: Literal["eager", "compiled", "graphs"] = setting(
        "eager",
        "Backend",
        "eager: the reference; compiled: torch.compile of the cell, pays back after "
        "some 150 steps; graphs: captured CUDA graphs, GPU only.",
    )
    threads: int = setting(
        0, "CPU threads", "0: what the worker slot allows.", ge=0, le=512
    )
    checkpoint_every: int = setting(
        1, "Checkpoint every", "Epochs between checkpoints.", unit="epochs", ge=1
    )


#: Fields of the spec that name a part, and where the part is found.
PARTS: dict[str, Registry[Any]] = {
    "space": spaces,
    "dataset": sources,
    "method": methods,
    "selection": selections,
    "stopping": stopping_rules,
    "derivation": derivations,
}


class SearchSpec(_Section):
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


def validate(data: dict[str, Any], *, check_data: bool = True) -> SearchSpec:
    """Return the spec, or raise ``SpecError`` with every problem as a sentence.

    ``check_data`` also looks whether the data set is there and large enough.
    """
    try:
        spec = SearchSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(sentences(error, SearchSpec)) from None
    if check_data:
        from .plan import data_problems  # the plan imports the spec

        problems = data_problems(spec)
        if problems:
            raise SpecError(problems)
    return spec


def load_yaml(
    text: str, *, seed: str | None = None, check_data: bool = True
) -> SearchSpec:
    """Read a spec from YAML; every fault becomes a ``SpecError``.

    ``seed`` replaces the one in the text.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise SpecError(
            [Problem("", f"This is not valid YAML{line}; mend it.")]
        ) from None
    if not isinstance(data, dict):
        raise SpecError(
            [Problem("", "A spec is a YAML mapping of settings; this is not.")]
        )
    if seed is not None:
        data = {**data, "seed": seed}
    return validate(data, check_data=check_data)
