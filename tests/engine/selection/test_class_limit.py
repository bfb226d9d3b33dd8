"""The automatic class limit: vectors of the paper's formulas, then properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from searchjobs.engine.selection.class_limit import (
    balance,
    choose,
    keep_minimum,
    limits,
    strictness,
)

COUNTS = st.lists(st.integers(0, 400), min_size=1, max_size=12).map(torch.tensor)


def naive_balance(counts: list[int]) -> float:
    ratios = [
        1.0 if max(a, b) == 0 else min(a, b) / max(a, b)
        for i, a in enumerate(counts)
        for b in counts[i + 1 :]
    ]
    return sum(ratios) / len(ratios) if ratios else 1.0


@pytest.mark.parametrize(
    ("counts", "b", "n", "N"),
    [
        ([10, 10], 1, 10, 1),
        ([10, 5], 0.5, 10, 8.5),
        ([10, 5], 0.5, 20, 16),
        ([4, 2, 1], 0.41667, 10, 9.2639),
        ([100, 100, 50], 0.66667, 20, 12.1111),
        ([250] * 99 + [125], 0.99, 0, 1),
    ],
)
def test_balance_and_strictness_are_those_of_equations_5_and_6(
    counts: list[int], b: float, n: int, N: float
) -> None:
    found = balance(torch.tensor(counts))

    assert found == pytest.approx(b, abs=1e-5)
    assert strictness(found, n) == pytest.approx(N, abs=1e-4)


def test_no_balance_at_all_follows_the_formula_not_the_text() -> None:
    assert balance(torch.tensor([7, 0])) == 0
    assert strictness(0.0, 10) == 11


def test_empty_classes_and_a_single_class_count_as_equal() -> None:
    assert balance(torch.tensor([0, 0, 0])) == 1
    assert balance(torch.tensor([5])) == 1


@settings(max_examples=100, deadline=None)
@given(counts=COUNTS, factor=st.integers(1, 9), seed=st.integers(0, 99))
def test_balance_is_the_mean_over_pairs_whatever_the_order_or_the_scale(
    counts: Tensor, factor: int, seed: int
) -> None:
    found = balance(counts)

    assert found == pytest.approx(naive_balance(counts.tolist()), abs=1e-9)
    assert 0 <= found <= 1 + 1e-12
    order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))
    assert balance(counts[order]) == pytest.approx(found, abs=1e-12)
    assert balance(counts * factor) == pytest.approx(found, abs=1e-12)
    equal = len(set(counts.tolist())) == 1
    assert (found == 1) == equal


@settings(max_examples=100, deadline=None)
@given(counts=COUNTS, slack=st.floats(0.01, 5), more=st.floats(0, 5))
def test_more_slack_never_means_less_balance(
    counts: Tensor, slack: float, more: float
) -> None:
    assert balance(counts) <= balance(counts, slack) + 1e-12
    assert balance(counts, slack) <= balance(counts, slack + more) + 1e-12
    assert balance(counts, slack) <= 1 + 1e-12


def test_slack_forgives_what_chance_explains_and_no_more() -> None:
    # 20 and 30 differ by 10; chance has a standard deviation of sqrt(50) = 7.07
    counts = torch.tensor([20, 30])

    assert balance(counts) == pytest.approx(2 / 3)
    assert balance(counts, 1.5) == 1
    noise = math.sqrt(50)
    expected = (20 + noise / 2) / (30 - noise / 2)
    assert balance(counts, 1.0) == pytest.approx(expected)


def test_chance_imbalance_of_small_classes_is_forgiven_at_two_deviations() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(10, (300,), generator=generator)
    counts = labels.bincount(minlength=10)

    assert balance(counts) < 0.9
    assert balance(counts, 2.0) > 0.98


def test_limits_are_floors_and_keep_every_class() -> None:
    counts = torch.tensor([10, 5, 1, 0])

    assert limits(counts, 1.0).tolist() == [10, 5, 1, 0]
    assert limits(counts, 2.5).tolist() == [4, 2, 0, 0]
    assert keep_minimum(limits(counts, 1.0), counts, 3).tolist() == [7, 2, 0, 0]


def ranking(seed: int, size: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ranked = torch.randperm(size, generator=generator)
    weights = torch.rand(classes, generator=generator) + 0.05
    labels = torch.multinomial(weights, size, replacement=True, generator=generator)
    return ranked, labels


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 120),
    classes=st.integers(1, 8),
    share=st.floats(0, 0.95),
    N=st.floats(1, 30),
)
def test_a_class_never_loses_more_than_its_limit(
    seed: int, size: int, classes: int, share: float, N: float
) -> None:
    ranked, labels = ranking(seed, size, classes)
    counts = labels.bincount(minlength=classes)
    allowed = limits(counts, N)
    k = int(share * size)
    label_of = dict(zip(ranked.tolist(), labels.tolist(), strict=True))

    skipped = choose(ranked, labels, k, allowed, "skip")
    redistributed = choose(ranked, labels, k, allowed, "redistribute")
    free = set(ranked[:k].tolist())

    for chosen in (skipped, redistributed):
        lost = [0] * classes
        for sample in chosen.tolist():
            lost[label_of[sample]] += 1
        assert all(a <= b for a, b in zip(lost, allowed.tolist(), strict=True))
        assert len(set(chosen.tolist())) == len(chosen) <= k
    assert set(skipped.tolist()) <= free
    assert set(skipped.tolist()) <= set(redistributed.tolist())
    assert len(redistributed) == min(k, int(allowed.sum()))
    lost_free = torch.zeros(classes, dtype=torch.int64)
    for sample in free:
        lost_free[label_of[sample]] += 1
    if (lost_free <= allowed).all():
        assert skipped.tolist() == redistributed.tolist() == ranked[:k].tolist()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 80), k=st.integers(0, 80))
def test_within_a_class_the_most_extreme_samples_go_first(
    seed: int, size: int, k: int
) -> None:
    ranked, labels = ranking(seed, size, 4)
    allowed = torch.tensor([0, 1, 3, 100])

    chosen = set(choose(ranked, labels, k, allowed, "redistribute").tolist())

    for label in range(4):
        gone = [sample in chosen for sample in ranked[labels == label].tolist()]
        assert gone == sorted(gone, reverse=True)
