"""Events and sets: the replay against plain Python sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasweb.explorer.sets import STILL_IN, DamagedError, Step, replay, step_of

SAMPLES = 30
#: A set as the bits of a number.
sets = st.integers(0, 2**SAMPLES - 1).map(
    lambda mask: {place for place in range(SAMPLES) if mask >> place & 1}
)


def step_from(epoch: int, before: set[int], removed: set[int], added: set[int]) -> Step:
    """Return the event that takes ``removed`` from ``before`` and brings ``added``; it
    considers them and some more."""
    ids = sorted(before | added | {epoch % SAMPLES})
    arrays = {
        "ids": np.array(ids, dtype=np.int64),
        "scores": np.linspace(0, 1, len(ids)),
        "before": np.isin(ids, list(before)),
        "removed": np.isin(ids, list(removed & before)),
        "added": np.isin(ids, list(added)),
    }
    event = {
        "epoch": epoch,
        "criterion": "low",
        "before": len(before),
        "after": len((before - removed) | added),
    }
    return step_of(event, arrays)


@settings(deadline=None)
@given(start=sets, changes=st.lists(st.tuples(sets, sets), max_size=6))
def test_a_replay_follows_any_sequence_of_changes(
    start: set[int], changes: list[tuple[set[int], set[int]]]
) -> None:
    now, steps, left = set(start), [], {}
    for epoch, (removed, added) in enumerate(changes, start=1):
        step = step_from(epoch, now, removed, added)
        after = (now - removed) | added
        assert set(step.ids[step.after].tolist()) == after
        assert set(step.ids[step.gone].tolist()) == now - after
        assert set(step.ids[step.came].tolist()) == after - now
        assert set(step.ids[step.kept].tolist()) == now & after
        left |= dict.fromkeys(now - after, epoch)
        for sample in after:
            left.pop(sample, None)
        now = after
        steps.append(step)
    found = replay(steps, np.array(sorted(start), dtype=np.int64))
    assert set(found.survivors.tolist()) == now
    told = {
        int(sample): int(epoch)
        for sample, epoch in zip(found.ids, found.left, strict=True)
        if epoch != STILL_IN
    }
    assert told == left
    assert set(start) <= set(found.ids.tolist())


@settings(deadline=None)
@given(st.lists(sets, max_size=4))
def test_sets_that_only_shrink_give_each_sample_the_epoch_it_left(
    prunings: list[set[int]],
) -> None:
    now = set(range(SAMPLES))
    steps = []
    for epoch, gone in enumerate(prunings, start=1):
        steps.append(step_from(2 * epoch, now, gone, set()))
        now -= gone
    found = replay(steps, np.arange(SAMPLES))
    assert found.survivors.tolist() == sorted(now)
    assert int(found.inside.sum()) + int((found.left != STILL_IN).sum()) == SAMPLES


def test_without_an_initial_set_the_first_event_tells_it() -> None:
    step = step_from(3, {1, 2, 5}, {2}, {9})
    assert replay([step]).survivors.tolist() == [1, 5, 9]
    assert replay([]).ids.tolist() == []


@settings(deadline=None)
@given(samples=st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.booleans())))
def test_the_last_that_went_has_the_highest_rank_of_them(
    samples: list[tuple[float, bool]],
) -> None:
    for criterion in ("low", "high"):
        step = Step(
            epoch=1,
            criterion=criterion,
            ids=np.arange(len(samples)),
            scores=np.array([score for score, _ in samples]),
            before=np.ones(len(samples), dtype=bool),
            removed=np.array([gone for _, gone in samples], dtype=bool),
            added=np.zeros(len(samples), dtype=bool),
        )
        assert step.worst() == step.ranks()[step.removed].max(initial=0)


@settings(deadline=None)
@given(
    samples=st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 4)),
        min_size=1,
        max_size=25,
    ),
    high=st.booleans(),
)
def test_ranks_are_those_of_the_engine_ties_included(
    samples: list[tuple[float, int]], high: bool
) -> None:
    scores, seen = [score for score, _ in samples], [seen for _, seen in samples]
    step = Step(
        epoch=1,
        criterion="high" if high else "low",
        ids=np.arange(len(scores)) * 3,
        scores=np.array(scores, dtype=np.float32),
        before=np.ones(len(scores), dtype=bool),
        removed=np.zeros(len(scores), dtype=bool),
        added=np.zeros(len(scores), dtype=bool),
        observations=np.array(seen),
    )
    # as searchjobs/engine/selection/pruning.py ranks
    candidates = torch.nonzero(torch.tensor(seen) >= 2).flatten()
    keys = torch.tensor(scores, dtype=torch.float32)
    ranked = candidates[keys[candidates].argsort(stable=True, descending=high)]
    assert step.order().tolist() == ranked.tolist()
    ranks = step.ranks()
    assert [step.rank_of(at) or 0 for at in range(len(scores))] == ranks.tolist()
    third = step.ids % 9 == 0
    for at in np.flatnonzero(third & (ranks > 0)):
        ahead = (ranks > 0) & (ranks <= ranks[at]) & third
        assert step.rank_of(int(at), third) == ahead.sum()
    assert [ranks[place] for place in ranked] == list(range(1, len(ranked) + 1))
    assert (ranks == 0).sum() == len(scores) - len(ranked)


def arrays(**changes: Any) -> dict[str, Any]:
    return {
        "ids": np.array([4, 2, 9]),
        "scores": np.array([0.1, 0.2, 0.3]),
        "removed": np.array([True, False, False]),
        **changes,
    }


EVENT = {"epoch": 5, "criterion": "low", "before": 3, "after": 2}


def test_ids_in_any_order_are_sorted_with_their_columns() -> None:
    step = step_of(EVENT, arrays())
    assert step.ids.tolist() == [2, 4, 9]
    assert step.scores.tolist() == [0.2, 0.1, 0.3]
    assert step.ids[step.gone].tolist() == [4]
    assert (step.place(9), step.place(3), step.place(100)) == (2, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": np.array([2, 2, 9])},
        {"removed": np.array([True])},
        {"removed": np.array([True, True, True])},
        {"scores": np.array([0.1])},
    ],
    ids=["a sample twice", "lengths", "sizes", "too few scores"],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DamagedError):
        step_of(EVENT, arrays(**changes))


def test_an_artefact_without_ids_is_refused() -> None:
    with pytest.raises(DamagedError):
        step_of(EVENT, {"scores": np.zeros(3)})
