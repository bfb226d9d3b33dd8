"""Regularised evolution (REA) on the benchmark table.

E. Real, A. Aggarwal, Y. Huang, Q. V. Le, Regularized Evolution for Image Classifier
Architecture Search, AAAI 2019, Algorithm 1: fill a population at random; then, again
and again, draw S members with replacement, let the best of them have a mutated child,
add it, and remove the oldest.  Settings of NAS-Bench-201: P = 10, S = 3.

A mutation gives one edge, each as likely, another operation.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from ..contracts import Query, Repeats, TableMethod, TableOptions, methods
from ..contracts.table import Choices, Floats, Mask
from ..problems import Problem, refuse
from ..registry import setting


class EvolutionOptions(TableOptions):
    name: Literal["evolution"] = "evolution"
    population: int = setting(
        10, "Population P", "Members that live at one time.", ge=2, le=1000
    )
    sample: int = setting(
        3,
        "Sample S",
        "Members drawn with replacement, of which the best becomes the parent.",
        ge=1,
        le=1000,
    )

    @model_validator(mode="after")
    def _sample_fits(self) -> Self:
        if self.sample > self.population:
            sentence = (
                f"Sample S ({self.sample}) is larger than the population "
                f"({self.population}); draw fewer."
            )
            refuse([Problem("sample", sentence)])
        return self


@methods.register
class Evolution(TableMethod):
    name = "evolution"
    label = "Regularised evolution (REA)"
    summary = (
        "Mutate the best of a few members of a population; the oldest dies, not the "
        "worst."
    )
    source = "Real, Aggarwal, Huang, Le, AAAI 2019, Algorithm 1; NAS-Bench-201 (REA)."
    family = "Trials on the benchmark table"
    Options = EvolutionOptions

    def __init__(self, options: EvolutionOptions, repeats: Repeats) -> None:
        super().__init__(options, repeats)
        size = options.population
        self.members = np.zeros((repeats.count, size, repeats.rows), dtype=np.int64)
        self.accuracies = np.zeros((repeats.count, size))
        self.born = 0
        """Children that every repeat has had.  Child k takes place k mod P, which is
        that of the oldest member once all places are taken."""

    def ask(self) -> Query:
        if self.born < self.options.population:
            return Query(self.repeats.random_choices("first members"))
        return Query(mutate(self.parents(), self.repeats))

    def parents(self) -> Choices:
        """Return the best (R, E) of S members drawn with replacement; of equals the
        one drawn first."""
        repeats, size = self.repeats, self.options.population
        drawn = repeats.below(size, "samples", repeats.count, self.options.sample)
        best = np.take_along_axis(self.accuracies, drawn, axis=1).argmax(axis=1)
        everyone = np.arange(repeats.count)
        return self.members[everyone, drawn[everyone, best]]

    def tell(self, query: Query, accuracies: Floats, alive: Mask) -> None:
        place = self.born % self.options.population
        self.members[alive, place] = query.choices[alive]
        self.accuracies[alive, place] = accuracies[alive]
        self.born += 1

    def state_dict(self) -> dict[str, Any]:
        return {
            "members": self.members,
            "accuracies": self.accuracies,
            "born": self.born,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.members = state["members"]
        self.accuracies = state["accuracies"]
        self.born = state["born"]


def mutate(parents: Choices, repeats: Repeats) -> Choices:
    """Return children (R, E): one row, each as likely, takes another operation, each
    that it may take as likely."""
    allowed = repeats.allowed()
    counts = np.array([len(columns) for columns in allowed])
    padded = np.zeros((len(allowed), counts.max()), dtype=np.int64)
    place_of = np.zeros((len(allowed), 1 + max(map(max, allowed))), dtype=np.int64)
    for row, columns in enumerate(allowed):
        padded[row, : len(columns)] = columns
        place_of[row, columns] = range(len(columns))
    everyone = np.arange(len(parents))
    row = repeats.below(len(allowed), "mutated rows", len(parents))
    # A step of 1 to (choices - 1) around the circle never ends where it began.
    step = 1 + repeats.below(counts[row] - 1, "mutations", len(parents))
    place = (place_of[row, parents[everyone, row]] + step) % counts[row]
    children = parents.copy()
    children[everyone, row] = padded[row, place]
    return children
