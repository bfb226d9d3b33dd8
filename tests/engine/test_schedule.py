"""How T and V of different size share an epoch (data spec A.3, H.4, H.5)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from searchjobs.engine.schedule import (
    batch_count,
    batches,
    count_epoch,
    order,
    step_counts,
)
from searchjobs.engine.sections import Training

POLICIES = st.sampled_from(["interleave", "train-driven", "zip-min", "zip-max"])


@given(st.integers(2, 400), st.integers(2, 64))
def test_every_sample_stands_in_exactly_one_batch_and_none_is_alone(n, size):
    parts = batches(torch.arange(n), size)
    assert torch.equal(torch.cat(parts), torch.arange(n))
    assert all(len(part) >= 2 for part in parts)
    assert len(parts) == batch_count(n, size)


def test_a_last_batch_of_one_joins_the_one_before():
    assert [len(part) for part in batches(torch.arange(129), 64)] == [64, 65]


def test_no_sample_makes_no_batch():
    assert batches(torch.arange(0), 64) == []


@given(st.integers(1, 60), st.integers(0, 60))
def test_interleave_makes_every_step_once_and_spreads_them_evenly(n_T, n_V):
    steps = list(order(n_T, n_V, Training(order="architecture-first")))
    assert [s for level, s in steps if level == "weights"] == list(range(n_T))
    assert [s for level, s in steps if level == "architecture"] == list(range(n_V))
    done = 0
    for level, step in steps:
        if level == "architecture":
            done += 1
        else:
            assert done == (step + 1) * n_V // n_T


def test_equal_sets_give_the_pairs_of_darts_in_either_order():
    first = [level[0] for level, _ in order(2, 2, Training(order="weights-first"))]
    second = [
        level[0] for level, _ in order(2, 2, Training(order="architecture-first"))
    ]
    assert first == ["w", "a", "w", "a"]
    assert second == ["a", "w", "a", "w"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("interleave", (4, 10)),
        ("train-driven", (4, 4)),
        ("zip-min", (4, 4)),
        ("zip-max", (10, 10)),
    ],
)
def test_each_policy_makes_the_steps_that_it_says(policy, expected):
    assert step_counts(4, 10, Training(policy=policy)) == expected


def test_the_cap_keeps_architecture_steps_at_or_below_weight_steps():
    assert step_counts(4, 10, Training(cap_architecture_steps=True)) == (4, 4)


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 12), POLICIES)
def test_rarer_architecture_steps_leave_the_weight_steps_alone(T, V, every, policy):
    usual = step_counts(T, V, Training(policy=policy))
    rarer = step_counts(T, V, Training(policy=policy, alpha_every=every))
    assert rarer == (usual[0], math.ceil(usual[1] / every))


@given(st.integers(1, 200), st.integers(1, 12))
def test_of_equal_sets_every_architecture_step_has_its_share_of_weight_steps(n, every):
    training = Training(alpha_every=every, order="weights-first")
    steps = order(*step_counts(n, n, training), training)
    shares = "".join(level[0] for level, _ in steps).split("a")
    assert shares.pop() == ""  # the last step of the epoch is one of alpha
    assert max(map(len, shares)) <= every
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert sum(map(len, shares)) == n


@given(st.integers(2, 300), st.integers(2, 300), POLICIES, st.integers(1, 5))
def test_counted_samples_are_those_of_the_batches_that_run(n_T, n_V, policy, every):
    training = Training(policy=policy, batch_size=32, alpha_every=every)
    count = count_epoch(n_T, n_V, training)
    for samples, total, steps in (
        (count.weight_samples, n_T, count.weight_steps),
        (count.architecture_samples, n_V, count.architecture_steps),
    ):
        sizes = [len(part) for part in batches(torch.arange(total), 32)]
        assert samples == sum(sizes[i % len(sizes)] for i in range(steps))


def test_a_warm_up_epoch_has_no_architecture_steps():
    count = count_epoch(100, 100, Training(), architecture=False)
    assert (count.architecture_steps, count.architecture_samples) == (0, 0)
    assert count.weight_samples == 100
