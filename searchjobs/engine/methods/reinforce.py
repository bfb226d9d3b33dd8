"""REINFORCE on the benchmark table: a policy of independent rows.

R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist
Reinforcement Learning, Machine Learning 8, 1992; as NAS-Bench-201 and
NATS-Bench use it:

- policy: row e takes operation o with probability softmax(theta_e)_o, and theta begins
  as 1e-3 N(0, 1);
- reward r: the accuracy in per cent;
- baseline b: an exponential mean of the rewards, the present one in it, divided by
  1 - 0.9^k so that its start at 0 does not pull it down;
- loss: -(r - b) sum_e log softmax(theta_e)_{o_e}, of which the gradient is
  (r - b) (softmax(theta_e) - onehot(o_e)); one step of Adam.

The pick is the best architecture seen, not the policy's arg max.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from ..contracts import Query, Repeats, TableMethod, TableOptions, methods
from ..contracts.table import Choices, Floats, Mask
from ..registry import setting

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam, as PyTorch sets them."""


class ReinforceOptions(TableOptions):
    name: Literal["reinforce"] = "reinforce"
    learning_rate: float = setting(
        0.01,
        "Learning rate",
        "Of the policy (Adam). NATS-Bench: 0.01; the NAS-Bench-201 code's example: "
        "0.5.",
        gt=0,
        le=10,
    )
    momentum: float = setting(
        0.9,
        "Baseline momentum",
        "How much of the mean reward stays when a new one comes in.",
        ge=0,
        lt=1,
    )


@methods.register
class Reinforce(TableMethod):
    name = "reinforce"
    label = "REINFORCE"
    summary = (
        "Learn a distribution over cells by policy gradient, with the table's accuracy "
        "as reward; keep the best cell seen."
    )
    source = "Williams, Machine Learning 1992; NAS-Bench-201 (REINFORCE)."
    family = "Trials on the benchmark table"
    Options = ReinforceOptions
    curves = {
        "policy entropy, nats": "mean over repeats and edges",
    }

    def __init__(self, options: ReinforceOptions, repeats: Repeats) -> None:
        super().__init__(options, repeats)
        self.allowed = allowed_mask(repeats)
        shape = (repeats.count, *self.allowed.shape)
        draw = torch.randn(
            *shape, generator=repeats.streams["policy"], dtype=torch.float64
        )
        self.logits = 1e-3 * draw.numpy()
        self.first, self.second = np.zeros(shape), np.zeros(shape)
        self.reward_sum = np.zeros(repeats.count)
        self.steps = 0

    def policy(self) -> Floats:
        """Return probabilities (R, E, O): softmax over what a row may take."""
        masked = np.where(self.allowed, self.logits, -np.inf)
        weights = np.exp(masked - masked.max(axis=2, keepdims=True))
        return np.asarray(weights / weights.sum(axis=2, keepdims=True))

    def ask(self) -> Query:
        cumulative = self.policy().cumsum(axis=2)
        u = self.repeats.uniform("actions", *cumulative.shape[:2])
        # Rounding may leave the last sum a little below 1, or lift u to it.
        u = np.minimum(u, 1 - 1e-12)[..., None] * cumulative[..., -1:]
        return Query((u >= cumulative).sum(axis=2))

    def tell(self, query: Query, accuracies: Floats, alive: Mask) -> None:
        """One step of Adam in every repeat that lives."""
        self.steps += 1
        advantage = np.where(alive, accuracies - self.baseline(accuracies), 0.0)
        gradient = policy_gradient(self.policy(), query.choices, advantage)
        first, second = BETAS
        self.first = first * self.first + (1 - first) * gradient
        self.second = second * self.second + (1 - second) * gradient**2
        mean = self.first / (1 - first**self.steps)
        scale = np.sqrt(self.second / (1 - second**self.steps)) + EPSILON
        moved = self.logits - self.options.learning_rate * mean / scale
        self.logits = np.where(alive[:, None, None], moved, self.logits)

    def baseline(self, rewards: Floats) -> Floats:
        """Take the rewards (R,) of the present step into the mean, and return it."""
        keep = self.options.momentum
        self.reward_sum = keep * self.reward_sum + (1 - keep) * rewards
        return np.asarray(self.reward_sum / (1 - keep**self.steps))

    def scalars(self) -> dict[str, float]:
        policy = self.policy()
        logs = np.log(np.where(policy > 0, policy, 1.0))
        return {"policy entropy, nats": float(-(policy * logs).sum(axis=2).mean())}

    def state_dict(self) -> dict[str, Any]:
        return {
            "logits": self.logits,
            "first": self.first,
            "second": self.second,
            "reward_sum": self.reward_sum,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def policy_gradient(policy: Floats, choices: Choices, advantage: Floats) -> Floats:
    """Return the gradient (R, E, O) of the loss by the logits, in closed form.

    Args:
        policy: probabilities (R, E, O).
        choices: what was drawn (R, E).
        advantage: r - b, (R,).
    """
    taken = np.eye(policy.shape[2])[choices]
    return np.asarray(advantage[:, None, None] * (policy - taken))


def allowed_mask(repeats: Repeats) -> Mask:
    """Return which operations each row may take, (E, O)."""
    width = max(len(repeats.space.columns(name)) for name in repeats.space.tables)
    mask = np.zeros((repeats.rows, width), dtype=bool)
    for row, columns in enumerate(repeats.allowed()):
        mask[row, columns] = True
    return mask
