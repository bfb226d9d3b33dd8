"""T and V: disjoint, complete, the published split, stratified."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from searchjobs.engine.data.split import split, split_sizes
from searchjobs.engine.sections import Split


def test_the_published_cifar10_split_is_reproduced() -> None:
    sets = split(torch.zeros(50_000, dtype=torch.int64), Split(seed=1021))

    assert len(sets["T"]) == len(sets["V"]) == 25_000
    assert sets["T"][[0, 10, 111]].tolist() == [0, 26, 203]
    assert sets["V"][[0, 10, 111]].tolist() == [1, 18, 242]


def test_halves_follow_the_order_of_the_images() -> None:
    sets = split(torch.zeros(10, dtype=torch.int64), Split(rule="halves"))

    assert sets["T"].tolist() == [0, 1, 2, 3, 4]
    assert sets["V"].tolist() == [5, 6, 7, 8, 9]


def test_stratified_halves_divide_every_class_by_its_own_order() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])

    sets = split(labels, Split(rule="halves", stratified=True))

    assert sets["T"].tolist() == [0, 1, 4, 5]
    assert sets["V"].tolist() == [2, 3, 6, 7]


def test_a_share_is_not_lost_to_floating_point() -> None:
    sets = split(torch.zeros(100, dtype=torch.int64), Split(train_share=0.29))

    assert len(sets["T"]) == 29


def test_another_seed_gives_another_split() -> None:
    labels = torch.zeros(100, dtype=torch.int64)

    first, second = split(labels, Split(seed=1)), split(labels, Split(seed=2))

    assert first["T"].tolist() != second["T"].tolist()


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=6),
    share=st.floats(0.05, 0.95),
    rule=st.sampled_from(["random", "halves"]),
    stratified=st.booleans(),
)
def test_the_sets_are_disjoint_complete_sorted_and_of_the_planned_size(
    counts: list[int], share: float, rule: str, stratified: bool
) -> None:
    options = Split(rule=rule, train_share=share, stratified=stratified)
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator())]

    sets = split(labels, options)

    together = torch.cat([sets["T"], sets["V"]]).sort().values
    assert together.tolist() == list(range(len(labels)))
    for ids in sets.values():
        assert ids.dtype == torch.int64
        assert ids.tolist() == sorted(ids.tolist())
    sizes = {name: len(ids) for name, ids in sets.items()}
    assert sizes == split_sizes(counts, options)
    if stratified:
        found = labels[sets["T"]].bincount(minlength=len(counts)).tolist()
        assert found == [int(n * share + 1e-9) for n in counts]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_set_without_images_is_refused_by_the_spec(share: float) -> None:
    with pytest.raises(ValueError, match="train_share"):
        Split(train_share=share)
