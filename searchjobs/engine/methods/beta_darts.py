"""Beta-DARTS: alpha descends L_val and a regulariser that holds its values together.

P. Ye, B. Li, Y. Li, T. Chen, J. Fan, W. Ouyang, beta-DARTS: Beta-Decay Regularization
for Differentiable Architecture Search, CVPR 2022: the Beta-Decay loss (the logarithm
of the sum of the exponentials of alpha, whose gradient is the softmax), and its weight,
which rises linearly from zero.

The weights are trained as by first-order DARTS.  The architecture step descends

    L_val + lambda(e) / E * sum over edges of log sum over o of exp(alpha[e, o]),

whose second term has the gradient lambda(e) / E * softmax(alpha[e]).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..contracts import Batch, Search, Tables, allowed_only, methods
from ..events import MethodReport
from ..registry import Options as AnyOptions
from ..registry import setting
from ._alternating import Alternating


class BetaDartsOptions(AnyOptions):
    name: Literal["beta-darts"] = "beta-darts"
    slope: float = setting(
        0.5,
        "Slope of lambda",
        "By how much the weight of the regulariser rises each epoch, from 0 in the "
        "first; 0.5 is that of the published code, whatever the number of epochs.",
        ge=0,
        le=1000,
    )
    lambda_max: float | None = setting(
        None,
        "Final lambda",
        "What lambda rises to over the search, instead of a slope an epoch: 50 is "
        "where the slope of 0.5 leads in 100 epochs. Empty: the slope counts.",
        ge=0,
        le=100_000,
    )


@methods.register
class BetaDarts(Alternating):
    name = "beta-darts"
    label = "β-DARTS"
    summary = (
        "First-order DARTS with a decay on the softmax of alpha that grows by the "
        "epoch, so that no operation runs away."
    )
    source = "Ye et al., beta-DARTS, CVPR 2022, Beta-Decay loss and linear weight."
    family = "Gradient of alpha, held against collapse"
    Options = BetaDartsOptions
    curves = {
        "lambda": "weight of the beta-decay loss beside the loss of V",
    }
    options: BetaDartsOptions
    defaults = {"training": {"recipe": "smooth"}}
    capturable = True

    def __init__(self, options: AnyOptions, search: Search) -> None:
        #: lambda of the present epoch, a number on the device
        self.decay = torch.zeros(
            (), device=search.device, dtype=search.spec.compute.dtype
        )
        super().__init__(options, search)

    def start_epoch(self, epoch: int) -> bool:
        epochs = self.search.spec.training.epochs
        self.decay.fill_(decay_weight(self.options, epoch, epochs))
        return super().start_epoch(epoch)

    def alpha_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.forward(batch.images, self.edge_weights())
        loss = cross_entropy(logits, batch.labels)
        tables = {
            name: allowed_only(table, self.search.space.allowed(name, table.device))
            for name, table in self.tables.items()
        }
        return loss + self.decay * beta_loss(tables), logits

    def report(self) -> MethodReport:
        return MethodReport(scalars={"lambda": self.decay.item()})


def decay_weight(options: BetaDartsOptions, epoch: int, epochs: int) -> float:
    """Return lambda in the 1-based ``epoch`` of a search of ``epochs``: 0 at first."""
    if options.lambda_max is None:
        return options.slope * (epoch - 1)
    return options.lambda_max * (epoch - 1) / epochs


def beta_loss(tables: Tables) -> Tensor:
    """Return the mean over all rows of all tables (R, O) of the log of the sum of
    exponentials, a scalar; -inf stands for what a row may not take."""
    return torch.cat([table.logsumexp(-1) for table in tables.values()]).mean()
