"""GDAS: one drawn operation an edge, hard in value and soft in gradient.

X. Dong, Y. Yang, Searching for a Robust Neural Architecture in Four GPU Hours,
CVPR 2019, section 3.2.  With g from Gumbel(0, 1), one draw a forward, for all cells:

    k = arg max_o (log p_o + g_o)              the operation that runs
    q = softmax((log p + g) / tau)             what its gradient is taken of
    h = onehot(k) + q - stopgrad(q)            its weight: 1 in value

and an edge brings h_k o_k(x).  The NAS-Bench-201 code adds the scalars h_o of all other
operations, which are 0 but have a gradient: see ``residual``.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import (
    ActiveOperations,
    EdgeTerms,
    Search,
    Tables,
    allowed_only,
    methods,
)
from ..events import MethodReport
from ..optimisation import linear
from ..problems import Problem, refuse
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import categorical, encoded, gumbel, running, straight_through
from ._alternating import Alternating


class GdasOptions(AnyOptions):
    name: Literal["gdas"] = "gdas"
    temperature: float = setting(
        10.0,
        "First temperature",
        "Of the Gumbel softmax in the first epoch; it falls evenly to the last.",
        gt=0,
        le=1000,
    )
    temperature_end: float = setting(
        0.1, "Last temperature", "In the last epoch.", gt=0, le=1000
    )
    scalar_residual: bool = setting(
        True,
        "Constant of what was not drawn",
        "Operations that were not drawn take a gradient as if their output were 1 "
        "everywhere, as in the NAS-Bench-201 code. Off: only the drawn operation of an "
        "edge gives alpha a gradient, as in the paper's equations.",
    )

    @model_validator(mode="after")
    def _temperature_falls(self) -> GdasOptions:
        if self.temperature_end > self.temperature:
            sentence = (
                f"Last temperature ({self.temperature_end:g}) is above the first "
                f"({self.temperature:g}): the draws would grow softer again. Lower it."
            )
            refuse([Problem("temperature_end", sentence)])
        return self


@methods.register
class Gdas(Alternating):
    name = "gdas"
    label = "GDAS"
    summary = (
        "Draws one operation an edge by the Gumbel-max trick and runs it alone; the "
        "temperature falls from 10 to 0.1."
    )
    source = "Dong, Yang, GDAS, CVPR 2019, section 3.2."
    family = "Sampled paths"
    Options = GdasOptions
    curves = {
        "temperature": "of the Gumbel softmax: the lower, the nearer to one operation",
    }
    options: GdasOptions
    defaults = {"training": {"epochs": 250}}
    sampled_paths = 10

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.temperature = self.options.temperature
        self.drawn: dict[str, Tensor] = {}

    @classmethod
    def why_eager(cls, options: Any) -> str:
        return "runs one operation an edge"

    def start_epoch(self, epoch: int) -> bool:
        first, last = self.options.temperature, self.options.temperature_end
        epochs = self.search.spec.training.epochs
        self.temperature = linear(epoch, epochs, first, last)
        return super().start_epoch(epoch)

    def edge_weights(self) -> Tables:
        """Return h, drawn anew."""
        hard = {}
        for name, table in self.tables.items():
            noise = gumbel(table.shape, self.search.streams["gumbel"]).to(table)
            allowed = self.search.space.allowed(name, table.device)
            noisy = allowed_only(table, allowed).log_softmax(-1) + noise
            self.drawn[name] = noisy.detach().argmax(-1)
            soft = (noisy / self.temperature).softmax(-1)
            hard[name] = straight_through(soft, self.drawn[name])
        return hard

    def active(self) -> ActiveOperations | None:
        """Return what was drawn last; the one place that waits for the device."""
        return running(self.drawn) if self.drawn else super().active()

    def forward(self, images: Tensor, edge_weights: Tables) -> Tensor:
        return self.search.supernet(
            images, edge_weights, self.active(), self.residual(edge_weights)
        )

    def residual(self, edge_weights: Tables) -> EdgeTerms | None:
        """Return the weights of what was not drawn, summed a row: 0 in value."""
        takes_gradient = any(h.requires_grad for h in edge_weights.values())
        if not (self.options.scalar_residual and takes_gradient):
            return None
        return EdgeTerms(
            constant={
                name: (h * (1 - h.detach())).sum(-1) for name, h in edge_weights.items()
            }
        )

    def sample(self, generator: torch.Generator) -> str:
        """Draw by softmax(alpha): so the weights meet architectures."""
        space = self.search.space
        return encoded(space, categorical(space, self.strengths(), generator))

    def report(self) -> MethodReport:
        return MethodReport(scalars={"temperature": self.temperature})
