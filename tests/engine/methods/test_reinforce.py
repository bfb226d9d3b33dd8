"""REINFORCE: the closed-form gradient, Adam and the baseline against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from searchjobs.engine.contracts import Query, Repeats, spaces
from searchjobs.engine.methods.reinforce import (
    Reinforce,
    ReinforceOptions,
    policy_gradient,
)
from searchjobs.engine.seeding import Streams

R, E, O = 4, 6, 5  # noqa: E741


def method_of(without=(), count=R, **options):
    part = spaces.get("nas-bench-201")
    space = part(part.Options(without=without))
    return Reinforce(ReinforceOptions(**options), Repeats(count, space, Streams(3)))


def test_the_gradient_is_that_of_autograd():
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(R, E, O, generator=draw, dtype=torch.float64)
    logits.requires_grad_()
    choices = torch.randint(O, (R, E), generator=draw)
    advantage = torch.randn(R, generator=draw, dtype=torch.float64)
    logs = logits.log_softmax(-1).gather(-1, choices[..., None]).sum((1, 2))
    (-(logs * advantage)).sum().backward()
    found = policy_gradient(
        logits.detach().softmax(-1).numpy(), choices.numpy(), advantage.numpy()
    )
    assert np.abs(found - logits.grad.numpy()).max() < 1e-12


def test_the_expected_gradient_climbs_the_expected_reward():
    """Over all 25 choices of two rows: sum of p * gradient = -d E[reward] / d logits,
    whatever the baseline."""
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 2, O, generator=draw, dtype=torch.float64)
    logits.requires_grad_()
    reward = 100 * torch.rand(O, O, generator=draw, dtype=torch.float64)
    p = logits.softmax(-1)
    (p[0, 0, :, None] * p[0, 1] * reward).sum().backward()
    policy, expected = p.detach().numpy(), 0.0
    for one in range(O):
        for two in range(O):
            weight = policy[0, 0, one] * policy[0, 1, two]
            advantage = np.array([float(reward[one, two]) - 37.0])
            choice = np.array([[one, two]])
            expected = expected + weight * policy_gradient(policy, choice, advantage)
    assert np.abs(expected + logits.grad.numpy()).max() < 1e-10


def test_steps_are_those_of_torch_with_a_bias_corrected_mean_of_the_rewards():
    method = method_of(learning_rate=0.05)
    logits = torch.tensor(method.logits, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.05)
    draw = np.random.default_rng(4)
    told = []
    for step in range(1, 13):
        choices = draw.integers(0, O, (R, E))
        rewards = draw.uniform(30, 90, R)
        told.append(rewards)
        # Written out: weights 0.1 * 0.9^age, divided by their own sum.
        ages = 0.9 ** np.arange(step)[::-1, None]
        mean = (ages * np.stack(told)).sum(axis=0) / ages.sum()
        logs = logits.log_softmax(-1).gather(-1, torch.tensor(choices)[..., None])
        loss = -(logs.sum((1, 2)) * torch.tensor(rewards - mean)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        method.tell(Query(choices), rewards, np.ones(R, bool))
        # Adam makes a step of 1e-7 of the rounding of the first advantage, which is 0.
        assert np.abs(method.logits - logits.detach().numpy()).max() < 1e-6, step


def test_the_first_reward_teaches_nothing_because_it_is_its_own_mean():
    method = method_of()
    before = method.logits.copy()
    method.tell(method.ask(), np.full(R, 70.0), np.ones(R, bool))
    assert np.abs(method.logits - before).max() < 1e-6


def test_a_repeat_that_is_over_learns_no_more():
    method = method_of()
    alive = np.array([True, False, True, False])
    method.tell(method.ask(), np.full(R, 70.0), np.ones(R, bool))
    before = method.logits.copy()
    method.tell(method.ask(), np.full(R, 20.0), alive)
    moved = (method.logits != before).any(axis=(1, 2))
    assert moved.tolist() == alive.tolist()


def test_actions_follow_the_policy_and_obey_what_is_left_out():
    method = method_of(without=("none", "avg_pool_3x3"), count=20_000)
    method.logits[:] = np.log([9.0, 0.2, 0.3, 0.5, 9.0])
    choices = method.ask().choices
    for row in range(E):
        shares = np.bincount(choices[:, row], minlength=O) / len(choices)
        assert shares[[0, 4]].tolist() == [0, 0]
        assert shares[1:4] == pytest.approx([0.2, 0.3, 0.5], abs=0.02)


def test_it_learns_a_reward_that_one_operation_brings():
    method = method_of(count=50, learning_rate=0.05)
    start = method.scalars()["policy entropy, nats"]
    for _ in range(300):
        query = method.ask()
        rewards = 50 + 5.0 * (query.choices == 3).sum(axis=1)
        method.tell(query, rewards, np.ones(50, bool))
    assert method.policy()[..., 3].mean() > 0.9
    assert method.scalars()["policy entropy, nats"] < 0.5 * start
