"""No stopping rule: the search runs its epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..contracts import Decision, StoppingOptions, StoppingRule, stopping_rules

if TYPE_CHECKING:
    from ..events import EpochFinished


class NoneOptions(StoppingOptions):
    name: Literal["none"] = "none"


@stopping_rules.register
class NoStopping(StoppingRule):
    name = "none"
    label = "None"
    summary = "Runs all epochs."
    source = "Liu et al., DARTS, ICLR 2019."
    Options = NoneOptions

    def observe(self, report: EpochFinished) -> Decision:
        return Decision()
