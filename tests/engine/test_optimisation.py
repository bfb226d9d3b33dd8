"""Schedules and optimisers (methods spec sections 0 and 12.3)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from searchjobs.engine.optimisation import WeightOptimiser, cosine
from searchjobs.engine.sections import Training


def test_the_cosine_starts_high_and_ends_almost_low():
    assert cosine(1, 50, 0.025, 0.001) == 0.025
    assert cosine(50, 50, 0.025, 0.001) == pytest.approx(0.00102, abs=5e-6)


def test_a_weight_step_is_nesterov_sgd_on_the_clipped_gradient():
    torch.manual_seed(0)
    ours, reference = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    reference.load_state_dict(ours.state_dict())
    training = Training(weight_lr=0.1, weight_lr_min=0.01, epochs=5, clip=0.5)
    optimiser = WeightOptimiser(ours, training)
    plain = torch.optim.SGD(
        reference.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True
    )
    images = torch.randn(6, 4, dtype=torch.float64)
    for epoch in range(1, 6):
        optimiser.start_epoch(epoch)
        loss = ours(images).square().sum()
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters))
        plain.param_groups[0]["lr"] = cosine(epoch, 5, 0.1, 0.01)
        plain.zero_grad()
        reference(images).square().sum().backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        plain.step()
    assert optimiser.learning_rate == plain.param_groups[0]["lr"]
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
