"""Selective stop (SS): roll back to the epoch at which an operation is strongest.

J. Zhang, Z. Ding, Delve into the Performance Degradation of Differentiable
Architecture Search, CIKM 2021, section 2.4: Eq. 11 (magnitude), Eq. 12 and 13
(criteria, see ``peaks``), Algorithm 1 (online) and Algorithm 2 (offline).

Algorithm 1 stops "when the criterion is met"; the paper does not say how a peak is
known before the search is over.  Here it is met once the running peak has stood for a
number of epochs (``patience``).  Algorithm 2 lets the search run and names the peak at
its last epoch.  A peak at the first epoch that counts or at the last is none: the rule
says so, and the architecture of the last epoch stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .. import peaks
from ..contracts import Decision, Search, StoppingOptions, StoppingRule, stopping_rules
from ..problems import Problem
from ..registry import setting
from ..watching import counts, held_alpha, min_epoch_setting

if TYPE_CHECKING:
    from ..events import EpochFinished
    from ..spec import SearchSpec


class SelectiveStopOptions(StoppingOptions):
    name: Literal["selective-stop"] = "selective-stop"
    operation: str = setting(
        "nor_conv_3x3",
        "Operation",
        "Stop where this operation is strongest. The paper takes the 3x3 convolution, "
        "and the 1x1 convolution with GAEA-ERM.",
        advanced=False,
        names="operations",
    )
    algorithm: Literal["offline", "online"] = setting(
        "offline",
        "Algorithm",
        "offline (Algorithm 2, the paper's results): search all epochs, then go back "
        "to the peak; online (Algorithm 1): stop once the peak has stood for as many "
        "epochs as the patience says.",
        labels={"offline": "offline (Algorithm 2)", "online": "online (Algorithm 1)"},
    )
    criterion: peaks.Criterion = peaks.criterion_setting()
    exclude_none_from_residual: bool = peaks.exclude_none_setting()
    patience: int = setting(
        5,
        "Patience",
        "Online only: epochs that must not exceed the peak before the search stops.",
        unit="epochs",
        ge=1,
    )
    min_epoch: int = min_epoch_setting()


@stopping_rules.register
class SelectiveStop(StoppingRule):
    name = "selective-stop"
    label = "Selective stop (SS)"
    summary = "Goes back to the epoch at which the mean strength of an operation peaks."
    source = "Zhang and Ding, CIKM 2021 (EX-/SS-DARTS), Eq. 11 to 13, Algorithms 1, 2."
    Options = SelectiveStopOptions

    def __init__(self, options: Any, search: Search) -> None:
        super().__init__(options, search)
        self.series: list[tuple[int, float]] = []

    @property
    def title(self) -> str:
        how = ", online" if self.options.algorithm == "online" else ""
        return f"SS {self.options.operation}{how}"

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        what = "Selective stop"
        if found := held_alpha(spec, what):
            return found
        return peaks.problems(options.operation, options.min_epoch, spec, what)

    def observe(self, report: EpochFinished) -> Decision:
        options = self.options
        if not counts(options.min_epoch, self.search.spec, report.epoch):
            return Decision()
        now = peaks.value(
            report.magnitudes,
            options.operation,
            options.criterion,
            exclude_none=options.exclude_none_from_residual,
        )
        self.series.append((report.epoch, now))
        found = peaks.peak(self.series)
        stood = sum(epoch > found.epoch for epoch, _ in self.series)
        if options.algorithm == "online":
            if found.inner and stood >= options.patience:
                reason = f"{self._named(found)} and has not been exceeded for {stood}."
                return Decision(True, found.epoch, reason)
            if report.epoch == report.epochs and found.inner:
                return Decision(
                    reason=f"Found nothing: {self._named(found)}, too late to stand "
                    f"for {options.patience} epochs."
                )
        if report.epoch < report.epochs:
            return Decision()
        if not found.inner:
            return Decision(reason=peaks.found_nothing(found, options.operation))
        return Decision(epoch=found.epoch, reason=f"{self._named(found)}.")

    def cut_short(self, report: EpochFinished) -> str:
        if self.options.algorithm == "online":
            return ""
        return (
            f"Found nothing: another rule stopped the search at epoch {report.epoch} "
            f"of {report.epochs}, and the offline algorithm names a peak only after "
            "all of them; let the other rule only watch."
        )

    def _named(self, found: peaks.Peak) -> str:
        equation = peaks.EQUATIONS[self.options.criterion]
        return (
            f"{equation} of {self.options.operation} peaks at epoch {found.epoch} "
            f"with {found.value:.4f}"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"series": self.series}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.series = [(epoch, value) for epoch, value in state["series"]]
