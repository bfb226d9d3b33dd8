"""SubsetSpec: the single definition of a subset, as SearchSpec is that of a run."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, ValidationError

from .contracts import Reduction, selections
from .data.source import DataError, Summary, sources
from .data.split import split_sizes
from .problems import Problem, SpecError, sentences
from .registry import setting
from .sections import Augmentation, Compute, Split
from .spec import DATASET, SearchSpec, with_augmentation
from .whole_spec import WholeSpec, mapping_of


def reductions() -> list[type[Reduction]]:
    """Return the selections that a job of its own can make."""
    return [part for part in selections.all() if issubclass(part, Reduction)]


def _reduction_options() -> Any:
    return Annotated[
        reduce(or_, [part.Options for part in reductions()]),
        Field(discriminator="name"),
    ]


class SubsetSpec(WholeSpec):
    """Everything that determines which samples a subset holds."""

    dataset: sources.options_type() = setting(  # type: ignore[valid-type]
        {"name": DATASET},
        "Data set",
        "The images that are chosen from.",
        advanced=False,
        validate_default=True,
    )
    selection: _reduction_options() = setting(  # type: ignore[valid-type]
        {"name": "random"},
        "Samples",
        "How the samples are chosen.",
        advanced=False,
        validate_default=True,
    )
    split: Split = Field(default_factory=Split, title="Split of the images")
    whole: bool = setting(
        False,
        "No split",
        "T and V are both all images, for methods that learn from all of them "
        "(GAEA-ERM, SNAS).",
    )
    augmentation: Augmentation = Field(
        default_factory=Augmentation, title="Augmentation"
    )
    compute: Compute = Field(default_factory=Compute, title="Compute")
    seed: int = setting(
        1, "Seed", "Of every random stream of the choice.", ge=0, lt=2**32
    )

    @classmethod
    def union_tags(cls, field: str) -> tuple[str, ...]:
        """Return the names to choose from, for a field that is a choice of parts."""
        if field == "selection":
            return tuple(part.name for part in reductions())
        return SearchSpec.union_tags(field)

    @classmethod
    def title_of(cls, path: list[str | int]) -> str | None:
        """Return the label that a form shows for a dotted path."""
        return SearchSpec.title_of(path)


def subset_spec_of(spec: SearchSpec, *, whole: bool) -> SubsetSpec:
    """Return the spec of the subset that a search with a reduction chooses itself."""
    shared = ("dataset", "selection", "split", "augmentation", "compute", "seed")
    content = spec.model_dump(mode="json", include=set(shared))
    return validate_subset({**content, "whole": whole}, check_data=False)


def validate_subset(data: dict[str, Any], *, check_data: bool = True) -> SubsetSpec:
    """Return the spec, or raise ``SpecError`` with every problem as a sentence."""
    try:
        spec = SubsetSpec.model_validate(with_augmentation(data))
    except ValidationError as error:
        raise SpecError(sentences(error, SubsetSpec)) from None
    problems = subset_problems(spec) if check_data else []
    if problems:
        raise SpecError(problems)
    return spec


def subset_problems(spec: SubsetSpec) -> list[Problem]:
    """Return what makes the data set unfit for this subset."""
    try:
        summary = sources.get(spec.dataset.name).look(spec.dataset)
    except DataError as error:
        return [error.problem]
    reduction = selections.get(spec.selection.name)
    assert issubclass(reduction, Reduction)
    problems = []
    if spec.compute.devices > 1:
        problems.append(
            Problem("compute.devices", "A subset is chosen on one device; ask for one.")
        )
    sizes = subset_sizes(spec, summary)
    problems += reduction.size_problems(spec.selection, sizes)
    problems += reduction.memory_problems(spec.selection, sizes, summary.image_size)
    if spec.selection.keep_train == 1 and spec.selection.keep_valid == 1:
        problems.append(
            Problem(
                "selection.keep_train",
                "Both sets keep all their samples, so there is nothing to choose; "
                "keep a smaller share of T or of V.",
            )
        )
    return problems


def subset_sizes(spec: SubsetSpec, summary: Summary) -> dict[Any, int]:
    """Return the number of images in T and V before the choice."""
    if spec.whole:
        return {"T": summary.images, "V": summary.images}
    return split_sizes(summary.class_counts, spec.split)


def load_subset_yaml(text: str, *, seed: str | None = None) -> SubsetSpec:
    """Read a subset's spec from YAML; every fault becomes a ``SpecError``."""
    return validate_subset(mapping_of(text, seed))
