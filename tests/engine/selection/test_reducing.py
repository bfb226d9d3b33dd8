"""The selector of all reductions: from scores to the samples that stay."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import torch
from hypothesis import given

from searchjobs.engine.data.split import share_of
from searchjobs.engine.selection.class_limit import balance, limits, strictness
from searchjobs.engine.selection.reducing import choose_kept

SCORES = torch.tensor([0.1, 0.9, 0.4, 0.4, 0.8, 0.2], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])

sets = st.integers(4, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-1e6, 1e6), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.floats(0.05, 1.0),
        st.sampled_from(["highest", "lowest"]),
    )
)


def kept(share: float, drop: str, rule: str) -> list[int]:
    found = choose_kept(SCORES, LABELS, share, drop, rule)  # type: ignore[arg-type]
    return torch.nonzero(found).flatten().tolist()


def test_without_a_class_rule_one_end_of_all_scores_leaves() -> None:
    assert kept(0.5, "highest", "none") == [0, 3, 5]  # of the tie, the first leaves
    assert kept(0.5, "lowest", "none") == [1, 3, 4]


def test_stratified_every_class_keeps_its_share() -> None:
    assert kept(0.67, "highest", "stratified") == [0, 2, 3, 5]
    assert kept(0.34, "lowest", "stratified") == [1, 4]


def test_the_class_limit_of_bdp_holds_back_what_exceeds_it() -> None:
    skewed = torch.tensor([0, 0, 0, 0, 1, 1])
    scores = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.9, 0.8], dtype=torch.float64)
    # b = 1/2, N = 1 (1 - 1/4) + 1 = 1.75: class 1 loses at most floor(2 / 1.75) = 1
    found = choose_kept(scores, skewed, 0.5, "highest", "limit")
    assert torch.nonzero(found).flatten().tolist() == [0, 1, 2, 5]


@given(sets)
def test_the_sizes_are_those_of_the_share(case: tuple[list, list, float, str]) -> None:
    values, labels, share, drop = torch.tensor(case[0]).double(), *case[1:]
    classes = torch.tensor(labels)
    plain = choose_kept(values, classes, share, drop, "none")
    assert int(plain.sum()) == math.floor(len(values) * share + 1e-9)
    stratified = choose_kept(values, classes, share, drop, "stratified")
    for label in range(4):
        count = int((classes == label).sum())
        assert int(stratified[classes == label].sum()) == share_of(count, share)


@given(sets)
def test_what_stays_is_never_worse_than_what_leaves(
    case: tuple[list, list, float, str],
) -> None:
    values, labels, share, drop = torch.tensor(case[0]).double(), *case[1:]
    plain = choose_kept(values, torch.tensor(labels), share, drop, "none")
    if plain.all() or not plain.any():
        return
    sign = 1 if drop == "highest" else -1
    assert (sign * values[plain]).max() <= (sign * values[~plain]).min()


@given(sets)
def test_a_class_never_loses_more_than_its_limit(
    case: tuple[list, list, float, str],
) -> None:
    values, labels, share, drop = torch.tensor(case[0]).double(), *case[1:]
    classes = torch.tensor(labels)
    counts = classes.bincount(minlength=4)
    allowed = limits(
        classes.bincount(), strictness(balance(classes.bincount()), events=1)
    )
    found = choose_kept(values, classes, share, drop, "limit")
    lost = counts - classes[found].bincount(minlength=4)
    assert (lost[: len(allowed)] <= allowed).all()
    assert int(found.sum()) >= share_of(len(values), share)


@given(sets)
def test_for_at_most_half_the_easy_and_the_hard_samples_are_disjoint(
    case: tuple[list, list, float, str],
) -> None:
    values = torch.arange(len(case[0])).double()
    classes, share = torch.tensor(case[1]), min(case[2], 0.5)
    easy = choose_kept(values, classes, share, "highest", "none")
    hard = choose_kept(values, classes, share, "lowest", "none")
    assert not (easy & hard).any()
