"""iDARTS: alpha descends the loss of trained weights, by the implicit function theorem.

M. Zhang, S. Su, S. Pan, X. Chang, E. Abbasnejad, R. Haffari, iDARTS: Differentiable
Architecture Search with Stochastic Implicit Gradients, ICML 2021: the
truncated Neumann series.

After T weight steps w is taken for the minimiser of L_train(., alpha), and the gradient
of L_val by way of w needs the inverse of the Hessian H of L_train in w.  The Neumann
series, cut off after K terms beyond the first, and one batch of T stand for it:

    v_0 = grad_w L_val,  v_{k+1} = v_k - gamma H v_k,  u = v_0 + ... + v_K,
    gradient = grad_alpha L_val - gamma (d2 L_train / d alpha d w) u.

H v and the last product are exact: one graph of grad_w L_train on that batch is
differentiated again, K + 1 times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..contracts import Batch, Level, methods
from ..curvature import Curvature
from ..registry import Options, setting
from ._hypergradient import Gradients, Hypergradient


class IdartsOptions(Options):
    name: Literal["idarts"] = "idarts"
    terms: int = setting(
        2,
        "Terms of the Neumann series",
        "K, Hessian products of an architecture step; more come closer to the inverse "
        "and cost one double backward each.",
        unit="terms",
        ge=0,
        le=100,
    )
    gamma: float | None = setting(
        None,
        "Step of the Neumann series",
        "gamma; the series converges if it is below 2 over the largest eigenvalue of "
        "the Hessian. Empty: the present weight learning rate, scaled as that of the "
        "weights is: K terms are then K + 1 weight steps unrolled.",
        gt=0,
        le=10,
    )


@methods.register
class Idarts(Hypergradient):
    name = "idarts"
    label = "iDARTS"
    summary = (
        "Alpha descends the validation loss of trained weights by an implicit "
        "gradient; several weight steps for each architecture step."
    )
    source = "Zhang et al., iDARTS, ICML 2021: truncated Neumann series."
    family = "Gradient of alpha"
    Options = IdartsOptions
    options: IdartsOptions
    defaults = {"training": {"recipe": "adl", "alpha_every": 4, "weight_lr": 0.01}}

    @classmethod
    def step_cost(cls, options: IdartsOptions) -> Mapping[Level, float]:
        """L_val, the graph of the gradient of L_train, and K + 1 backwards through that
        graph, each twice the forward and backward that it is made of."""
        return {"weights": 3.0, "architecture": 6.0 + 6.0 * (options.terms + 1)}

    def by_weights(self, train: Batch, slopes: Gradients) -> list[Tensor]:
        """Return gamma times the second derivative of L_train by alpha and w, times the
        truncated series."""
        weights = self.weights.parameters
        gamma = self.options.gamma or self.weights.learning_rate
        inner = Curvature(self.alpha_loss, weights, self.search, train)
        first = [
            torch.zeros_like(weight) if slope is None else slope
            for weight, slope in zip(weights, slopes, strict=True)
        ]
        series = neumann_sum(
            first, lambda v: inner.times(v, weights), gamma, self.options.terms
        )
        return [gamma * part for part in inner.times(series, self.alpha_leaves())]


def neumann_sum(
    first: Sequence[Tensor],
    hessian_times: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    gamma: float,
    terms: int,
) -> list[Tensor]:
    """Return the sum over k = 0 ... ``terms`` of (1 - gamma H)^k times ``first``.

    gamma times it tends to the inverse of H times ``first`` as terms are added, if
    every eigenvalue of gamma H lies between 0 and 2.
    """
    term, total = list(first), list(first)
    for _ in range(terms):
        term = [
            v - gamma * product
            for v, product in zip(term, hessian_times(term), strict=True)
        ]
        total = [whole + v for whole, v in zip(total, term, strict=True)]
    return total
