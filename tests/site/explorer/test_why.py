"""Why a sample went: what the explorer says against what the engine chose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasweb.explorer.sets import Step, step_of
from nasweb.explorer.why import verdict
from searchjobs.engine.selection.class_limit import (
    balance,
    choose,
    keep_minimum,
    limits,
    strictness,
)
from tests.site.explorer.made_up import event as made_up_event

NAMES = ["ant", "bee", "cat"]


def chosen_by_the_engine(
    scores: list[float], labels: list[int], wanted: int, overflow: Any, *, high: bool
) -> tuple[dict[str, Any], Step, np.ndarray]:
    """Return event, step and L_i of a choice with the class limit of BDP."""
    count = len(scores)
    classes = torch.tensor(labels)
    counts = classes.bincount(minlength=3)
    n = strictness(balance(counts), 10)
    allowed = keep_minimum(limits(counts, n), counts, 1)
    ranked = torch.tensor(scores).argsort(stable=True, descending=high)
    went = choose(ranked, classes[ranked], wanted, allowed, overflow).numpy()
    removed = np.isin(np.arange(count), went)
    told = made_up_event(
        5,
        "T",
        count,
        count - len(went),
        criterion="high" if high else "low",
        requested=wanted,
        removed=len(went),
        limit=n,
        reason="" if len(went) else "The class limit lets no sample go.",
    ).model_dump(mode="json")
    arrays = {
        "ids": np.arange(count),
        "scores": np.array(scores, dtype=np.float32),
        "removed": removed,
        "mean_error": np.zeros(count),
        "observations": np.full(count, 5),
    }
    return told, step_of(told, arrays), allowed.numpy()


@settings(deadline=None)
@given(
    samples=st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.integers(0, 2)),
        min_size=2,
        max_size=25,
    ),
    share=st.floats(0.05, 0.9),
    overflow=st.sampled_from(["skip", "redistribute"]),
    high=st.booleans(),
)
def test_every_sample_has_its_true_outcome_rank_and_limit(
    samples: list[tuple[float, int]], share: float, overflow: Any, high: bool
) -> None:
    scores, labels = [s for s, _ in samples], [label for _, label in samples]
    wanted = int(share * len(samples))
    told, step, allowed = chosen_by_the_engine(
        scores, labels, wanted, overflow, high=high
    )
    said = [
        verdict(told, step, sample, np.array(labels), NAMES, min_per_class=1)
        for sample in range(len(samples))
    ]
    assert [each.outcome == "removed" for each in said] == step.removed.tolist()
    assert sorted(each.rank or 0 for each in said) == list(range(1, len(samples) + 1))
    for each, label in zip(said, labels, strict=True):
        assert each.class_limit == allowed[label]
        assert each.class_before == labels.count(label)
        assert each.class_removed is not None
        assert each.class_removed <= allowed[label]
        assert each.sentence.endswith(".")
        if each.outcome == "removed":
            assert each.class_rank is not None
            assert each.class_rank <= allowed[label]
        elif "might, and" in each.sentence:
            assert each.class_rank is not None
            assert each.class_rank > allowed[label]


def test_the_sentences_name_rank_limit_and_class() -> None:
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    # L of class ant: floor(6 / 3) = 2
    told = made_up_event(5, "T", 12, 10, requested=4, removed=2, limit=3.0).model_dump(
        mode="json"
    )
    arrays = {
        "ids": np.arange(12),
        "scores": np.arange(12) / 10,
        "removed": np.arange(12) < 2,
    }
    step = step_of(told, arrays)

    def sentence(sample: int) -> str:
        return verdict(told, step, sample, np.array(labels), NAMES).sentence

    assert sentence(1) == (
        "Its VoE is the 2nd lowest of 12; 4 were to go, at most 2 of the 6 of class "
        "ant, and among those it was number 2."
    )
    assert sentence(2) == (
        "Its VoE is the 3rd lowest of 12; 4 were to go, but at most 2 of the 6 of "
        "class ant might, and 2 of them stood in front of it."
    )
    assert sentence(6) == (
        "Its VoE is the 7th lowest of 12; 4 were to go, and the last that went stood "
        "at 2."
    )
    assert verdict(told, step, 0, None, []).sentence == (
        "Its VoE is the lowest of 12; 4 were to go."
    )


@pytest.mark.parametrize(
    ("changes", "arrays", "words"),
    [
        ({"reason": "Pruning starts at epoch 9."}, {}, "Nothing went: Pruning starts"),
        ({"criterion": "random", "removed": 1}, {}, "Chance spared it"),
        ({}, {"observations": np.array([1, 5, 5])}, "seen less than twice"),
        ({}, {"scores": np.array([np.nan, 0.2, 0.3])}, "no score"),
    ],
    ids=["nothing pruned", "by chance", "seen once", "no score"],
)
def test_other_reasons_have_sentences_of_their_own(
    changes: dict[str, Any], arrays: dict[str, np.ndarray], words: str
) -> None:
    left = 3 - changes.get("removed", 0)
    event = made_up_event(5, "T", 3, left, **changes).model_dump(mode="json")
    removed = np.array([False, False, left == 2])
    given = {
        "ids": np.arange(3),
        "scores": np.array([0.1, 0.2, 0.3]),
        "removed": removed,
        **arrays,
    }
    found = verdict(event, step_of(event, given), 0, None, [])
    assert found.outcome == "kept"
    assert words in found.sentence


def test_a_set_drawn_anew_tells_what_came_in_and_what_stayed_outside() -> None:
    event = made_up_event(5, "T", 2, 2, removed=1, added=1).model_dump(mode="json")
    step = step_of(
        event,
        {
            "ids": np.arange(4),
            "scores": np.zeros(4),
            "before": np.array([True, True, False, False]),
            "removed": np.array([True, False, False, False]),
            "added": np.array([False, False, True, False]),
        },
    )
    outcomes = [verdict(event, step, each, None, []).outcome for each in range(5)]
    assert outcomes == ["removed", "kept", "added", "left out", "not considered"]
    assert "drawn anew" in verdict(event, step, 2, None, []).sentence
