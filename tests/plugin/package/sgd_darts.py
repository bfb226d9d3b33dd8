"""A search method of somebody else's package: DARTS whose alpha descends by plain SGD.

All that another method needs: a class, its options, and an entry point.
"""

from __future__ import annotations

from typing import Literal

import torch

from searchjobs.engine.events import MethodReport
from searchjobs.engine.methods._alternating import Alternating
from searchjobs.engine.registry import Options, setting


class SgdDartsOptions(Options):
    name: Literal["sgd-darts"] = "sgd-darts"
    alpha_momentum: float = setting(
        0.5,
        "Momentum of alpha",
        "Share of the last step of alpha that goes into the next.",
        advanced=False,
        ge=0,
        lt=1,
    )


class SgdDarts(Alternating):
    name = "sgd-darts"
    label = "DARTS with SGD for alpha"
    summary = "First-order DARTS whose alpha has no adaptive step."
    source = "An example of a package beside nasweb."
    family = "From other packages"
    strength_label = "softmax(alpha) under SGD"
    Options = SgdDartsOptions
    options: SgdDartsOptions
    defaults = {"training": {"epochs": 3, "alpha_lr": 0.05}}

    def new_alpha_optimiser(self) -> torch.optim.Optimizer:
        """Return SGD in the place of Adam."""
        return torch.optim.SGD(
            self.alpha_leaves(),
            lr=self.search.spec.training.alpha_lr,
            momentum=self.options.alpha_momentum,
        )

    def report(self) -> MethodReport:
        """Tell how far alpha is from where all operations are alike."""
        norm = max(float(table.norm()) for table in self.alpha().values())
        return MethodReport(scalars={"norm_of_alpha": norm})
