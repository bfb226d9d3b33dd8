"""Projection: decide the edges by what the supernet loses, and train on in between.

R. Wang, M. Cheng, X. Chen, X. Tang, C.-J. Hsieh, Rethinking Architecture Selection in
Differentiable NAS, ICLR 2021 (DARTS-PT), Algorithm 1: strength of an operation is the
drop of the supernet's accuracy without it; section 5 and its "blank" ablation.

1. Take an undecided edge at random.
2. Leave out each of its operations in turn, the weights of the others as they are, and
   measure the accuracy on all of V.  The operation whose loss hurts most stays.
3. Train w and alpha on for some epochs, at a low constant rate; go to 1.

It asks nothing of a method but the contract: mixture, steps, restrictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from .. import epoch as epochs
from ..contracts import Derived, PlannedCost, Search, SetName, derivations, methods
from ..events import Progress
from ..plan import count, step_units
from ..problems import Problem, SearchError
from ..registry import Options as AnyOptions
from ..registry import setting
from ..removal import RemovalTest, planned_removals
from ..stages import ranking
from ..totals import Totals
from ._removing import Removing

if TYPE_CHECKING:
    from ..events import EpochFinished, Event
    from ..spec import SearchSpec


class ProjectionOptions(AnyOptions):
    name: Literal["projection"] = "projection"
    tune_epochs: int = setting(
        5,
        "Tuning epochs",
        "Epochs of weights and alpha between two decisions: 25 for the six edges of "
        "NAS-Bench-201.",
        unit="epochs",
        ge=0,
        le=1000,
    )
    weight_lr: float = setting(
        0.0025,
        "Weight learning rate while tuning",
        "Constant; the paper takes a tenth of the search's first rate.",
        gt=0,
        le=10,
    )
    measure: Literal["accuracy", "loss"] = setting(
        "accuracy",
        "Measure",
        "What tells how much an operation is missed: accuracy or loss on V.",
    )
    blank: bool = setting(
        False,
        "Blank: alpha never trained",
        "The paper's ablation: alpha stays as it began, in the search and while "
        "tuning, and the edges are decided in the same way.",
    )


@derivations.register
class Projection(Removing):
    name = "projection"
    label = "Projection (DARTS-PT)"
    summary = (
        "Decides edge after edge by the accuracy without each operation, and tunes the "
        "supernet in between."
    )
    source = "Wang et al., DARTS-PT, ICLR 2021, Algorithm 1."
    Options = ProjectionOptions
    options: ProjectionOptions

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self._begun = False
        self._edge: tuple[str, int] | None = None
        self._test: RemovalTest | None = None
        # as if tuned already: the first decision comes at once
        self._tuned = self.options.tune_epochs
        self._trained_units = 0.0
        self._tested_units = 0.0

    @classmethod
    def holds_alpha(cls, options: Any) -> bool:
        return bool(options.blank)

    @classmethod
    def planned_cost(
        cls,
        spec: SearchSpec,
        initial: Mapping[SetName, int],
        remaining: Mapping[SetName, int],
    ) -> PlannedCost:
        """V once for the whole supernet and once for each removal, at every decision;
        and the tuning epochs between two decisions."""
        found = planned_removals(spec)
        forwards = len(found.rows) + sum(found.rows)
        tuned = max(len(found.rows) - 1, 0) * spec.derivation.tune_epochs
        counted = count(spec, spec.training.epochs, remaining)
        units = forwards * initial["V"] + tuned * step_units(spec, counted)
        return PlannedCost(float(units), found.at_most)

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        found = super().problems(options, spec)
        if found:
            return found
        method = methods.get(spec.method.name)
        if options.blank and method.decides_between_epochs(spec):
            sentence = (
                f"{method.label} decides or prunes by alpha between the epochs, and "
                "one that never trains would decide by chance; switch Blank off, or "
                "choose another method, such as darts."
            )
            found.append(Problem("derivation.blank", sentence))
        if options.tune_epochs > 0 and spec.compute.backend == "graphs":
            sentence = (
                "A projection decides edges while it tunes, and recorded CUDA graphs "
                "would go on with all operations; choose backend eager."
            )
            found.append(Problem("compute.backend", sentence))
        return found

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        search = self.search
        if not self._begun:
            search.method.restart_weights(self.options.weight_lr)
            self._begun = True
        search.supernet.train()
        while self._open_edges():
            yield from self._tune()
            yield from self._decide()
        yield self.of_the_last_epoch(epoch, self._architecture())

    # -- deciding ---------------------------------------------------------------------

    def _open_edges(self) -> list[tuple[str, int]]:
        """Return the rows that have a choice left, as (table, row)."""
        space = self.search.space
        return [
            (table, row)
            for table in space.tables
            for row, allowed in enumerate(space.mask(table))
            if allowed.sum() > 1
        ]

    def _decide(self) -> Iterator[Progress]:
        """Project one edge: Algorithm 1, its inner loop."""
        search = self.search
        if self._edge is None:
            edges = self._open_edges()
            drawn = torch.randint(
                len(edges), (), generator=search.streams["projection"]
            )
            self._edge = edges[int(drawn)]
        if self._test is None:
            self._test = RemovalTest(search, search.initial_sets["V"], self._edge)
        for progress in self._test.run(search.epoch):
            yield self._progress(progress.samples_per_second)
        self._tested_units += self._test.cost_units
        table, row = self._edge
        allowed = search.space.mask(table).clone()
        allowed[row] = False
        allowed[row, self._missed_most(table, row)] = True
        search.space.restrict(table, allowed)
        self._edge = self._test = None
        self._tuned = 0
        yield self._progress()

    def _missed_most(self, table: str, row: int) -> int:
        """Return the operation without which V looks worst; the other measure, then
        the strength decide ties."""
        assert self._test is not None
        scores = self._test.scores()
        space = self.search.space
        keys = [scores.accuracy, {name: -loss for name, loss in scores.loss.items()}]
        if self.options.measure == "loss":
            keys.reverse()
        strengths = {
            name: -found.cpu() for name, found in self.search.method.strengths().items()
        }
        return ranking(space, *keys, strengths)[table][row][0]

    def _architecture(self) -> str:
        space = self.search.space
        return space.encode(
            {
                table: [
                    space.columns(table)[column]
                    for column in space.mask(table).int().argmax(-1).tolist()
                ]
                for table in space.tables
            }
        )

    # -- tuning -----------------------------------------------------------------------

    def _tune(self) -> Iterator[Progress]:
        """Train w and alpha until the next decision is due."""
        while self._tuned < self.options.tune_epochs:
            yield from self._tuning_epoch()
            self._tuned += 1
            yield self._progress()

    def _tuning_epoch(self) -> Iterator[Progress]:
        """Make one epoch of steps, with the streams and in the order of the search."""
        search = self.search
        sizes = {name: len(ids) for name, ids in search.selection.sets.items()}
        counted = count(search.spec, search.epoch, sizes)
        trains = counted.architecture_steps > 0
        totals = Totals()
        self.resumable = False
        for event in epochs.steps(search, search.epoch, totals, architecture=trains):
            assert isinstance(event, Progress)
            yield self._progress(event.samples_per_second)
        self.resumable = True
        totals.epoch.close()
        if not totals.epoch.finite:
            raise SearchError(
                "The training loss is no longer a finite number while the projection "
                "tunes. Lower its weight learning rate, and launch again.",
                "diverged",
            )
        self._trained_units += step_units(search.spec, counted)

    # -- where it stands --------------------------------------------------------------

    def _progress(self, samples_per_second: float = 0.0) -> Progress:
        """Tell the passes so far, of tuning and of deciding, and add up their cost."""
        search, tuning = self.search, self.options.tune_epochs
        edges = sum(len(rows) for rows in search.space.tables.values())
        left = len(self._open_edges())
        decided = edges - left
        self.cost_units = self._trained_units + self._tested_units
        if self._test is not None:
            self.cost_units += self._test.cost_units
        return Progress(
            phase="projection",
            epoch=search.epoch,
            epochs=search.spec.training.epochs,
            step=decided + max(decided - 1, 0) * tuning + self._tuned * bool(decided),
            steps=edges + (edges - 1) * tuning,
            samples_per_second=samples_per_second,
        )

    def state_dict(self) -> dict[str, Any]:
        space = self.search.space
        return {
            "begun": self._begun,
            "allowed": {table: space.mask(table) for table in space.tables},
            "edge": self._edge,
            "test": None if self._test is None else self._test.state_dict(),
            "tuned": self._tuned,
            "trained_units": self._trained_units,
            "tested_units": self._tested_units,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        search = self.search
        for table, allowed in state["allowed"].items():
            search.space.restrict(table, allowed)
        self._begun = state["begun"]
        self._edge = None if state["edge"] is None else tuple(state["edge"])
        if state["test"] is not None:
            self._test = RemovalTest(search, search.initial_sets["V"], self._edge)
            self._test.load_state_dict(state["test"])
        self._tuned = state["tuned"]
        self._trained_units = state["trained_units"]
        self._tested_units = state["tested_units"]
        self._progress()  # adds up the cost
