"""Validated accuracy: on every row the operation that the supernet misses most.

T. Feng, S. Wang, VP-DARTS, ICAART 2024, section 3.4, last step, and Algorithm 1: each
operation is taken out of the trained supernet in turn, and the one of lowest accuracy
without it stays.  Measured on all of V as the search began with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..contracts import Derivation, Derived, Method, Search, derivations, methods
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..removal import RemovalTest

if TYPE_CHECKING:
    from ..events import EpochFinished, Event
    from ..spec import SearchSpec


class ValidatedOptions(AnyOptions):
    name: Literal["validated"] = "validated"


@derivations.register
class Validated(Derivation):
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
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        method = methods.get(spec.method.name)
        sentence = ""
        if method.streams(spec.method) != "split":
            sentence = (
                f"{method.label} trains the weights on all images, so none is left to "
                "validate on; choose another derivation, such as argmax."
            )
        elif not (issubclass(method, Method) and method.gradient_based):
            sentence = (
                f"{method.label} has no mixture of operations that one could be taken "
                "out of; choose another derivation."
            )
        return [Problem("derivation", sentence)] if sentence else []

    def derive(
        self, history: list[EpochFinished], epoch: int
    ) -> Iterator[Event | Derived]:
        search, test = self.search, self._test
        last = search.epoch
        for progress in test.run(last):
            self.cost_units = test.cost_units
            yield progress
        self.cost_units = test.cost_units
        strengths = {n: table.cpu() for n, table in search.method.strengths().items()}
        ranking = test.scores().ranking(search.space, strengths)
        choice = {
            name: [search.space.columns(name)[order[0]] for order in rows]
            for name, rows in ranking.items()
        }
        note = ""
        if epoch != last:
            note = (
                f"A stopping rule named epoch {epoch}, whose weights are not kept; "
                f"those of epoch {last} were measured."
            )
        yield Derived(self.name, last, search.space.encode(choice), note=note)

    def state_dict(self) -> dict[str, Any]:
        return self._test.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._test.load_state_dict(state)
        self.cost_units = self._test.cost_units
