"""SNAS: edge weights are soft draws from a distribution that is trained.

S. Xie, H. Zheng, C. Liu, L. Lin, SNAS: Stochastic Neural Architecture Search, ICLR
2019.  The expected loss, the concrete distribution and its gradient, and section 2.4
(resource constraint).

An edge draws Gumbel noise g once a batch, for all cells, and mixes its operations by
softmax((alpha + g) / t), which turns one-hot as the temperature t falls.  Weights and
alpha descend the same loss of the same batch.

``bilevel`` is what tables of NAS-Bench-201 call SNAS: the baseline in the code of DrNAS
(X. Chen et al., ICLR 2021), alpha on V and a temperature that falls from 10 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from ..contracts import (
    Batch,
    DataStreams,
    Search,
    SetName,
    Space,
    Tables,
    allowed_only,
    methods,
    spaces,
)
from ..events import MethodReport
from ..optimisation import linear
from ..problems import Problem, refuse
from ..registry import Options as AnyOptions
from ..registry import setting
from ..sampling import gumbel
from ._alternating import Alternating
from ._single_level import SingleLevel

if TYPE_CHECKING:
    from ..spec import SearchSpec

TEMPERATURES = {"single": (1.0, 0.03), "bilevel": (10.0, 1.0)}


class SnasOptions(AnyOptions):
    name: Literal["snas"] = "snas"
    level: Literal["single", "bilevel"] = setting(
        "single",
        "Levels",
        "single: weights and alpha are updated together on all training images, as in "
        "the paper; bilevel: alpha on V, as in the code of DrNAS, whose figures tables "
        "of NAS-Bench-201 quote.",
        advanced=False,
        labels={"single": "single level", "bilevel": "bilevel"},
    )
    temperature: float | None = setting(
        None,
        "First temperature",
        "Of the softmax in the first epoch; it falls evenly to the last. Empty: 1 for "
        "the single level, 10 for bilevel.",
        gt=0,
        le=1000,
    )
    temperature_end: float | None = setting(
        None,
        "Last temperature",
        "In the last epoch. Empty: 0.03 for the single level, 1 for bilevel.",
        gt=0,
        le=1000,
    )
    resource_weight: float = setting(
        0.0,
        "Resource loss",
        "Weight of the logarithm of the expected multiply-adds of the operations, "
        "added to the loss of alpha; the paper takes about 1.5e-3, 0 switches it off.",
        ge=0,
        le=100,
    )

    @property
    def temperatures(self) -> tuple[float, float]:
        """First and last temperature."""
        first, last = TEMPERATURES[self.level]
        return (
            first if self.temperature is None else self.temperature,
            last if self.temperature_end is None else self.temperature_end,
        )

    @model_validator(mode="after")
    def _temperature_falls(self) -> SnasOptions:
        first, last = self.temperatures
        if last > first:
            sentence = (
                f"Last temperature ({last:g}) is above the first ({first:g}): the "
                "draws would grow softer again. Lower it."
            )
            refuse([Problem("temperature_end", sentence)])
        return self


@methods.register
class Snas(SingleLevel):
    name = "snas"
    label = "SNAS"
    family = "Sampled paths"
    summary = (
        "Mixes the operations by soft Gumbel draws that turn one-hot; weights and "
        "alpha descend one loss."
    )
    source = "Xie et al., SNAS, ICLR 2019: concrete distribution; section 2.4."
    Options = SnasOptions
    curves = {
        "temperature": "of the Gumbel softmax: the lower, the nearer to one operation",
        "expected megaflops": "of the cell under this alpha, millions of multiply-adds",
    }
    options: SnasOptions
    defaults = {"training": {"recipe": "smooth", "epochs": 150}}

    def __init__(self, options: AnyOptions, search: Search) -> None:
        super().__init__(options, search)
        self.temperature = self.options.temperatures[0]
        self.costs: Tables = {}
        if self.options.resource_weight:
            self.costs = {
                name: table.to(self.tables[name])
                for name, table in operation_costs(search.space).items()
            }

    @classmethod
    def streams(cls, options: Any) -> DataStreams:
        return "single" if options.level == "single" else "split"

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        space = spaces.get(spec.space.name)(spec.space)
        if not spec.method.resource_weight or _costs_anything(space):
            return []
        return [
            Problem(
                "method.resource_weight",
                "The resource loss weighs multiply-adds, and no operation that this "
                "search space offers has any; set it to 0 or offer a convolution.",
            )
        ]

    def initial_tables(self) -> dict[str, Tensor]:
        if self.options.level == "single":
            return super().initial_tables()
        return Alternating.initial_tables(self)

    def start_epoch(self, epoch: int) -> bool:
        first, last = self.options.temperatures
        self.temperature = linear(epoch, self.search.spec.training.epochs, first, last)
        return super().start_epoch(epoch)

    def edge_weights(self) -> Tables:
        """The soft draw: softmax((log p + g) / t), drawn anew."""
        weights = {}
        for name, table in self.tables.items():
            noise = gumbel(table.shape, self.search.streams["gumbel"]).to(table)
            allowed = self.search.space.allowed(name, table.device)
            noisy = allowed_only(table, allowed).log_softmax(-1) + noise
            weights[name] = (noisy / self.temperature).softmax(-1)
        return weights

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a draw's loss, with the resources of section 2.4, and logits."""
        loss, logits = super().alpha_loss(batch)
        if self.costs:
            loss = loss + self.options.resource_weight * self.expected_cost().log()
        return loss, logits

    def expected_cost(self) -> Tensor:
        """Return E[C(Z)], the multiply-adds of the operations in the mean."""
        shares = self.relaxation(self.tables)
        parts = [(shares[name] * costs).sum() for name, costs in self.costs.items()]
        return torch.stack(parts).sum()

    def report(self) -> MethodReport:
        scalars = {"temperature": self.temperature}
        if self.costs:
            scalars["expected megaflops"] = self.expected_cost().item() / 1e6
        return MethodReport(scalars=scalars)


def _costs_anything(space: Space) -> bool:
    """Say whether some row may take an operation that costs more than another."""
    costs = operation_costs(space).items()
    return any(bool((table[space.mask(name)] > 0).any()) for name, table in costs)


def operation_costs(space: Space) -> Tables:
    """Return, per table (R, O), the multiply-adds that an operation costs above the
    cheapest one of its row: those of the CIFAR-10 evaluation network."""
    base = {
        name: [space.columns(name)[0]] * len(rows)
        for name, rows in space.tables.items()
    }

    def cost_of(name: str, row: int, operation: str) -> float:
        changed = base | {name: [*base[name][:row], operation, *base[name][row + 1 :]]}
        return float(space.describe(space.encode(changed))["flops"])

    tables = {}
    for name, rows in space.tables.items():
        found = [
            [cost_of(name, row, operation) for operation in space.columns(name)]
            for row in range(len(rows))
        ]
        costs = torch.tensor(found, dtype=torch.float64)
        tables[name] = costs - costs.min(-1, keepdim=True).values
    return tables
