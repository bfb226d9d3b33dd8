"""BDP on chosen errors: who leaves, how many, and when nobody does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from searchjobs.engine.contracts import SetName
from searchjobs.engine.events import SamplesPruned, parse, to_line

from .conftest import noisy, one_epoch, pruning, run, with_variance


def scores_of(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64) * 0.2 + 1e-4


def sizes(events: list[SamplesPruned], name: SetName) -> list[int]:
    return [event.after for event in events if event.set == name]


@pytest.mark.parametrize("criterion", ["low-high", "low-low", "high-low", "high-high"])
def test_each_criterion_removes_its_ends(criterion: str, two_classes: Tensor) -> None:
    selection = pruning(
        two_classes,
        window=2,
        criterion=criterion,
        prune_train=0.1,
        prune_valid=0.2,
        class_limit=False,
    )
    scores = scores_of(2000)
    before = {name: ids.clone() for name, ids in selection.sets.items()}

    run(selection, 2, with_variance(scores))

    ends = dict(zip(("T", "V"), criterion.split("-"), strict=True))
    for name, gone in (("T", 100), ("V", 200)):
        ids = before[name]
        order = ids[scores[ids].argsort()]
        kept = order[gone:] if ends[name] == "low" else order[:-gone]
        assert selection.sets[name].tolist() == sorted(kept.tolist())


@pytest.mark.parametrize(
    ("size", "p", "n", "counts"),
    [
        (1000, 0.15, 6, [850, 723, 615, 523, 445, 379]),
        (250, 0.25, 3, [188, 141, 106]),
    ],
)
def test_without_class_limit_the_counts_are_exact(
    size: int, p: float, n: int, counts: list[int]
) -> None:
    selection = pruning(
        torch.arange(2 * size) % 10,
        window=2,
        epochs=2 * n,
        prune_train=p,
        prune_valid=0.0,
        class_limit=False,
    )

    events = run(selection, 2 * n, noisy())

    assert sizes(events, "T") == counts
    assert sizes(events, "V") == [size] * n
    planned = type(selection).remaining(
        selection.options, selection.search.spec, {"T": size, "V": size}
    )
    assert planned["T"][2::2] == counts
    assert planned["V"] == [size] * (2 * n + 1)


def test_an_event_at_the_last_epoch_counts(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=3, epochs=6)

    events = run(selection, 6, noisy())

    assert [event.epoch for event in events] == [3, 3, 6, 6]


def test_ties_leave_in_the_order_of_their_ids(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2, prune_train=0.1, class_limit=False)

    run(selection, 2, lambda ids, _: torch.full((len(ids),), 0.5))

    assert selection.sets["T"].tolist() == list(range(100, 1000))
    assert selection.sets["V"].tolist() == list(range(1150, 2000))


def test_a_share_of_the_initial_set_shrinks_by_the_same_number(
    two_classes: Tensor,
) -> None:
    selection = pruning(
        two_classes, window=2, epochs=6, base="initial", prune_train=0.2
    )

    assert sizes(run(selection, 6, noisy()), "T") == [800, 600, 400]


def test_every_window_starts_anew(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2, prune_valid=0.0, class_limit=False)
    first, second = scores_of(2000, seed=1), scores_of(2000, seed=2)
    run(selection, 2, with_variance(first))
    remaining = selection.sets["T"].clone()

    run(selection, 4, with_variance(second), first=3)

    order = remaining[second[remaining].argsort()]
    assert selection.sets["T"].tolist() == sorted(order[127:].tolist())


def skewed(classes: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Labels of T and V, and scores with a class effect: low classes go first."""
    labels = torch.arange(classes).repeat_interleave(per_class).repeat(2)
    effect = labels / classes * 0.08
    return labels, effect + scores_of(len(labels)) / 3


