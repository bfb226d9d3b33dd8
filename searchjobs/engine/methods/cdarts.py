"""CDARTS: a search network and an evaluation network that teach each other.

H. Yu, H. Peng, Y. Huang, J. Fu, H. Du, L. Wang, H. Ling, Cyclic Differentiable
Architecture Search, TPAMI 2022: joint learning of the two networks.

Beside the supernet S stands a network E of the present arg max, with weights of its
own and the stem of S.  On V alpha and E descend

    CE(S) + CE(E) + T^2 * distance(logits of S, logits of E) + c * mean |alpha(none)|,

the distance a smooth L1; on T the weights of S descend their cross-entropy as ever.
The coefficient c falls to zero in the course of the search.

E holds weights for every operation and runs those of its cell, so that an operation
that comes back into the cell goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from ..batch import Level
from ..contracts import ActiveOperations, Batch, StepResult, Supernet, Tables, methods
from ..diagnostics.tables import genotype, on_cpu
from ..events import MethodReport
from ..graphs import half_step
from ..optimisation import WeightOptimiser, weight_rate_scale
from ..registry import Options as AnyOptions
from ..registry import setting
from ..shared_norm import share_norms
from ._alternating import Alternating


class CdartsOptions(AnyOptions):
    name: Literal["cdarts"] = "cdarts"
    distance_weight: float = setting(
        4.0,
        "Weight of the distance",
        "T squared: how much the logits of the two networks are drawn together; the "
        "authors' T is 2. 0 lets them learn apart.",
        ge=0,
        le=1000,
    )
    none_weight: float = setting(
        5.0,
        "Weight of none",
        "First coefficient of the mean of |alpha(none)| in the loss.",
        ge=0,
        le=1000,
    )
    none_share: float = setting(
        2 / 3,
        "End of that weight",
        "Share of the epochs that train alpha, after which the coefficient is zero.",
        unit="share",
        gt=0,
        le=1,
    )


def none_coefficient(
    options: CdartsOptions, epoch: int, epochs: int, warmup: int
) -> float:
    """Return c of the 1-based epoch: ``none_weight`` when alpha begins to learn, after
    ``warmup`` epochs, evenly down to zero."""
    done = max(epoch - 1 - warmup, 0) / ((epochs - warmup) * options.none_share)
    return options.none_weight * max(1 - done, 0.0)


@methods.register
class Cdarts(Alternating):
    """Alternating steps; that of alpha also trains the evaluation network.

    Attributes:
        evaluation: E, a supernet of which one cell runs; its stem is that of S.
        evaluated: the architecture of E, as the space's string.
        coefficient: c of the present epoch.
    """

    name = "cdarts"
    label = "CDARTS"
    summary = (
        "Trains a network of the present arg max beside the supernet, and draws the "
        "logits of the two together."
    )
    source = "Yu et al., CDARTS, TPAMI 2022: joint learning."
    family = "Gradient of alpha"
    Options = CdartsOptions
    curves = {
        "weight of none": "coefficient of the mean of |alpha(none)| in the loss",
    }
    options: CdartsOptions
    defaults = {
        "training": {
            "recipe": "smooth",
            "epochs": 50,
            "weight_lr": 0.08,
            "alpha_weight_decay": 0.0,
        }
    }

    evaluation: Supernet
    evaluated: str
    coefficient: float
    _chosen: Tables
    _runs: ActiveOperations
    _penalised: Tables

    @classmethod
    def step_cost(cls, options: Any) -> Mapping[Level, float]:
        """V goes forward and backward through both networks."""
        return {"weights": 3.0, "architecture": 6.0}

    # -- the evaluation network -------------------------------------------------------

    def build(self) -> None:
        search = self.search
        evaluation = search.space.supernet(
            search.classes, search.streams["evaluation network"]
        ).to(search.device, search.spec.compute.dtype)
        evaluation.stem = search.supernet.stem
        self.evaluation = evaluation
        if search.parallel.size > 1:
            share_norms(evaluation)
        super().build()
        self.evaluation_weights = WeightOptimiser(
            evaluation, search.spec.training, weight_rate_scale(search)
        )
        wanted = [*self.alpha_leaves(), *self.evaluation_weights.parameters]
        self.joint_half = half_step(self.alpha_loss, wanted, search)
        self._begin(1)

    def _evaluate(self, architecture: str) -> None:
        """Let E be an architecture."""
        search = self.search
        self.evaluated = architecture
        one_hot = search.space.discrete_weights(architecture)
        self._runs = {
            name: [row.nonzero().flatten().tolist() for row in table]
            for name, table in one_hot.items()
        }
        dtype = search.spec.compute.dtype
        self._chosen = {n: t.to(search.device, dtype) for n, t in one_hot.items()}

    def _begin(self, epoch: int) -> None:
        """Take the arg max and the coefficient of an epoch that begins."""
        space, training = self.search.space, self.search.spec.training
        strengths = on_cpu(self.strengths())
        self._evaluate(genotype(space, strengths, prefer=self.preferences))
        self.coefficient = none_coefficient(
            self.options, epoch, training.epochs, training.warmup_epochs
        )
        self._penalised = {}
        for name, table in self.tables.items():
            silent = torch.tensor([o in space.silent for o in space.columns(name)])
            entries = (space.mask(name) & silent).to(table)
            self._penalised[name] = entries / entries.sum().clamp_min(1)

    def start_epoch(self, epoch: int) -> bool:
        new = super().start_epoch(epoch)
        self.evaluation_weights.start_epoch(epoch)
        self._begin(epoch)
        return new

    # -- joint learning ---------------------------------------------------------------

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the joint loss, and the logits of S."""
        logits = self.forward(batch.images, self.edge_weights())
        evaluated = self.evaluation(batch.images, self._chosen, self._runs)
        loss = cross_entropy(logits, batch.labels)
        loss = loss + cross_entropy(evaluated, batch.labels)
        loss = loss + self.options.distance_weight * smooth_l1_loss(logits, evaluated)
        for name, table in self.tables.items():
            penalty = (table.abs() * self._penalised[name]).sum()
            loss = loss + self.coefficient * penalty
        return loss, logits

    def architecture_step(self, batch: Batch, train: Sequence[Batch]) -> StepResult:
        """Update alpha and E by one backward; the weights of S stand still."""
        result, gradients = self.joint_half(batch)
        of_alpha = len(self.alpha_leaves())
        self.update_alpha(gradients[:of_alpha])
        self.evaluation_weights.step(gradients[of_alpha:])
        return result

    def restart_weights(self, rate: float) -> None:
        super().restart_weights(rate)
        self.evaluation_weights.restart(rate)

    def report(self) -> MethodReport:
        return MethodReport(scalars={"weight of none": self.coefficient})

    # -- state ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "evaluation": self.evaluation.state_dict(),
            "evaluation_weights": self.evaluation_weights.state_dict(),
            "evaluated": self.evaluated,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.evaluation.load_state_dict(state["evaluation"])
        self.evaluation_weights.load_state_dict(state["evaluation_weights"])
        self._evaluate(state["evaluated"])
