"""Validated accuracy: on every row the operation that the supernet misses most.

T. Feng, S. Wang, VP-DARTS, ICAART 2024, section 3.4, last step, and Algorithm 1: each
operation is taken out of the trained supernet in turn, and the one of lowest accuracy
without it stays.  Measured on all of V as the search began with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ..contracts import Derived, PlannedCost, Search, SetName, derivations
from ..registry import Options as AnyOptions
from ..removal import RemovalTest, planned_removals
from ._removing import Removing

if TYPE_CHECKING:
    from ..events import EpochFinished, Event
    from ..spec import SearchSpec


class ValidatedOptions(AnyOptions):
    name: Literal["validated"] = "validated"


@derivations.register
class Validated(Removing):
    name = "validated"
    label = "Validated accuracy"
    summary = (
        "The operation of each edge without which the supernet validates worst, at "
        "the last epoch."
    )
    source = "Feng, Wang, VP-DARTS, ICAART 2024, section 3.4 and Algorithm 1."
    Options = ValidatedOptions

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self._test = RemovalTest(search, search.initial_sets["V"])

    @classmethod
    def planned_cost(
        cls,
        spec: SearchSpec,
        initial: Mapping[SetName, int],
        remaining: Mapping[SetName, int],
    ) -> PlannedCost:
        """One forward of V for the whole supernet, and one for each removal."""
        found = planned_removals(spec)
        forwards = 1 + sum(found.rows)
        return PlannedCost(float(forwards * initial["V"]), found.at_most)

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        search, test = self.search, self._test
        for progress in test.run(search.epoch):
            self.cost_units = test.cost_units
            yield progress
        self.cost_units = test.cost_units
        strengths = {n: table.cpu() for n, table in search.method.strengths().items()}
        ranking = test.scores().ranking(search.space, strengths)
        choice = {
            name: [search.space.columns(name)[order[0]] for order in rows]
            for name, rows in ranking.items()
        }
        yield self.of_the_last_epoch(epoch, search.space.encode(choice))

    def state_dict(self) -> dict[str, Any]:
        return self._test.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._test.load_state_dict(state)
        self.cost_units = self._test.cost_units
