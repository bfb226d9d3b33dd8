"""The selector of all reductions: from scores to the samples that stay."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from searchjobs.engine.contracts import Scores
from searchjobs.engine.data.split import share_of, shares_of
from searchjobs.engine.problems import SearchError
from searchjobs.engine.selection.class_limit import balance, limits, strictness
from searchjobs.engine.selection.random_samples import RandomOptions, RandomSamples
from searchjobs.engine.selection.reducing import choose_kept, choose_set

from .pools import digits, pool_of

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


def test_what_rounding_leaves_goes_to_the_largest_remainder_and_then_the_first() -> (
    None
):
    # half of 3 and 3: one of each, and the third to the first class
    assert kept(0.5, "highest", "stratified") == [0, 2, 5]
    # 0.29 x 100 is less than 29 in floating point; 4.06 and 2.03 are rounded down
    assert shares_of([100, 14, 7], 0.29) == [29, 4, 2]
    # 0.6, 1.2 and 1.8, together 3: the largest remainder is the last
    assert shares_of([2, 4, 6], 0.3) == [0, 1, 2]
    # of equal remainders the first
    assert shares_of([5, 0, 15, 25], 0.1) == [1, 0, 1, 2]


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
    for rule in ("none", "stratified"):
        found = choose_kept(values, classes, share, drop, rule)  # type: ignore[arg-type]
        assert int(found.sum()) == math.floor(len(values) * share + 1e-9), rule


@given(sets)
def test_stratified_no_class_is_more_than_one_sample_from_its_share(
    case: tuple[list, list, float, str],
) -> None:
    values, labels, share, drop = torch.tensor(case[0]).double(), *case[1:]
    classes = torch.tensor(labels)
    found = choose_kept(values, classes, share, drop, "stratified")
    for label in range(4):
        own = classes == label
        stays = int(found[own].sum())
        assert abs(stays - share * int(own.sum())) < 1
        # and within a class it is the ranking that decides
        ranked = values[own].argsort(stable=True, descending=drop == "highest")
        assert found[own][ranked].tolist() == [False] * (len(ranked) - stays) + (
            [True] * stays
        )


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 1000))
def test_shares_of_classes_add_up_to_the_plan(counts: list[int], part: int) -> None:
    share = part / 1000
    found = shares_of(counts, share)
    assert sum(found) == share_of(sum(counts), share)
    remainders = [(count * part) % 1000 for count in counts]
    pairs = zip(found, counts, strict=True)
    more = [stays - count * part // 1000 for stays, count in pairs]
    assert set(more) <= {0, 1}
    # whoever is rounded up has no smaller a remainder than whoever is not
    up = [(-remainders[place], place) for place, one in enumerate(more) if one]
    down = [(-remainders[place], place) for place, one in enumerate(more) if not one]
    assert not up or not down or max(up) < min(down)


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


def test_a_set_of_which_less_than_two_would_stay_is_refused() -> None:
    """As when most files cannot be read, which the plan did not know."""
    pool = pool_of(digits(1), ids=torch.arange(3))
    options = RandomOptions(keep_train=0.5)
    scores = Scores(torch.rand(3, dtype=torch.float64))
    with pytest.raises(SearchError, match=r"Of the 3 samples of T only 1 would stay"):
        choose_set(RandomSamples, options, pool, scores)
