"""Scales: how large a search of a paper's table is run, from the paper's to minutes.

A scale is a data file that is laid over a recipe's spec.  It changes images, network
and training; method, selection, share of T, stopping rules and derivation stay, because
they are what a row of a table is about.  What a run at a small scale gives is never the
paper's figure: pages say the scale wherever they show one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from .contracts import TableMethod, methods
from .recipes import FOLDER, Recipe

PAPER = "paper"


class Scale(BaseModel):
    """One scale.

    Attributes:
        name: the file's name, without its ending.
        label: what pages call it.
        summary: what it changes and how long a run takes.
        seeds: one run each; empty: those of the recipe.
        spec: laid over the recipe's spec.
        datasets: by name of the recipe's data set, the section that replaces it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    summary: str
    order: int
    seeds: list[int] = []
    spec: dict[str, Any] = {}
    datasets: dict[str, dict[str, Any]] = Field(default={})


@cache
def all_scales() -> tuple[Scale, ...]:
    """Return every scale, the paper's first."""
    found = [
        Scale(name=path.stem, **yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (FOLDER / "scales").glob("*.yaml")
    ]
    return tuple(sorted(found, key=lambda scale: scale.order))


def scale_named(name: str) -> Scale | None:
    return next((found for found in all_scales() if found.name == name), None)


def trains(recipe: Recipe) -> bool:
    """Say whether a recipe trains anything: a search on the benchmark table does not,
    and is the same at every scale."""
    return not issubclass(methods.get(recipe.spec["method"]["name"]), TableMethod)


def effective(recipe: Recipe, scale: Scale) -> Scale:
    """Return the scale at which a recipe's runs stand: the paper's, if none changes
    it."""
    paper = scale_named(PAPER)
    return scale if trains(recipe) or paper is None else paper


def scaled(recipe: Recipe, scale: Scale) -> dict[str, Any]:
    """Return the recipe's spec at a scale, as ``validate`` reads it."""
    if not trains(recipe):
        return dict(recipe.spec)
    spec = merged(recipe.spec, scale.spec)
    dataset = spec.get("dataset", {})
    spec["dataset"] = scale.datasets.get(dataset.get("name", ""), dataset)
    adjustment = recipe.scales.get(scale.name)
    return merged(spec, adjustment.spec) if adjustment else spec


def seeds(recipe: Recipe, scale: Scale) -> list[int]:
    """Return the seeds of a recipe at a scale."""
    return list(scale.seeds if scale.seeds and trains(recipe) else recipe.seeds)


def cannot(recipe: Recipe, scale: Scale) -> str:
    """Return why a recipe has no form at a scale; empty if it has one."""
    adjustment = recipe.scales.get(scale.name)
    return adjustment.cannot if adjustment else ""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping laid over another: sections are merged, all else replaced."""
    found = dict(below)
    for name, value in above.items():
        present = found.get(name)
        nested = isinstance(present, Mapping) and isinstance(value, Mapping)
        found[name] = merged(present, value) if nested else value  # type: ignore[arg-type]
    return found
