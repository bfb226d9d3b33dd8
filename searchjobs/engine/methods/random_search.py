"""Random search on the benchmark table: architectures of the space, each as likely.

J. Bergstra, Y. Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13, 2012;
as NAS-Bench-201 (X. Dong, Y. Yang, ICLR 2020, section 5) runs it until a time budget
is spent.  An architecture may come twice, and is paid for twice.
"""

from __future__ import annotations

from typing import Any, Literal

from ..contracts import Query, TableMethod, TableOptions, methods
from ..contracts.table import Floats, Mask


class RandomSearchOptions(TableOptions):
    name: Literal["random-search"] = "random-search"


@methods.register
class RandomSearch(TableMethod):
    name = "random-search"
    label = "Random search"
    summary = (
        "Draw cells at random until the simulated budget is spent; keep the one with "
        "the best accuracy in the table."
    )
    source = "Bergstra, Bengio, JMLR 2012; NAS-Bench-201, ICLR 2020, section 5 (RS)."
    family = "Trials on the benchmark table"
    Options = RandomSearchOptions

    def ask(self) -> Query:
        return Query(self.repeats.random_choices("proposals"))

    def tell(self, query: Query, accuracies: Floats, alive: Mask) -> None:
        """Nothing is learned; the search itself keeps the best."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing beside the random streams."""
