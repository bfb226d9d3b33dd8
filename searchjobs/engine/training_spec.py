"""TrainingSpec: the single definition of the training of one cell from scratch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from .contracts import spaces
from .data.source import DataError, sources
from .problems import Problem, SpecError, sentences
from .registry import setting
from .sections import Augmentation, Compute, Section
from .spec import DATASET, SPACE, SearchSpec, with_augmentation
from .whole_spec import WholeSpec, mapping_of

#: What each recipe sets otherwise than the first (methods spec 1.1, data spec B.4).
RECIPES: dict[str, dict[str, Any]] = {
    # Dong and Yang, NAS-Bench-201, ICLR 2020, Table 1
    "nas-bench-201": {},
    # Moser et al., Less is More, as its published configuration says: 0.01, not 0.1
    "less-is-more": {"learning_rate": 0.01},
    "less-is-more-imagenet16": {"epochs": 400, "weight_decay": 1e-3},
}


class CellTraining(Section):
    """How the weights of one architecture are trained."""

    recipe: Literal["nas-bench-201", "less-is-more", "less-is-more-imagenet16"] = (
        setting(
            "nas-bench-201",
            "Recipe",
            "Family of defaults: nas-bench-201 (200 epochs, rate 0.1, as the "
            "benchmark trained its cells), less-is-more (rate 0.01) or its transfer to "
            "ImageNet16-120 (400 epochs, decay 1e-3). Accuracies of different recipes "
            "are not comparable.",
            advanced=False,
            labels={
                "nas-bench-201": "NAS-Bench-201",
                "less-is-more": "Less is More",
                "less-is-more-imagenet16": "Less is More, ImageNet",
            },
        )
    )
    epochs: int = setting(
        200,
        "Epochs",
        "Length of the training.",
        unit="epochs",
        advanced=False,
        ge=1,
        le=5000,
    )
    batch_size: int = setting(
        256, "Batch size", "Images of a step.", unit="images", ge=2, le=8192
    )
    learning_rate: float = setting(
        0.1, "Learning rate", "Start of the cosine schedule (SGD).", gt=0, le=10
    )
    learning_rate_min: float = setting(
        0.0, "Final learning rate", "End of the cosine schedule.", ge=0, le=10
    )
    momentum: float = setting(0.9, "Momentum", "Of SGD.", ge=0, lt=1)
    nesterov: bool = setting(True, "Nesterov momentum", "Of SGD.")
    weight_decay: float = setting(
        5e-4, "Weight decay", "L2 penalty on the weights.", ge=0, le=1
    )
    clip: float = setting(
        0.0, "Gradient clip", "Largest global norm of the gradient; 0: none.", ge=0
    )
    mixed_precision: bool = setting(
        False,
        "Mixed precision",
        "Forward and loss in bfloat16 where that is safe: faster on a GPU, and not bit "
        "for bit the same.",
    )
    held_out: float = setting(
        0.2,
        "Share held out",
        "Of a data set without test images: this share of each class is not trained "
        "on, and measures the accuracy.",
        unit="share",
        gt=0,
        lt=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _recipe_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        recipe = data.get("recipe")
        known = RECIPES.get(recipe, {}) if isinstance(recipe, str) else {}
        return {**known, **data}


class TrainingSpec(WholeSpec):
    """Everything that determines the training of a cell, apart from the machine."""

    space: spaces.options_type() = setting(  # type: ignore[valid-type]
        {"name": SPACE},
        "Search space",
        "The space of the architecture, with channels and cells of the network.",
        advanced=False,
        validate_default=True,
    )
    architecture: str = setting(
        ..., "Architecture", "As the space writes it.", advanced=False
    )
    dataset: sources.options_type() = setting(  # type: ignore[valid-type]
        {"name": DATASET},
        "Data set",
        "What it is trained on.",
        advanced=False,
        validate_default=True,
    )
    augmentation: Augmentation = Field(
        default_factory=Augmentation, title="Augmentation"
    )
    training: CellTraining = Field(default_factory=CellTraining, title="Training")
    compute: Compute = Field(default_factory=Compute, title="Compute")
    seed: int = setting(
        1, "Seed", "Of weights, order and augmentation.", ge=0, lt=2**32
    )

    @classmethod
    def union_tags(cls, field: str) -> tuple[str, ...]:
        """Return the names to choose from, for a field that is a choice of parts."""
        return SearchSpec.union_tags(field)

    @classmethod
    def title_of(cls, path: list[str | int]) -> str | None:
        """Return the label that a form shows for a dotted path."""
        section = {"training": CellTraining}.get(str(path[0])) if path else None
        if section is not None and len(path) > 1:
            field = section.model_fields.get(str(path[-1]))
            return field.title if field else None
        return SearchSpec.title_of(path)


def validate_training(data: dict[str, Any], *, check_data: bool = True) -> TrainingSpec:
    """Return the spec, or raise ``SpecError`` with every problem as a sentence."""
    filled = with_augmentation(data)
    if isinstance(filled.get("space"), dict):
        filled["space"] = {"name": SPACE, **filled["space"]}
    try:
        spec = TrainingSpec.model_validate(filled)
    except ValidationError as error:
        raise SpecError(sentences(error, TrainingSpec)) from None
    if problems := _problems(spec, check_data=check_data):
        raise SpecError(problems)
    return spec


def _problems(spec: TrainingSpec, *, check_data: bool) -> list[Problem]:
    problems = []
    try:
        spaces.get(spec.space.name)(spec.space).decode(spec.architecture)
    except ValueError as error:
        problems.append(Problem("architecture", str(error)))
    if spec.compute.devices > 1:
        problems.append(
            Problem("compute.devices", "A cell is trained on one device; ask for one.")
        )
    if check_data:
        try:
            summary = sources.get(spec.dataset.name).look(spec.dataset)
        except DataError as error:
            return [*problems, error.problem]
        if summary.images < spec.training.batch_size // 2:
            problems.append(
                Problem(
                    "training.batch_size",
                    f"A batch of {spec.training.batch_size} images is more than twice "
                    f"the {summary.images} images that there are; take a smaller one.",
                )
            )
    return problems


def load_training_yaml(text: str, *, seed: str | None = None) -> TrainingSpec:
    """Read a training's spec from YAML; every fault becomes a ``SpecError``."""
    return validate_training(mapping_of(text, seed))
