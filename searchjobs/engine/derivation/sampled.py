"""The best of sampled architectures, by their accuracy with the shared weights.

L. Li, A. Talwalkar, Random Search and Reproducibility for NAS, UAI 2019, section 3;
X. Dong, Y. Yang, NAS-Bench-201, ICLR 2020, section 5 (RSPS, SETN, ENAS).  Which
architectures are compared is the method's own affair: ``Method.candidates``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import (
    Derivation,
    Derived,
    PlannedCost,
    Search,
    SetName,
    derivations,
    methods,
    spaces,
)
from ..events import Progress
from ..problems import Problem, refuse
from ..registry import Options as AnyOptions
from ..registry import setting
from ..scoring import samples_scored, scores, shuffled_parts

if TYPE_CHECKING:
    from ..events import EpochFinished, Event
    from ..spec import SearchSpec


class SampledOptions(AnyOptions):
    name: Literal["sampled"] = "sampled"
    count: int = setting(
        100,
        "Candidates",
        "Architectures to compare, as the method draws them; one that comes twice is "
        "judged once.",
        unit="architectures",
        advanced=False,
        ge=1,
        le=1_000_000,
    )
    batch_size: int = setting(
        512, "Images a batch", "Size of a validation batch.", unit="images", ge=2
    )
    judged_on: Literal["own-batch", "same-batch", "all"] = setting(
        "own-batch",
        "Judged on",
        "own-batch: each candidate on the next batch of V, as in the NAS-Bench-201 "
        "code, so luck with the batch plays a part; same-batch: all on one; all: each "
        "on the whole of V.",
        labels={
            "own-batch": "a batch of its own",
            "same-batch": "one batch for all",
            "all": "the whole of V",
        },
    )
    finalists: int = setting(
        0,
        "Finalists",
        "Judge so many of the best again, on the whole of V (RobustDARTS: 10 of "
        "1,000); 0: no second round.",
        unit="architectures",
        ge=0,
    )

    @model_validator(mode="after")
    def _finals_mean_something(self) -> SampledOptions:
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[Problem]:
        if self.finalists > self.count:
            yield Problem(
                "finalists",
                f"Finalists ({self.finalists}) are more than the candidates "
                f"({self.count}); ask for fewer.",
            )
        if self.finalists and self.judged_on == "all":
            yield Problem(
                "finalists",
                "Candidates that are judged on the whole of V need no second round; "
                "set Finalists to 0 or judge them on a batch.",
            )


def _architectures(spec: SearchSpec) -> int:
    """Return how many architectures the space of a spec offers."""
    space = spaces.get(spec.space.name)(spec.space)
    return math.prod(
        int(row.sum()) for table in space.tables for row in space.mask(table)
    )


@derivations.register
class Sampled(Derivation):
    name = "sampled"
    label = "Best of sampled architectures"
    summary = (
        "Compares architectures that the method draws, by their accuracy on V with the "
        "shared weights."
    )
    source = "Li, Talwalkar, UAI 2019, section 3; Dong, Yang, NAS-Bench-201, ICLR 2020."
    Options = SampledOptions
    options: SampledOptions

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.candidates: list[str] = []
        self.parts: list[Tensor] = []
        self.accuracies: list[float] = []
        self.finals: list[float] = []

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        method = methods.get(spec.method.name)
        if method.streams(spec.method) == "split":
            return []
        sentence = (
            f"{method.label} trains the weights on all images, so none is left to "
            "compare architectures on; choose another derivation, such as argmax."
        )
        return [Problem("derivation", sentence)]

    @classmethod
    def planned_cost(
        cls,
        spec: SearchSpec,
        initial: Mapping[SetName, int],
        remaining: Mapping[SetName, int],
    ) -> PlannedCost:
        """At most: an architecture that is drawn twice is judged once."""
        options, images = spec.derivation, remaining["V"]
        count = min(options.count, _architectures(spec))
        if options.judged_on == "all":
            judged = count * images
        elif options.judged_on == "same-batch":
            judged = count * samples_scored(images, 1, options.batch_size)
        else:
            judged = samples_scored(images, count, options.batch_size)
        finals = min(options.finalists, count) * images
        return PlannedCost(float(judged + finals), at_most=count > 1)

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        if not self.candidates:
            self._prepare()
        while len(self.accuracies) < len(self.candidates):
            number = len(self.accuracies)
            self.accuracies.append(self._judge(number, self._parts_of(number)))
            yield self._progress()
        finalists = self._best_first()[: self.options.finalists]
        while len(self.finals) < len(finalists):
            number = finalists[len(self.finals)]
            self.finals.append(self._judge(number, self.parts))
            yield self._progress()
        yield self._winner(finalists, epoch)

    def _prepare(self) -> None:
        """Draw the candidates, and cut V into batches once for all of them."""
        search, options = self.search, self.options
        generator = search.streams["derivation/sampled"]
        drawn = search.method.candidates(options.count, generator)
        self.candidates = list(dict.fromkeys(drawn))
        self.parts = shuffled_parts(search, options.batch_size, generator)

    def _parts_of(self, number: int) -> list[Tensor]:
        if self.options.judged_on == "all":
            return self.parts
        own = self.options.judged_on == "own-batch"
        return [self.parts[number % len(self.parts) if own else 0]]

    def _judge(self, number: int, parts: list[Tensor]) -> float:
        """Return the accuracy, 0 to 1, of a candidate on batches of V."""
        search, hits, total = self.search, 0.0, 0
        for ids in parts:
            batch = search.data.batch(ids)
            (accuracy,) = scores(search, [self.candidates[number]], [batch])
            hits, total = hits + accuracy * len(ids), total + len(ids)
        self.cost_units += total
        return hits / total

    def _best_first(self) -> list[int]:
        """Return the places of the candidates, the most accurate first; of equals the
        one that was drawn first."""
        known = self.accuracies
        return sorted(range(len(known)), key=known.__getitem__, reverse=True)

    def _winner(self, finalists: list[int], epoch: int) -> Derived:
        place, accuracy = self._best_first()[0], max(self.accuracies)
        if finalists:
            accuracy = max(self.finals)
            place = finalists[self.finals.index(accuracy)]
        note = (
            f"Best of {len(self.candidates)} architectures: {accuracy:.1%} on V with "
            "the shared weights."
        )
        here = self.search.epoch
        if epoch != here:
            note += (
                f" The weights are those of epoch {here}: those of epoch {epoch}, "
                "which a stopping rule has named, are no longer there."
            )
        return Derived(self.name, here, self.candidates[place], note=note)

    def _progress(self) -> Progress:
        search, options = self.search, self.options
        return Progress(
            phase="derivation",
            epoch=search.epoch,
            epochs=search.spec.training.epochs,
            step=len(self.accuracies) + len(self.finals),
            steps=len(self.candidates) + min(options.finalists, len(self.candidates)),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "candidates": list(self.candidates),
            "sizes": [len(ids) for ids in self.parts],
            "ids": torch.cat(self.parts).cpu() if self.parts else None,
            "accuracies": list(self.accuracies),
            "finals": list(self.finals),
            "cost_units": self.cost_units,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.candidates = list(state["candidates"])
        if state["ids"] is not None:
            ids = state["ids"].to(self.search.device)
            self.parts = list(ids.split(state["sizes"]))
        self.accuracies, self.finals = list(state["accuracies"]), list(state["finals"])
        self.cost_units = state["cost_units"]
