"""DARTS+ ``sc_k``: stop once the cell holds k skip connections.

H. Liang, S. Zhang, J. Sun et al., DARTS+: Improved Differentiable Architecture Search
with Early Stopping, arXiv 1909.06035, criterion 1 (two or more skip connections in
one normal cell); J. Zhang, Z. Ding, CIKM 2021 (EX-/SS-DARTS), section 3 and Table 3,
compare k = 2, 3, 4 on NAS-Bench-201.

After every epoch the cell is read off by arg max; the first that holds k skip
connections ends the search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..contracts import (
    Decision,
    Search,
    StoppingOptions,
    StoppingRule,
    methods,
    stopping_rules,
)
from ..diagnostics.tables import SKIP
from ..problems import Problem
from ..registry import setting
from ..watching import (
    counted,
    counts,
    ending,
    first_epoch,
    held_alpha,
    min_epoch_setting,
    offered,
    space_of,
)

if TYPE_CHECKING:
    from ..events import EpochFinished
    from ..spec import SearchSpec


class DartsPlusSkipsOptions(StoppingOptions):
    name: Literal["darts-plus-skips"] = "darts-plus-skips"
    skips: int = setting(
        2,
        "Skip connections k",
        "Stop at the first epoch whose cell holds so many; of a space with two kinds "
        "of cell, the normal one. The papers try 2, 3 and 4.",
        unit="edges",
        advanced=False,
        ge=1,
    )
    min_epoch: int = min_epoch_setting()
    take: Literal["this", "before"] = setting(
        "this",
        "Cell to take",
        "this: that of the epoch that fires; before: that of the last epoch that held "
        "fewer.",
        labels={"this": "of this epoch", "before": "of the epoch before"},
    )


@stopping_rules.register
class DartsPlusSkips(StoppingRule):
    name = "darts-plus-skips"
    label = "DARTS+, number of skip connections (sc_k)"
    summary = "Stops at the first epoch whose cell holds k skip connections."
    source = (
        "Liang et al., DARTS+, arXiv 1909.06035 (2019), criterion 1; Zhang and Ding, "
        "CIKM 2021, Table 3."
    )
    Options = DartsPlusSkipsOptions

    def __init__(self, options: Any, search: Search) -> None:
        super().__init__(options, search)
        self.before: int | None = None
        """The last epoch that counted and held fewer."""

    @property
    def title(self) -> str:
        before = ", before" if self.options.take == "before" else ""
        return f"sc_{self.options.skips}{before}"

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        space = space_of(spec)
        rows = len(_first(space.tables))
        if held := held_alpha(spec, f"sc_{options.skips}"):
            return held
        found = []
        if SKIP not in offered(space):
            found.append(
                Problem(
                    "",
                    "sc_k counts skip connections, and no edge of this search space "
                    "may take one; choose another stopping rule.",
                )
            )
        method = methods.get(spec.method.name)
        most = method.most_identities(spec.method)
        if most is not None and most < options.skips <= rows:
            remedy = f"take {most} or fewer" if most else "remove the rule"
            found.append(
                Problem(
                    "skips",
                    f"{method.label} lets a cell hold {most} skip connections at most, "
                    f"so sc_{options.skips} would never fire; {remedy}.",
                )
            )
        elif options.skips > rows:
            found.append(
                Problem(
                    "skips",
                    f"A cell has {rows} edges, so it never holds {options.skips} skip "
                    f"connections; take {rows} or fewer.",
                )
            )
        first = first_epoch(options.min_epoch, spec)
        if not counted(options.min_epoch, spec):
            found.append(
                Problem(
                    "min_epoch",
                    f"sc_{options.skips} counts from epoch {first} and {ending(spec)}, "
                    "so it would never fire; search longer or lower its first epoch.",
                )
            )
        return found

    def observe(self, report: EpochFinished) -> Decision:
        if not counts(self.options.min_epoch, self.search.spec, report.epoch):
            return Decision()
        cell = _first(self.search.space.decode(report.genotype))
        skips = cell.count(SKIP)
        if skips < self.options.skips:
            self.before = report.epoch
            return Decision()
        reason = f"The cell of epoch {report.epoch} holds {skips} skip connections."
        if self.options.take == "this":
            return Decision(True, report.epoch, reason)
        if self.before is None:
            return Decision(
                True,
                report.epoch,
                f"{reason} No epoch that counts held fewer, so this one is taken.",
            )
        return Decision(True, self.before, reason)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before = state["before"]


def _first(tables: Any) -> tuple[str, ...]:
    """Return what belongs to the first table of a space, that of its normal cell."""
    return tuple(next(iter(tables.values())))
