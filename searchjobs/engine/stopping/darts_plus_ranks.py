"""DARTS+ ``rt_k``: stop once alpha has ranked the learnable operations for good.

H. Liang, S. Zhang, J. Sun et al., DARTS+: Improved Differentiable Architecture Search
with Early Stopping, arXiv 1909.06035, criterion 2 (the ranking of alpha for learnable
operations is stable for a number of epochs, 10 there); J. Zhang, Z. Ding, CIKM 2021
(EX-/SS-DARTS), section 3 and Table 3, compare k = 10, 2, 3, 4 on NAS-Bench-201.

On every edge the operations that hold weights are ranked by alpha.  An epoch is stable
if no edge ranks them otherwise than the epoch before did; k stable epochs in a row end
the search.  Epochs of a warm-up, in which alpha stands still, do not count,
and a new stage begins a new count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..contracts import Decision, Search, StoppingOptions, StoppingRule, stopping_rules
from ..problems import Problem
from ..registry import setting
from ..watching import (
    counted,
    counts,
    ending,
    first_epoch,
    held_alpha,
    offered,
    space_of,
)

if TYPE_CHECKING:
    from ..events import EpochFinished, Table
    from ..spec import SearchSpec


class DartsPlusRanksOptions(StoppingOptions):
    name: Literal["darts-plus-ranks"] = "darts-plus-ranks"
    stable: int = setting(
        10,
        "Stable epochs k",
        "Stop once so many epochs in a row rank the operations with weights as the "
        "epoch before did, on every edge. The papers try 10, 2, 3 and 4.",
        unit="epochs",
        advanced=False,
        ge=1,
    )


@stopping_rules.register
class DartsPlusRanks(StoppingRule):
    name = "darts-plus-ranks"
    label = "DARTS+, ranking of operations (rt_k)"
    summary = (
        "Stops once the ranking of the learnable operations has stood for k epochs."
    )
    source = (
        "Liang et al., DARTS+, arXiv 1909.06035 (2019), criterion 2; Zhang and Ding, "
        "CIKM 2021, Table 3."
    )
    Options = DartsPlusRanksOptions

    def __init__(self, options: Any, search: Search) -> None:
        super().__init__(options, search)
        self.ranking: list[list[str]] | None = None
        """Per row of every table of operations, the learnable ones, best first."""
        self.stable = 0

    @property
    def title(self) -> str:
        return f"rt_{self.options.stable}"

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        space = space_of(spec)
        if held := held_alpha(spec, f"rt_{options.stable}"):
            return held
        found = []
        if len(set(offered(space)) - space.parameter_free) < 2:
            found.append(
                Problem(
                    "",
                    "rt_k ranks operations that hold weights, and this search space "
                    "offers fewer than two of them; choose another stopping rule.",
                )
            )
        first = first_epoch(1, spec) + options.stable
        if not counted(1 + options.stable, spec):
            found.append(
                Problem(
                    "stable",
                    f"rt_{options.stable} can fire at epoch {first} at the earliest "
                    f"and {ending(spec)}; search longer or ask for fewer stable "
                    "epochs.",
                )
            )
        return found

    def observe(self, report: EpochFinished) -> Decision:
        if not counts(2, self.search.spec, report.epoch):
            self.ranking = None  # of alpha at rest, or of another supernet's
        if not counts(1, self.search.spec, report.epoch):
            return Decision()
        ranking = self._ranking(report.alpha)
        self.stable = self.stable + 1 if ranking == self.ranking else 0
        self.ranking = ranking
        if self.stable < self.options.stable:
            return Decision()
        return Decision(
            True,
            report.epoch,
            "No edge has changed its ranking of the learnable operations for "
            f"{self.stable} epochs.",
        )

    def _ranking(self, alpha: dict[str, Table]) -> list[list[str]]:
        """Rank what a row may still take; a row that loses an operation has changed."""
        space = self.search.space
        found = []
        for name, table in alpha.items():
            if space.columns(name) != space.operations:
                continue
            allowed = space.allowed(name)
            for row, entries in enumerate(table):
                ranked = sorted(
                    (
                        (-entry, operation)
                        for place, (entry, operation) in enumerate(
                            zip(entries, space.operations, strict=True)
                        )
                        if operation not in space.parameter_free
                        and (allowed is None or bool(allowed[row, place]))
                    ),
                )
                found.append([operation for _, operation in ranked])
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"ranking": self.ranking, "stable": self.stable}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ranking, self.stable = state["ranking"], state["stable"]