@pytest.mark.parametrize("overflow", ["skip", "redistribute"])
def test_the_class_limit_keeps_more_samples_and_more_balance(overflow: str) -> None:
    labels, scores = skewed(100, 50)
    settings_ = {"window": 2, "epochs": 10, "prune_train": 0.15, "prune_valid": 0.0}
    limited = pruning(labels, overflow=overflow, **settings_)
    free = pruning(labels, class_limit=False, **settings_)

    with_limit = [e for e in run(limited, 10, with_variance(scores)) if e.set == "T"]
    without = [e for e in run(free, 10, with_variance(scores)) if e.set == "T"]

    final = [
        np.array(events[-1].class_counts_after) for events in (with_limit, without)
    ]
    assert final[0].min() > final[1].min()
    assert with_limit[-1].balance > without[-1].balance  # type: ignore[operator]
    assert with_limit[-1].after >= 0.85**5 * 5000
    for event in with_limit:
        n, b = 5, event.balance
        assert event.limit == pytest.approx(n * (1 - b**2) + 1)  # type: ignore[operator]
        before = np.array(event.class_counts_before)
        lost = before - np.array(event.class_counts_after)
        assert (lost <= before // event.limit).all()  # type: ignore[operator]
        assert event.removed == lost.sum() <= event.requested
    if overflow == "skip":
        assert with_limit[-1].after > without[-1].after


def test_few_large_classes_are_limited_less_than_many_small_ones() -> None:
    left = []
    for classes, per_class in ((10, 500), (100, 50)):
        labels = torch.arange(classes).repeat_interleave(per_class).repeat(2)
        generator = torch.Generator().manual_seed(1)
        effect = torch.rand(classes, generator=generator)[labels] * 0.03
        selection = pruning(labels, window=2, epochs=20, prune_valid=0.0)
        events = run(selection, 20, with_variance(effect + scores_of(len(labels)) / 2))
        left.append(sizes(events, "T")[-1])

    assert left[0] < left[1]


def test_slack_lets_small_sets_shrink_as_planned() -> None:
    labels = torch.randint(10, (600,), generator=torch.Generator().manual_seed(3))
    planned = 300
    for _ in range(5):
        planned -= int(planned * 0.15 + 1e-9)

    strict = run(pruning(labels, window=2, epochs=10), 10, noisy())
    slack = run(pruning(labels, window=2, epochs=10, limit_slack=3), 10, noisy())

    assert sizes(strict, "T")[-1] > sizes(slack, "T")[-1] == planned


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    classes=st.integers(2, 6),
    share=st.floats(0.05, 0.9),
    minimum=st.integers(0, 12),
    overflow=st.sampled_from(["skip", "redistribute"]),
    class_limit=st.booleans(),
    criterion=st.sampled_from(["low-high", "high-high", "random"]),
)
def test_guards_hold_whatever_is_asked_for(
    seed: int,
    classes: int,
    share: float,
    minimum: int,
    overflow: str,
    class_limit: bool,
    criterion: str,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat(
        [torch.arange(classes), torch.randint(classes, (100,), generator=generator)]
    )
    selection = pruning(
        labels,
        window=2,
        epochs=8,
        prune_train=share,
        prune_valid=share,
        min_per_class=minimum,
        min_keep=7,
        overflow=overflow,
        class_limit=class_limit,
        criterion=criterion,
    )

    for event in run(selection, 8, noisy(seed)):
        assert event.after >= min(7, event.before)
        assert event.removed == event.before - event.after <= event.requested
        assert bool(event.reason) == (event.removed == 0)
        for before, after in zip(
            event.class_counts_before, event.class_counts_after, strict=True
        ):
            assert after >= min(before, minimum)
    for name, ids in selection.sets.items():
        assert ids.tolist() == sorted(set(ids.tolist())), name


def test_the_random_control_removes_as_many_under_the_same_limit() -> None:
    labels = torch.arange(4000) % 10
    given = {"window": 2, "epochs": 6, "limit_slack": 3.0}
    bdp, control = (
        pruning(labels, **given),
        pruning(labels, criterion="random", **given),
    )

    real, chance = run(bdp, 6, noisy()), run(control, 6, noisy())

    assert [e.requested for e in real] == [e.requested for e in chance]
    assert [e.removed for e in real] == [e.removed for e in chance]
    assert [e.limit for e in chance] == [1.0] * 6
    assert {e.criterion for e in chance} == {"random"}
    assert all(e.cut is None for e in chance)
    assert bdp.sets["T"].tolist() != control.sets["T"].tolist()


def test_the_random_control_draws_from_a_stream_of_its_own(
    two_classes: Tensor,
) -> None:
    def remaining(seed: int) -> list[int]:
        selection = pruning(two_classes, criterion="random", window=2, seed=seed)
        run(selection, 4, noisy())
        return selection.sets["T"].tolist()

    assert remaining(1) == remaining(1)
    assert remaining(1) != remaining(2)
    plain = pruning(two_classes, window=2)
    run(plain, 4, noisy())
    assert "selection/random" not in plain.search.streams.state_dict()


def test_nothing_is_pruned_before_the_start_epoch(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2, epochs=8, prune_start=5)

    events = [event for event in run(selection, 8, noisy()) if event.set == "T"]

    assert [event.after for event in events] == [1000, 1000, 850, 723]
    assert events[0].reason == "Pruning starts at epoch 5."
    assert events[0].correlation is not None
    # two prunings are planned, so n = 2 in Eq. 6
    b = events[2].balance
    assert events[2].limit == pytest.approx(2 * (1 - b**2) + 1)  # type: ignore[operator]


def test_learned_waits_until_the_variance_rises_with_the_error(
    two_classes: Tensor,
) -> None:
    selection = pruning(two_classes, window=2, epochs=8, prune_start="learned")
    scores = scores_of(2000)

    def errors(ids: Tensor, epoch: int) -> Tensor:
        rising = 3 <= epoch <= 4
        middle = 0.7 + (0.5 if rising else -0.5) * scores[ids]
        return middle + (1 if epoch % 2 else -1) * scores[ids].sqrt()

    events = [event for event in run(selection, 8, errors) if event.set == "T"]

    correlations = [event.correlation for event in events]
    assert correlations[0] == pytest.approx(-1, abs=1e-3)
    assert correlations[1] == pytest.approx(1, abs=1e-3)
    assert "has not learned T" in events[0].reason
    # from the first such window on, whatever comes later
    assert [event.after for event in events] == [1000, 850, 723, 615]


def test_a_set_that_was_not_used_in_every_epoch_has_no_pruning(
    two_classes: Tensor,
) -> None:
    selection = pruning(two_classes, window=3, epochs=6)
    errors = noisy()
    for epoch in range(1, 7):
        one_epoch(selection, epoch, errors, *(("T",) if epoch == 1 else ("T", "V")))
        for event in selection.end_epoch(epoch):
            assert isinstance(event, SamplesPruned)
            if event.set == "V" and epoch == 3:
                assert event.reason == "V was not used in every epoch of the window."
                assert event.removed == 0
                assert event.histogram_edges == []
            else:
                assert event.removed > 0


def test_a_set_that_no_step_uses_has_no_events(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2)
    events = []
    for epoch in (1, 2):
        one_epoch(selection, epoch, noisy(), "T")
        events += selection.end_epoch(epoch)

    assert [event.set for event in events] == ["T"]  # type: ignore[union-attr]


def test_a_new_stage_restarts_the_window_and_keeps_the_sets(
    two_classes: Tensor,
) -> None:
    selection = pruning(two_classes, window=3, epochs=9)
    run(selection, 4, noisy())
    before = selection.sets["T"].clone()
    selection.search.epoch = 4
    selection.start_stage()

    events = run(selection, 9, noisy(), first=5)

    assert len(before) == 850
    assert [(event.epoch, event.removed > 0) for event in events] == [(7, True)] * 2


def test_samples_seen_too_rarely_stay(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2, prune_train=0.3, class_limit=False)
    errors = noisy()
    rare = set(range(0, 1000, 4))
    for epoch in (1, 2):
        one_epoch(selection, epoch, errors, "V")
        ids = torch.tensor([i for i in range(1000) if epoch == 1 or i not in rare])
        selection.sets["T"], whole = ids, selection.sets["T"]
        one_epoch(selection, epoch, errors, "T")
        selection.sets["T"] = whole
        events = selection.end_epoch(epoch)

    assert len(selection.sets["T"]) == 700
    assert rare <= set(selection.sets["T"].tolist())
    assert sum(events[0].histogram_kept + events[0].histogram_removed) == 750  # type: ignore[union-attr]


def test_a_set_that_was_mostly_not_seen_twice_is_left_alone(
    two_classes: Tensor,
) -> None:
    selection = pruning(two_classes, window=2)
    errors = noisy()
    for epoch in (1, 2):
        one_epoch(selection, epoch, errors, "V")
        ids = torch.arange(1000) if epoch == 1 else torch.arange(499)
        selection.sets["T"], whole = ids, selection.sets["T"]
        one_epoch(selection, epoch, errors, "T")
        selection.sets["T"] = whole
        events = selection.end_epoch(epoch)

    assert events[0].removed == 0  # type: ignore[union-attr]
    assert events[0].reason.startswith("Fewer than half")  # type: ignore[union-attr]
    assert events[1].removed > 0  # type: ignore[union-attr]


def test_an_event_tells_the_whole_story(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2)
    scores = scores_of(2000)
    before = selection.sets["V"].clone()

    events = run(selection, 2, with_variance(scores))
    event = events[1]

    assert (event.set, event.criterion, event.before) == ("V", "high", 1000)
    assert event.requested == event.removed == 150
    assert event.balance == 1
    assert event.limit == 1
    assert event.class_counts_before == [500, 500]
    removed = sorted(set(before.tolist()) - set(selection.sets["V"].tolist()))
    assert event.cut == pytest.approx(scores[removed].min().item(), abs=1e-5)
    assert sum(event.histogram_removed) == 150
    assert sum(event.histogram_kept) == 850
    assert event.mean_error_kept == pytest.approx(0.7, abs=1e-4)
    assert len(event.score_quantiles) == 7
    assert parse(to_line(event)) == event
    arrays = selection.artefacts["prunings/epoch-0002-V.npz"]
    assert event.artefact == "prunings/epoch-0002-V.npz"
    assert arrays["ids"].tolist() == before.tolist()
    assert arrays["ids"][arrays["removed"]].tolist() == removed
    np.testing.assert_allclose(arrays["scores"], scores[before], atol=1e-5)
    np.testing.assert_allclose(arrays["mean_error"], 0.7, atol=1e-5)
    assert arrays["observations"].tolist() == [2] * 1000


def test_a_search_resumed_in_mid_window_prunes_the_same_samples(
    two_classes: Tensor,
) -> None:
    given = {"window": 3, "epochs": 9, "criterion": "low-high"}
    whole, first = pruning(two_classes, **given), pruning(two_classes, **given)
    run(whole, 4, noisy())
    run(first, 4, noisy())
    streams, state = first.search.streams.state_dict(), first.state_dict()
    run(first, 6, noisy(), first=5)  # going on does not touch what was saved
    resumed = pruning(two_classes, **given)
    resumed.search.streams.load_state_dict(streams)
    resumed.load_state_dict(state)

    expected = run(whole, 9, noisy(), first=5)
    found = run(resumed, 9, noisy(), first=5)

    assert [event.epoch for event in expected] == [6, 6, 9, 9]
    assert found == expected
    for name in ("T", "V"):
        assert torch.equal(resumed.sets[name], whole.sets[name])
        assert torch.equal(resumed.voe[name].mean, whole.voe[name].mean)


def test_a_learned_set_stays_learned_after_a_resume(two_classes: Tensor) -> None:
    given = {"window": 2, "epochs": 4, "prune_start": "learned"}
    scores = scores_of(2000)

    def errors(ids: Tensor, epoch: int) -> Tensor:
        middle = 0.7 + (0.5 if epoch <= 2 else -0.5) * scores[ids]
        return middle + (1 if epoch % 2 else -1) * scores[ids].sqrt()

    first = pruning(two_classes, **given)
    run(first, 2, errors)
    resumed = pruning(two_classes, **given)
    resumed.load_state_dict(first.state_dict())

    assert [e.removed > 0 for e in run(resumed, 4, errors, first=3)] == [True, True]


def test_errors_are_those_of_the_forward_that_happened(two_classes: Tensor) -> None:
    selection = pruning(two_classes, window=2)
    one_epoch(selection, 1, lambda ids, _: torch.full((len(ids),), 0.25), "T")

    assert selection.voe["T"].mean[:1000].tolist() == pytest.approx([0.25] * 1000)
    assert selection.voe["T"].count[1000:].sum() == 0
    assert selection.voe["V"].count.sum() == 0
    assert math.isclose(selection.voe["T"].count.sum().item(), 1000)
