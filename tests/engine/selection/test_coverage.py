"""Coverage-centric selection: strata and budgets against computation by hand."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from searchjobs.engine.contracts import selections
from searchjobs.engine.data.split import share_of
from searchjobs.engine.selection.coverage import (
    FULL,
    WORST,
    CoverageOptions,
    budgets,
    covered,
    stratum_of,
)
from searchjobs.engine.selection.reducing import choose_kept

from .pools import digits, pool_of, scores_of


def options_of(**given: Any) -> CoverageOptions:
    return CoverageOptions(**given)


def test_strata_are_equal_widths_and_the_greatest_value_is_in_the_last() -> None:
    values = torch.tensor([0.0, 0.19, 0.2, 0.5, 0.99, 1.0], dtype=torch.float64)
    assert stratum_of(values, 5).tolist() == [0, 0, 1, 2, 4, 4]
    assert stratum_of(torch.ones(3), 5).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("sizes", "wanted", "expected"),
    [
        # 12 over three strata: the smallest gives its 2 of 4, then 5 and 5 of 10
        ([10, 2, 20], 12, [5, 2, 5]),
        # two empty strata give nothing; 7 over the rest are 3 and 4
        ([0, 9, 0, 9], 7, [0, 3, 0, 4]),
        ([1, 1, 1], 3, [1, 1, 1]),
        ([4, 4], 0, [0, 0]),
    ],
)
def test_the_budget_is_filled_from_the_smallest_stratum_up(
    sizes: list[int], wanted: int, expected: list[int]
) -> None:
    assert budgets(torch.tensor(sizes), wanted) == expected


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.floats(0, 1))
def test_budgets_add_up_whatever_the_strata_hold(
    sizes: list[int], share: float
) -> None:
    wanted = int(share * sum(sizes))
    found = budgets(torch.tensor(sizes), wanted)
    assert sum(found) == wanted
    for size, part in zip(sizes, found, strict=True):
        assert 0 <= part <= size


def test_a_choice_by_hand() -> None:
    """Ten samples, the two hardest left out, two strata, four wanted."""
    difficulty = torch.tensor(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.9, 1.0, -1.0, -0.9], dtype=torch.float64
    )
    # left: -1 to 0.45, cut at -0.275: two in the lower stratum, six in the upper
    draws = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.7, 0.6, 0.0, 0.0, 0.5, 0.4]).double()
    keys = covered(difficulty, draws, 4, options_of(mis_ratio=0.2, strata=2))
    kept = keys.argsort(stable=True)[:4].tolist()
    assert sorted(kept) == [1, 3, 8, 9], "both of the lower, the first two draws"
    assert keys[6:8].tolist() == pytest.approx([0.9 + WORST, 1.0 + WORST])
    assert keys[[0, 2, 4, 5]].tolist() == pytest.approx(
        [FULL, 0.2 + FULL, 0.4 + FULL, 0.45 + FULL]
    )


@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=80),
    st.floats(0.05, 0.7),
    st.floats(0, 0.3),
    st.integers(1, 20),
)
def test_the_common_selector_keeps_exactly_what_the_algorithm_chooses(
    values: list[float], share: float, worst: float, strata: int
) -> None:
    difficulty = torch.tensor(values, dtype=torch.float64)
    count = len(values)
    wanted = share_of(count, share)
    noise = torch.Generator().manual_seed(count)
    draws = torch.rand(count, generator=noise, dtype=torch.float64)
    options = options_of(mis_ratio=worst, strata=strata)
    keys = covered(difficulty, draws, wanted, options)
    labels = torch.zeros(count, dtype=torch.int64)
    kept = choose_kept(keys, labels, share, "highest", "none")
    assert int(kept.sum()) == wanted
    assert (keys[kept] == difficulty[kept]).all()
    gone = difficulty.argsort(stable=True, descending=True)[: share_of(count, worst)]
    assert not kept[gone].any()


@pytest.mark.parametrize("rule", ["none", "stratified"])
def test_inside_a_search_the_sizes_are_those_of_the_share(rule: str) -> None:
    pool = pool_of(digits(10), keep=0.3)
    given = {"keep_train": 0.3, "class_rule": rule, "strata": 5}
    found = scores_of("coverage", pool, epochs=2, channels=2, **given)
    kept = choose_kept(found.values, pool.labels, 0.3, "highest", rule)  # type: ignore[arg-type]
    assert int(kept.sum()) == 30
    chosen = found.values <= 1
    assert torch.equal(kept, chosen)
    if rule == "stratified":
        assert pool.labels[kept].bincount().tolist() == [3] * 10


def test_more_than_what_the_worst_leave_cannot_stay() -> None:
    part: Any = selections.get("coverage")
    problems = part.size_problems(
        part.Options(keep_train=0.8, mis_ratio=0.3), {"T": 100, "V": 100}
    )
    assert [p.field for p in problems] == ["selection.keep_train"]
    assert "left out as mislabelled" in problems[0].sentence
    assert not part.size_problems(
        part.Options(keep_train=0.7, mis_ratio=0.3), {"T": 100, "V": 100}
    )
