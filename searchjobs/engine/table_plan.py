"""What a search on a benchmark table would do, and what keeps it from doing so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import benchmark_table
from .contracts import TableMethod, TableOptions
from .events import Plan, TablePlan
from .problems import Problem, SpecError

if TYPE_CHECKING:
    from .spec import SearchSpec

#: Simulated seconds: NAS-Bench-201 on CIFAR-10, NATS-Bench on the others.
BUDGETS = {"cifar10": 12_000.0, "cifar100": 40_000.0, "imagenet16": 120_000.0}
#: What a spec takes beside such a method, because nothing is trained.
_NEUTRAL = {
    "selection": ("full", "no samples are chosen"),
    "derivation": ("argmax", "every repeat keeps the best it has seen"),
}


def budget_of(options: TableOptions) -> float:
    """Return the simulated seconds of one repeat."""
    return options.budget or BUDGETS[options.dataset]


def table_plan(spec: SearchSpec, method: type[TableMethod]) -> Plan:
    """Return a plan without a single training step."""
    options = spec.method
    points = options.points
    return Plan(
        epochs=points,
        sizes={"T": 0, "V": 0},
        remaining={"T": [0] * (points + 1), "V": [0] * (points + 1)},
        weight_steps=[0] * points,
        architecture_steps=[0] * points,
        cost_units=0.0,
        baseline_units=0.0,
        table=TablePlan(
            repeats=options.repeats,
            budget=budget_of(options),
            dataset=options.dataset,
            signal=method.signal(options),
        ),
    )


def table_problems(spec: SearchSpec, method: type[TableMethod]) -> list[Problem]:
    """Return what keeps the search from running, as sentences."""
    problems = [
        Problem(
            section,
            f"{method.label} looks architectures up in a table and trains nothing, so "
            f"{why}; choose {wanted}.",
        )
        for section, (wanted, why) in _NEUTRAL.items()
        if getattr(spec, section).name != wanted
    ]
    if spec.stopping:
        problems.append(
            Problem(
                "stopping",
                f"{method.label} trains no supernet that a stopping rule could watch; "
                "remove the rules.",
            )
        )
    if spec.compute.devices > 1:
        problems.append(
            Problem(
                "compute.devices",
                f"{method.label} looks architectures up and has no use for several "
                "devices; ask for one.",
            )
        )
    try:
        benchmark_table.find(spec.space.name)
    except SpecError as error:
        problems += error.problems
    return problems + method.problems(spec, {})
