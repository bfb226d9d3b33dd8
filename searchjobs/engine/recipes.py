"""Presets: whole specs as data files, with the figures that a paper prints."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).resolve().parent.parent / "recipes"


class Adjustment(BaseModel):
    """What a preset needs at a scale beyond what the scale changes in all of them.

    Attributes:
        spec: laid over the scaled spec, so that it keeps what the row is about.
        cannot: why the preset has no form at this scale, as a sentence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any] = {}
    cannot: str = ""


class Recipe(BaseModel):
    """One preset.

    Attributes:
        name: the file's name, without its ending.
        title: what a button shows.
        group: the heading under which the form lists it.
        summary: what it is for and how long it takes.
        source: paper, table and row, if it has one.
        seeds: the seeds to launch.
        spec: what differs from the defaults of ``SearchSpec``.
        reference: the printed values, by column name, as printed.
        scales: what it needs beyond the scale itself, by the scale's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    group: str
    summary: str
    source: str = ""
    seeds: list[int] = Field(min_length=1)
    spec: dict[str, Any]
    reference: dict[str, str] = {}
    order: int = 100
    scales: dict[str, Adjustment] = {}


@cache
def all_recipes() -> tuple[Recipe, ...]:
    """Return every preset, in the order in which the form shows them."""
    found = [
        Recipe(name=path.stem, **yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in FOLDER.glob("*.yaml")
    ]
    return tuple(sorted(found, key=lambda recipe: (recipe.order, recipe.name)))


def recipe(name: str) -> Recipe | None:
    return next((found for found in all_recipes() if found.name == name), None)
