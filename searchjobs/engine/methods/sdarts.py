"""SmoothDARTS: the weights learn to bear that the edge weights are not quite those.

X. Chen, C. Hsieh, Stabilizing Differentiable Architecture Search via Perturbation-based
Regularization, ICML 2020: the bilevel problems of SDARTS-RS (random smoothing) and
SDARTS-ADV (adversarial training), and Algorithm 1.

Only the weight step differs from first-order DARTS: it descends L_train(w, p~) where

* random: p~ = p + delta, delta uniform in [-epsilon, epsilon];
* adversarial: p~ maximises L_train(w, .) in the same box, by projected ascent along the
  sign of the gradient (PGD) from a random start.

p is softmax(alpha); rows of p~ stay on the simplex.  epsilon grows with the epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import (
    Batch,
    Level,
    Search,
    SetName,
    StepResult,
    Tables,
    allowed_only,
    methods,
)
from ..events import MethodReport
from ..graphs import half_step
from ..problems import Problem
from ..registry import Options as AnyOptions
from ..registry import setting
from ._alternating import Alternating

if TYPE_CHECKING:
    from ..spec import SearchSpec


class SdartsOptions(AnyOptions):
    name: Literal["sdarts"] = "sdarts"
    perturbation: Literal["random", "adversarial"] = setting(
        "random",
        "Perturbation",
        "random (SDARTS-RS) costs nothing; adversarial (SDARTS-ADV) makes a weight "
        "step about nine times as long.",
        advanced=False,
        labels={
            "random": "random (SDARTS-RS)",
            "adversarial": "adversarial (SDARTS-ADV)",
        },
    )
    epsilon: float = setting(
        0.3,
        "Final size of the perturbation",
        "Largest change of an edge weight at the end of the search.",
        ge=0,
        le=1,
    )
    epsilon_start: float = setting(
        0.03,
        "First size of the perturbation",
        "Largest change of an edge weight in the first epoch; it grows evenly.",
        ge=0,
        le=1,
    )
    attack_steps: int = setting(
        7,
        "Steps of the attack",
        "Ascent steps of an adversarial perturbation, each 2 epsilon over their "
        "number long.",
        unit="steps",
        ge=1,
        le=100,
    )


@methods.register
class Sdarts(Alternating):
    name = "sdarts"
    label = "SDARTS"
    summary = (
        "First-order DARTS whose weights are trained under perturbed edge weights, at "
        "random or by an attack, which smooths the loss in alpha."
    )
    source = "Chen, Hsieh, SmoothDARTS, ICML 2020, SDARTS-RS, -ADV and Algorithm 1."
    family = "Gradient of alpha, held against collapse"
    Options = SdartsOptions
    curves = {
        "epsilon": "largest perturbation of a strength while the weights are trained",
    }
    options: SdartsOptions
    defaults = {"training": {"recipe": "smooth"}}

    @classmethod
    def step_cost(cls, options: SdartsOptions) -> Mapping[Level, float]:
        """An attack is a forward and backward a step, and a forward at either end."""
        attack = 3.0 * options.attack_steps + 2.0
        adversarial = options.perturbation == "adversarial"
        return {"weights": 3.0 + attack * adversarial, "architecture": 3.0}

    @classmethod
    def problems(cls, spec: SearchSpec, sizes: Mapping[SetName, int]) -> list[Problem]:
        first, last = spec.method.epsilon_start, spec.method.epsilon
        if first <= last:
            return []
        return [
            Problem(
                "method.epsilon_start",
                f"The perturbation would shrink from {first:g} to {last:g}; it is to "
                "grow with the epochs, so lower its first size or raise the final one.",
            )
        ]

    def __init__(self, options: AnyOptions, search: Search) -> None:
        self.epsilon = 0.0
        super().__init__(options, search)

    def build(self) -> None:
        super().build()
        #: p~ of the present weight step; leaves, so that the attack can ask for their
        #: gradient, and always the same tensors
        self.perturbed = {
            name: table.detach().clone().requires_grad_()
            for name, table in self.relaxation(self.tables).items()
        }
        leaves = list(self.perturbed.values())
        self.attack_half = half_step(self._perturbed_loss, leaves, self.search)
        self.judge_half = half_step(self._perturbed_loss, [], self.search)

    def start_epoch(self, epoch: int) -> bool:
        epochs = self.search.spec.training.epochs
        self.epsilon = perturbation_size(self.options, epoch, epochs)
        return super().start_epoch(epoch)

    def weight_mixture(self) -> Tables:
        """p~ in the place of p."""
        return self.perturbed

    def weight_step(self, batch: Batch) -> StepResult:
        self.perturb(batch)
        return super().weight_step(batch)

    @torch.no_grad()
    def perturb(self, batch: Batch) -> None:
        """Put p~ of a batch into ``perturbed``; alpha stays as it is."""
        exact = self.relaxation(self.tables)
        if self.options.perturbation == "adversarial":
            self.search.supernet.eval()
            self._attack(batch, exact)
            self.search.supernet.train()
        else:
            self._set(self._start(exact))

    def _attack(self, batch: Batch, exact: Tables) -> None:
        """Maximise the loss of a batch in the box around p, or leave p as it is where
        the loss has not grown; decided on the device."""
        size = 2 * self.epsilon / self.options.attack_steps
        self._set(exact)
        before = self.judge_half(batch)[0].loss
        self._set(self._start(exact))
        for _ in range(self.options.attack_steps):
            _, slopes = self.attack_half(batch)
            reached = zip(exact, self.perturbed.values(), slopes, strict=True)
            self._set(
                {
                    name: self._onto_simplex(
                        name, step_in_box(now, slope, exact[name], size, self.epsilon)
                    )
                    for name, now, slope in reached
                }
            )
        worse = self.judge_half(batch)[0].loss > before
        self._set(
            {
                name: torch.where(worse, found, exact[name])
                for name, found in self.perturbed.items()
            }
        )

    def _start(self, exact: Tables) -> Tables:
        """Return p moved at random, the same way in every process."""
        generator = self.search.streams.on_device("perturbation")
        moved = {}
        for name, table in exact.items():
            drawn = torch.empty_like(table).uniform_(generator=generator)
            noise = self.epsilon * (2 * drawn - 1)
            moved[name] = self._onto_simplex(name, table + noise)
        return moved

    def _onto_simplex(self, name: str, table: Tensor) -> Tensor:
        allowed = self.search.space.allowed(name, table.device)
        return onto_simplex(allowed_only(table, allowed))

    def _set(self, tables: Tables) -> None:
        for name, table in tables.items():
            self.perturbed[name].copy_(table)

    def _perturbed_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.forward(batch.images, self.perturbed)
        return cross_entropy(logits, batch.labels), logits

    def report(self) -> MethodReport:
        return MethodReport(scalars={"epsilon": self.epsilon})


def perturbation_size(options: SdartsOptions, epoch: int, epochs: int) -> float:
    """Return epsilon in the 1-based ``epoch`` of a search of ``epochs``: the final size
    is that of an epoch after the last."""
    first, last = options.epsilon_start, options.epsilon
    return first + (last - first) * (epoch - 1) / epochs


def step_in_box(
    now: Tensor, slope: Tensor | None, centre: Tensor, size: float, epsilon: float
) -> Tensor:
    """Go a step of ``size`` up the sign of the slope, and back to within ``epsilon`` of
    the centre, entry by entry; tables (R, O)."""
    step = now if slope is None else now + size * slope.sign()
    return centre + (step - centre).clamp(-epsilon, epsilon)


def onto_simplex(table: Tensor) -> Tensor:
    """Return a table (R, O) with entries in [0, 1] and rows that sum to 1: clamped,
    then divided by the sum.  A row of which nothing is left gets 1 at what was its
    greatest entry."""
    kept = table.clamp(0, 1)
    total = kept.sum(-1, keepdim=True)
    greatest = torch.zeros_like(table).scatter_(-1, table.argmax(-1, keepdim=True), 1.0)
    return torch.where(total > 0, kept / total.clamp_min(1e-12), greatest)
