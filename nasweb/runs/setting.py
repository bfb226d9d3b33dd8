"""What the charts of a run need to know beside its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from searchjobs import benchmark
from searchjobs.engine.contracts import methods
from searchjobs.models import Run

from . import points as rows
from .status import waiting


@dataclass(frozen=True)
class Setting:
    """A run as its charts see it.

    Attributes:
        strengths: what the numbers of the heat map are, in words.
        curves: what each curve is that the method names.
        paths: over how many drawn cells the accuracy of the supernet is a mean; 0: it
            is that of the mixture.
        dataset: the table's data set to compare with: the one that is searched on
            if the table has it, else CIFAR-10.
        why_no_table: why there can be no table of this space; empty: there may be one.
        optimum: best test accuracy of the table per data set; empty without one.
    """

    epochs: int
    edges: Mapping[str, Sequence[str]]
    operations: Sequence[str]
    strengths: str
    curves: Mapping[str, str]
    paths: int
    classes: Sequence[str]
    plan: Mapping[str, Any]
    selection: str
    eigenvalue_every: int
    dataset: str
    table_loaded: bool
    why_no_table: str
    optimum: Mapping[str, float]
    waiting: str


def setting_of(run: Run) -> Setting:
    """Read the setting; two queries at most."""
    spec = run.job.spec
    space = benchmark.space_named(rows.space_name(run))
    best = benchmark.optimum(space.name)
    on_table = (run.plan or {}).get("table")
    searched = (
        on_table["dataset"]
        if on_table
        else str((spec.get("dataset") or {}).get("name", "")).replace("-", "")
    )
    return Setting(
        epochs=run.epochs,
        edges=run.structure.get("edges") or dict(space.tables),
        operations=run.structure.get("operations") or list(space.operations),
        strengths=run.structure.get("strengths") or _strength_label(spec),
        curves=_curves(spec),
        paths=_paths(spec),
        classes=run.structure.get("classes") or [],
        plan=run.plan,
        selection=str((spec.get("selection") or {}).get("name", "full")),
        eigenvalue_every=(spec.get("diagnostics") or {}).get("eigenvalue_every", 0),
        dataset=searched if searched in benchmark.DATASETS else "cifar10",
        table_loaded=bool(best),
        why_no_table=benchmark.why_no_table(space.name),
        optimum={
            name: each.value for (name, split), each in best.items() if split == "test"
        },
        waiting=waiting(run),
    )


def _strength_label(spec: Mapping[str, Any]) -> str:
    """Return what the method calls its strengths; a run that has not started, or one
    of an older version, has not told it."""
    name = (spec.get("method") or {}).get("name", "")
    known = {part.name: part.strength_label for part in methods.all()}
    return known.get(name, "softmax(alpha)")


def _curves(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what the method says of the curves that it names."""
    name = (spec.get("method") or {}).get("name", "")
    return next((part.curves for part in methods.all() if part.name == name), {})


def _paths(spec: Mapping[str, Any]) -> int:
    """Return how many drawn cells the method's supernet is measured by."""
    name = (spec.get("method") or {}).get("name", "")
    known = {part.name: getattr(part, "sampled_paths", 0) for part in methods.all()}
    return known.get(name, 0)
