"""What a search would do, without training: the preview and the engine's own plan."""

from __future__ import annotations

from .contracts import SetName, methods, selections
from .data.source import DataError, Summary, sources
from .data.split import split_sizes
from .events import Plan
from .problems import Problem, SpecError
from .schedule import EpochCount, count_epoch
from .spec import SearchSpec


def plan(spec: SearchSpec, *, summary: Summary | None = None) -> Plan:
    """Return set sizes, steps and cost of every epoch.

    ``summary`` spares a second look at the data set.  Raises ``SpecError`` if the
    data set is not there.
    """
    if summary is None:
        summary = _look(spec)
    sizes = sizes_of(spec, summary)
    selection = selections.get(spec.selection.name)
    remaining = selection.remaining(spec.selection, spec, sizes)
    full = {name: [size] * (spec.training.epochs + 1) for name, size in sizes.items()}
    counts = _counts(spec, remaining)
    return Plan(
        epochs=spec.training.epochs,
        sizes=sizes,
        remaining=remaining,
        lower_bound=selection.lower_bound(spec.selection),
        weight_steps=[count.weight_steps for count in counts],
        architecture_steps=[count.architecture_steps for count in counts],
        cost_units=sum(cost(spec, count) for count in counts),
        baseline_units=sum(cost(spec, count) for count in _counts(spec, full)),
    )


def cost(spec: SearchSpec, count: EpochCount) -> float:
    """Return forward-equivalent samples of an epoch (data spec A.9)."""
    step_cost = methods.get(spec.method.name).step_cost(spec.method)
    return (
        step_cost["weights"] * count.weight_samples
        + step_cost["architecture"] * count.architecture_samples
    )


def sizes_of(spec: SearchSpec, summary: Summary) -> dict[SetName, int]:
    """Return the number of images that T and V start with."""
    if methods.get(spec.method.name).streams == "split":
        return split_sizes(summary.class_counts, spec.split)
    return {"T": summary.images, "V": summary.images}


def data_problems(spec: SearchSpec) -> list[Problem]:
    """Return what makes the data set unfit for this spec, as sentences."""
    try:
        summary = _look(spec)
    except SpecError as error:
        return error.problems
    if len(summary.classes) < 2:
        return [
            Problem(
                "dataset", "A search needs at least two classes; name more of them."
            )
        ]
    sizes = sizes_of(spec, summary)
    problems = [
        Problem(
            "split.train_share",
            f"{name} would hold {size} images, and a batch needs at least two; "
            "take more images or move the share of T.",
        )
        for name, size in sizes.items()
        if size < 2
    ]
    if not problems:
        selection = selections.get(spec.selection.name)
        problems += selection.problems(spec.selection, spec, sizes)
    return problems


def _look(spec: SearchSpec) -> Summary:
    try:
        return sources.get(spec.dataset.name).look(spec.dataset)
    except DataError as error:
        raise SpecError([error.problem]) from None


def _counts(spec: SearchSpec, remaining: dict[SetName, list[int]]) -> list[EpochCount]:
    method = methods.get(spec.method.name)
    return [
        count_epoch(
            remaining["T"][epoch - 1],
            remaining["V"][epoch - 1],
            spec.training,
            architecture=method.trains_architecture(spec.method, epoch),
        )
        for epoch in range(1, spec.training.epochs + 1)
    ]
