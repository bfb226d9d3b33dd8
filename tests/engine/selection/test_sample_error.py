"""The error of a sample is the norm of Eq. 3, to the last digits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from searchjobs.engine.selection.sample_error import sample_error


def naive(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    shares = torch.softmax(logits.double(), dim=1)
    truth = torch.nn.functional.one_hot(labels, logits.shape[1]).double()
    return (shares - truth).norm(dim=1)


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(2, 120), seed=st.integers(0, 1000), scale=st.floats(0, 30))
def test_it_is_the_distance_to_the_one_hot_truth(
    classes: int, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, classes, generator=generator) * scale
    labels = torch.randint(classes, (16,), generator=generator)

    found = sample_error(logits, labels)

    assert found.shape == (16,)
    torch.testing.assert_close(found.double(), naive(logits, labels), atol=1e-6, rtol=0)
    assert (found >= 0).all()
    assert (found <= math.sqrt(2) + 1e-6).all()


def test_a_certain_hit_is_zero_and_a_certain_miss_is_the_root_of_two() -> None:
    logits = torch.tensor([[200.0, 0, 0], [200.0, 0, 0]])

    hit, miss = sample_error(logits, torch.tensor([0, 1])).tolist()

    assert hit == 0
    assert miss == pytest.approx(math.sqrt(2))


def test_small_errors_survive_single_precision() -> None:
    logits = torch.zeros(1, 10)
    logits[0, 3] = 12.0
    labels = torch.tensor([3])
    shares = torch.softmax(logits, dim=1)
    textbook = (shares.square().sum() - 2 * shares[0, 3] + 1).clamp(min=0).sqrt()

    found = sample_error(logits, labels).double()

    truth = naive(logits, labels)
    assert abs(textbook - truth) > 0.1 * truth
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=0)


def test_half_precision_logits_are_widened_first() -> None:
    logits = torch.randn(8, 10).to(torch.bfloat16)
    labels = torch.arange(8)

    found = sample_error(logits, labels)

    assert found.dtype == torch.float32
    expected = naive(logits, labels).float()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_nothing_is_kept_for_a_backward_pass() -> None:
    logits = torch.randn(4, 3, requires_grad=True)

    assert not sample_error(logits, torch.zeros(4, dtype=torch.int64)).requires_grad
