"""What a search would do, without training: the preview and the engine's own plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .contracts import (
    PlannedCost,
    SetName,
    StoppingOptions,
    TableMethod,
    derivations,
    methods,
    selections,
    stopping_rules,
)
from .data.source import DataError, Summary, sources
from .data.split import split_sizes
from .events import Plan
from .problems import Problem, SpecError
from .schedule import EpochCount, count_epoch
from .table_plan import table_plan, table_problems

if TYPE_CHECKING:  # methods may count steps, and the spec is made of methods
    from .spec import SearchSpec


def plan(spec: SearchSpec, *, summary: Summary | None = None) -> Plan:
    """Return set sizes, steps and cost of every epoch.

    ``summary`` spares a second look at the data set.  Raises ``SpecError`` if the
    data set is not there.
    """
    method = methods.get(spec.method.name)
    if issubclass(method, TableMethod):
        return table_plan(spec, method)
    if summary is None:
        summary = _look(spec)
    sizes = sizes_of(spec, summary)
    selection = selections.get(spec.selection.name)
    remaining = selection.remaining(spec.selection, spec, sizes)
    full = {name: [size] * (spec.training.epochs + 1) for name, size in sizes.items()}
    counts = _counts(spec, remaining)
    baseline = _costs(spec, _counts(spec, full), full)
    derived = _derivation_cost(spec, remaining)
    prepared = selection.preparation_cost(spec.selection, spec, sizes, summary)
    chosen = sum(
        selection_cost(spec, epoch, sizes)
        for epoch in range(1, spec.training.epochs + 1)
    )
    searched = chosen + sum(_costs(spec, counts, remaining))
    return Plan(
        epochs=spec.training.epochs,
        sizes=sizes,
        remaining=remaining,
        lower_bound=selection.lower_bound(
            spec.selection, remaining, len(summary.classes)
        ),
        weight_steps=[count.weight_steps for count in counts],
        architecture_steps=[count.architecture_steps for count in counts],
        cost_units=prepared + searched + derived.units,
        baseline_units=sum(baseline) + _derivation_cost(spec, full).units,
        baseline_epochs=baseline,
        preparation_units=prepared,
        derivation_units=derived.units,
        derivation_at_most=derived.at_most,
    )


def trains_architecture(spec: SearchSpec, epoch: int) -> bool:
    """Say whether an epoch has architecture steps: the method has some there, and the
    derivation does not want alpha as it began."""
    derivation = derivations.get(spec.derivation.name)
    if derivation.holds_alpha(spec.derivation):
        return False
    return methods.get(spec.method.name).trains_architecture(spec, epoch)


def count(spec: SearchSpec, epoch: int, sizes: Mapping[SetName, int]) -> EpochCount:
    """Count the steps and samples of an epoch that begins with sets of these sizes."""
    method = methods.get(spec.method.name)
    return count_epoch(
        sizes["T"],
        sizes["V"],
        spec.training,
        architecture=trains_architecture(spec, epoch),
        batch_size=method.batch_size(spec, epoch),
    )


def cost(
    spec: SearchSpec, epoch: int, counted: EpochCount, sizes: Mapping[SetName, int]
) -> float:
    """Return forward-equivalent samples of an epoch (data spec A.9)."""
    method = methods.get(spec.method.name)
    return step_units(spec, counted) + method.pass_cost(spec, epoch, sizes)


def selection_cost(spec: SearchSpec, epoch: int, sizes: dict[SetName, int]) -> float:
    """Return forward-equivalent samples of what the selection does after an epoch, for
    T and V that began with these sizes."""
    selection = selections.get(spec.selection.name)
    return selection.epoch_cost(spec.selection, spec, epoch, sizes)


def step_units(spec: SearchSpec, counted: EpochCount) -> float:
    """Return forward-equivalent samples of these steps alone."""
    step_cost = methods.get(spec.method.name).step_cost(spec.method)
    return (
        step_cost["weights"] * counted.weight_samples
        + step_cost["architecture"] * counted.architecture_samples
    )


def sizes_of(spec: SearchSpec, summary: Summary) -> dict[SetName, int]:
    """Return the number of images that T and V start with."""
    if methods.get(spec.method.name).streams(spec.method) == "split":
        return split_sizes(summary.class_counts, spec.split)
    return {"T": summary.images, "V": summary.images}


def data_problems(spec: SearchSpec) -> list[Problem]:
    """Return what makes the data set (or the table) unfit for this spec."""
    method = methods.get(spec.method.name)
    if issubclass(method, TableMethod):
        return table_problems(spec, method)
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
    if problems:
        return problems
    selection = selections.get(spec.selection.name)
    problems += selection.problems(spec.selection, spec, sizes)
    problems += selection.memory_problems(spec.selection, sizes, summary.image_size)
    problems += methods.get(spec.method.name).problems(spec, sizes)
    for number, options in enumerate(spec.stopping):
        for problem in stopping_rules.get(options.name).problems(options, spec):
            problems.append(_at_rule(problem, number, options))
    derivation = derivations.get(spec.derivation.name)
    return problems + derivation.problems(spec.derivation, spec)


def _at_rule(problem: Problem, number: int, options: StoppingOptions) -> Problem:
    """Return a problem of a rule at the place that this rule has in the spec."""
    place = f"stopping.{number}"
    if problem.field == "":
        return replace(problem, field=place)
    if problem.field in type(options).model_fields:
        return replace(problem, field=f"{place}.{problem.field}")
    return problem


def _look(spec: SearchSpec) -> Summary:
    try:
        return sources.get(spec.dataset.name).look(spec.dataset)
    except DataError as error:
        raise SpecError([error.problem]) from None


def _sizes_before(
    remaining: Mapping[SetName, list[int]], epoch: int
) -> dict[SetName, int]:
    return {name: sizes[epoch - 1] for name, sizes in remaining.items()}


def _counts(
    spec: SearchSpec, remaining: Mapping[SetName, list[int]]
) -> list[EpochCount]:
    return [
        count(spec, epoch, _sizes_before(remaining, epoch))
        for epoch in range(1, spec.training.epochs + 1)
    ]


def _costs(
    spec: SearchSpec,
    counts: list[EpochCount],
    remaining: Mapping[SetName, list[int]],
) -> list[float]:
    return [
        cost(spec, epoch, counted, _sizes_before(remaining, epoch))
        for epoch, counted in enumerate(counts, start=1)
    ]


def _derivation_cost(
    spec: SearchSpec, remaining: Mapping[SetName, list[int]]
) -> PlannedCost:
    return derivations.get(spec.derivation.name).planned_cost(
        spec,
        {name: sizes[0] for name, sizes in remaining.items()},
        {name: sizes[-1] for name, sizes in remaining.items()},
    )
