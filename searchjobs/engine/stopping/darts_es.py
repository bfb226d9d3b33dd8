"""DARTS-ES: stop when the curvature of the validation loss in alpha jumps.

A. Zela, T. Elsken, T. Saikia et al., Understanding and Robustifying Differentiable
Architecture Search, ICLR 2020, section 4.3, with the authors' defaults; compared with
selective stop by J. Zhang, Z. Ding, CIKM 2021, section 3 and Table 3.

The dominant eigenvalue of the Hessian of L_val in alpha is read every f = 2 epochs and
averaged over the last w = 5 readings, fewer at the start but at least half of them.
An average at epoch e belongs to the middle of its window, epoch e - f floor(w / 2).
If the average that lies d = 4 readings back belongs to epoch s = 10 or later, and the
present one is more than 1.3 times as large, the search ends and goes back to the epoch
of the older average: e - f (floor(w / 2) + d), which is e - 12.  With the defaults the
first such e is 22.  As in the authors' code the last epoch is not judged.

The eigenvalue is the one that the site measures anyway (``diagnostics``), of the exact
symmetric Hessian on fixed samples of V.  The authors differentiate the gradient with
the weight decay of alpha in it, which adds this decay to every eigenvalue: an option.
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
from ..problems import Problem
from ..registry import setting
from ..watching import counts, first_epoch, held_alpha

if TYPE_CHECKING:
    from ..events import EpochFinished
    from ..spec import SearchSpec


class DartsEsOptions(StoppingOptions):
    name: Literal["darts-es"] = "darts-es"
    frequency: int = setting(
        2,
        "Read every",
        "Epochs between two readings of the eigenvalue. It must be measured then: "
        "'Eigenvalue every' under Diagnostics must divide this number.",
        unit="epochs",
        ge=1,
    )
    window: int = setting(
        5, "Window", "Readings in an average.", unit="readings", ge=1, le=100
    )
    delta: int = setting(
        4,
        "Distance",
        "How far back the average lies that the present one is compared with.",
        unit="readings",
        ge=1,
        le=100,
    )
    factor: float = setting(
        1.3,
        "Factor",
        "Stop when the average is more than so many times the older one.",
        advanced=False,
        gt=1,
    )
    start: int = setting(
        10,
        "First epoch to return to",
        "Counted from the end of the warm-up.",
        unit="epochs",
        ge=1,
    )
    add_weight_decay: bool = setting(
        False,
        "Add the decay of alpha",
        "Add alpha's weight decay to the eigenvalue, as the authors' code does.",
    )


@stopping_rules.register
class DartsEs(StoppingRule):
    name = "darts-es"
    label = "DARTS-ES, dominant eigenvalue"
    summary = (
        "Stops when the averaged dominant eigenvalue jumps, and goes back to the epoch "
        "before the jump."
    )
    source = "Zela et al., Understanding and Robustifying DARTS, ICLR 2020, 4.3."
    Options = DartsEsOptions

    def __init__(self, options: Any, search: Search) -> None:
        super().__init__(options, search)
        self.stage: int | None = None
        self.readings: list[float] = []
        self.averages: list[float] = []

    @property
    def title(self) -> str:
        return f"DARTS-ES {self.options.factor:g}"

    @classmethod
    def problems(cls, options: Any, spec: SearchSpec) -> list[Problem]:
        found = []
        method = methods.get(spec.method.name)
        if not getattr(method, "gradient_based", False):
            found.append(
                Problem(
                    "",
                    "DARTS-ES reads the Hessian of alpha, and alpha follows no "
                    f"gradient in {method.label}; choose another stopping rule.",
                )
            )
        if held := held_alpha(spec, "DARTS-ES"):
            return held
        every, frequency = spec.diagnostics.eigenvalue_every, options.frequency
        if every == 0 or frequency % every:
            measured = f"every {every} epochs" if every else "never"
            found.append(
                Problem(
                    "diagnostics.eigenvalue_every",
                    f"DARTS-ES reads the eigenvalue every {frequency} epochs, and it "
                    f"is measured {measured}; set 'Eigenvalue every' to {frequency}"
                    + (" or a divisor of it." if frequency > 1 else "."),
                )
            )
        earliest = _earliest(options, spec)
        if earliest >= spec.training.epochs:
            found.append(
                Problem(
                    "start",
                    f"DARTS-ES can fire at epoch {earliest} at the earliest and is not "
                    f"asked at the last, {spec.training.epochs}; search longer, or "
                    "take a smaller window, distance or first epoch.",
                )
            )
        return found

    def observe(self, report: EpochFinished) -> Decision:
        options = self.options
        if report.method.stage != self.stage:  # another supernet, another Hessian
            self.stage, self.readings, self.averages = report.method.stage, [], []
        if report.epoch % options.frequency or report.epoch == report.epochs:
            return Decision()
        spec = self.search.spec
        if report.eigenvalue is None or not counts(1, spec, report.epoch):
            return Decision()
        training = spec.training
        decay = training.alpha_weight_decay if options.add_weight_decay else 0.0
        self.readings.append(report.eigenvalue + decay)
        window = self.readings[-options.window :]
        if len(self.readings) < -(-options.window // 2):
            return Decision()
        self.averages.append(sum(window) / len(window))
        middle = report.epoch - options.frequency * (options.window // 2)
        back = middle - options.frequency * options.delta
        if len(self.averages) <= options.delta:
            return Decision()
        if not counts(options.start, spec, back):
            return Decision()
        now, before = self.averages[-1], self.averages[-1 - options.delta]
        # a ratio says something only about a growth that began above zero
        if before <= 0 or now <= options.factor * before:
            return Decision()
        return Decision(
            True,
            back,
            f"The averaged eigenvalue grew to {now / before:.2f} times its value "
            f"between epochs {back} and {middle}; {options.factor:g} is allowed.",
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "readings": self.readings,
            "averages": self.averages,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stage = state["stage"]
        self.readings, self.averages = list(state["readings"]), list(state["averages"])


def _earliest(options: Any, spec: SearchSpec) -> int:
    """Return the first epoch at which the rule may fire."""
    step = options.frequency
    reach = step * (options.window // 2 + options.delta)
    by_start = -(-(first_epoch(options.start, spec) + reach) // step)
    by_readings = -(-options.window // 2) + options.delta
    return int(step * max(by_start, by_readings))
