"""DARTS, second order: alpha descends the loss that w will have after its next step.

H. Liu, K. Simonyan, Y. Yang, DARTS: Differentiable Architecture Search, ICLR 2019.
The one-step approximation: one unrolled step, its gradient, and the product of Hessian
and vector by a finite difference.

1. w' = w - xi (mu v + grad_w L_train(w, alpha) + lambda w), with the momentum v that
   the optimiser of the weights holds: the step that it would take, without Nesterov's
   look-ahead and without the clip;
2. grad_alpha L_val(w', alpha) and d = grad_w' L_val(w', alpha), in one backward;
3. w+ and w- = w +- R d, with R = epsilon / |d| over all weights;
4. gradient = grad_alpha L_val(w', alpha)
   - xi (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / 2R.

Weights and batch-norm statistics are afterwards the same bits as before.

The difference counts every ReLU that switches between w- and w+, and in a supernet
that has hardly been trained those are most of it; ``product: exact`` takes the product
in 3 and 4 by a second backward instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..contracts import Batch, Level, StepResult, methods
from ..curvature import Curvature
from ..registry import Options, setting
from ._hypergradient import Gradients, Hypergradient


class Darts2ndOptions(Options):
    name: Literal["darts-2nd"] = "darts-2nd"
    product: Literal["difference", "exact"] = setting(
        "difference",
        "Product of Hessian and vector",
        "difference: as in the paper, from the gradients at weights moved to both "
        "sides, which is far off in the first epochs; exact: by a second backward, a "
        "quarter dearer.",
        labels={
            "difference": "central difference",
            "exact": "exact, second backward",
        },
    )
    epsilon: float = setting(
        0.01,
        "Length of the finite difference",
        "The weights are moved this far along the gradient, to both sides.",
        gt=0,
        le=1,
    )


@methods.register
class Darts2nd(Hypergradient):
    name = "darts-2nd"
    label = "DARTS, second order"
    summary = (
        "Alpha descends the validation loss of weights that are one step ahead; an "
        "architecture step costs four times that of the first order."
    )
    source = "Liu, Simonyan, Yang, DARTS, ICLR 2019: the one-step approximation."
    family = "Gradient of alpha"
    Options = Darts2ndOptions
    options: Darts2ndOptions
    defaults = {"training": {"recipe": "adl", "order": "architecture-first"}}

    @classmethod
    def step_cost(cls, options: Darts2ndOptions) -> Mapping[Level, float]:
        """Forward and backward of the step ahead, of L_val, and at w+ and w-; or of
        the gradient and, twice as long, of what is behind it."""
        exact = options.product == "exact"
        return {"weights": 3.0, "architecture": 15.0 if exact else 12.0}

    def outer(self, valid: Batch, train: Batch) -> tuple[StepResult, Gradients]:
        """Return the gradients of L_val at w'; w is back afterwards."""
        weights = self.weights.parameters
        before = [weight.detach().clone() for weight in weights]
        _, slopes = self.weight_half(train)
        self._look_ahead(slopes, self.weights.learning_rate)
        found = super().outer(valid, train)
        restore(weights, before)
        return found

    def by_weights(self, train: Batch, slopes: Gradients) -> list[Tensor]:
        """Return xi times the second derivative of L_train by alpha and w, times d
        (the second term of the gradient)."""
        weights = self.weights.parameters
        if self.options.product == "exact":
            curvature = Curvature(self.alpha_loss, weights, self.search, train)
            mixed = curvature.times(slopes, self.alpha_leaves())
        else:
            mixed = mixed_product(
                lambda: self.alpha_half(train)[1], weights, slopes, self.options.epsilon
            )
        return [self.weights.learning_rate * part for part in mixed]

    @torch.no_grad()
    def _look_ahead(self, slopes: Gradients, rate: float) -> None:
        """The unrolled step: put w' in the place of w."""
        training = self.search.spec.training
        state: Mapping[Tensor, Any] = self.weights.optimiser.state
        for weight, slope in zip(self.weights.parameters, slopes, strict=True):
            if slope is None:  # of no operation that ran: the optimiser leaves it
                continue
            velocity = state.get(weight, {}).get("momentum_buffer")
            weight.copy_(
                step_ahead(
                    weight,
                    slope,
                    velocity,
                    rate,
                    training.momentum,
                    training.weight_decay,
                )
            )


def step_ahead(
    weight: Tensor,
    slope: Tensor,
    velocity: Tensor | None,
    rate: float,
    momentum: float,
    decay: float,
) -> Tensor:
    """Return w - rate (momentum velocity + slope + decay w); any shape, alike."""
    change = slope + decay * weight
    if velocity is not None:
        change = change + momentum * velocity
    return weight - rate * change


@torch.no_grad()
def mixed_product(
    gradient: Callable[[], Gradients],
    weights: Sequence[Tensor],
    direction: Gradients,
    epsilon: float,
) -> list[Tensor]:
    """Return the second derivative by alpha and w, times a direction in w.

    A central difference: (g(w + R d) - g(w - R d)) / 2R with R = epsilon / |d|.

    Args:
        gradient: the gradient by alpha at the weights as they stand.
        weights: moved in place, and restored to the bit.
        direction: d, in the order and shapes of the weights; None for zero.
        epsilon: how far the weights are moved.
    """
    before = [weight.detach().clone() for weight in weights]
    squares = [(part.detach() ** 2).sum() for part in direction if part is not None]
    # of a direction of nothing the product is nothing, and not 0 / 0
    radius = epsilon / torch.stack(squares).sum().sqrt().clamp_min(1e-12)

    def at(distance: Tensor) -> list[Tensor]:
        for weight, origin, part in zip(weights, before, direction, strict=True):
            if part is not None:
                weight.copy_(origin + distance * part)
        with torch.enable_grad():
            found = gradient()
        # a replayed graph writes the next gradient over this one
        return [part.clone() for part in found if part is not None]

    above, below = at(radius), at(-radius)
    restore(weights, before)
    return [(up - down) / (2 * radius) for up, down in zip(above, below, strict=True)]


@torch.no_grad()
def restore(weights: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Put the former values back, in place."""
    for weight, value in zip(weights, before, strict=True):
        weight.copy_(value)
