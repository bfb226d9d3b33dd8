"""The overlap of two runs against plain sets, exact chance, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.base import File
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from nasweb.explorer import events
from nasweb.explorer.overlap import Overlap, began
from nasweb.explorer.overlap import overlap as overlap_of
from nasweb.explorer.subject import subject
from nasweb.pages import run_overlap
from searchjobs.models import Artefact, Queue, Team
from tests.site.explorer.made_up import digits, on_images, prune
from tests.site.factories import make_run

LABELS = np.array([number % 3 for number in range(24)])
masks = st.integers(0, 2**24 - 1)


def overlap(
    kept: tuple[np.ndarray, np.ndarray],
    started: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    classes: int,
) -> Overlap:
    return overlap_of(kept, began(started, labels, classes), labels, classes)


def members(mask: int) -> set[int]:
    """Return the places of the bits that are set."""
    return {place for place in range(24) if mask >> place & 1}


def ids(values: set[int]) -> np.ndarray:
    return np.array(sorted(values), dtype=np.int64)


@settings(deadline=None)
@given(started=st.tuples(masks, masks), keep=st.tuples(masks, masks))
def test_counts_are_those_of_plain_sets(
    started: tuple[int, int], keep: tuple[int, int]
) -> None:
    kept = [members(had & stays) for had, stays in zip(started, keep, strict=True)]
    began = [members(had) for had in started]
    found = overlap(
        (ids(kept[0]), ids(kept[1])), (ids(began[0]), ids(began[1])), LABELS, 3
    )
    both, either = kept[0] & kept[1], kept[0] | kept[1]
    assert found.total.common == len(both)
    assert found.total.jaccard == (len(both) / len(either) if either else None)
    assert sum(each.common for each in found.classes) == len(both)
    assert found.total.expected == pytest.approx(
        sum(each.expected for each in found.classes)
    )
    assert 0 <= found.total.expected <= min(len(kept[0]), len(kept[1])) + 1e-9
    assert (found.total.deviation is None) == (started[0] != started[1])


@settings(deadline=None)
@given(st.integers(0, 8), st.integers(0, 8))
def test_chance_within_a_class_is_hypergeometric(first: int, second: int) -> None:
    of_class = np.flatnonzero(LABELS == 0)
    found = overlap(
        (of_class[:first], of_class[8 - second :]), (np.arange(24),) * 2, LABELS, 3
    ).classes[0]
    exact = hypergeom.pmf(np.arange(9), 8, first, second)
    mean = float(exact @ np.arange(9))
    variance = float(exact @ (np.arange(9) - mean) ** 2)
    assert found.expected == pytest.approx(mean)
    assert found.deviation == pytest.approx(variance**0.5, abs=1e-7)


def test_random_prunings_stand_at_chance_and_equal_ones_far_from_it() -> None:
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 10, 4000)
    everything = np.arange(4000)
    first, second = (np.sort(draw.choice(4000, 800, replace=False)) for _ in range(2))
    by_chance = overlap((first, second), (everything,) * 2, labels, 10).total
    assert by_chance.surprise is not None
    assert abs(by_chance.surprise) < 4
    same = overlap((first, first), (everything,) * 2, labels, 10).total
    assert same.jaccard == 1
    assert same.surprise is not None
    assert same.surprise > 20
    assert same.jaccard_expected == pytest.approx(160 / 1440, rel=0.1)


def test_runs_that_began_with_different_samples_can_share_only_what_both_had() -> None:
    first, second = np.arange(0, 16), np.arange(8, 24)
    found = overlap((first, second), (first, second), LABELS, 3).total
    assert found.common == 8
    assert found.expected == pytest.approx(8)
    assert found.deviation is None
    assert found.surprise is None


@pytest.mark.django_db
def test_of_many_events_few_files_are_read_and_what_they_tell_is_exact(
    fresh: None,
    user: User,
    team: Team,
    cpu_queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = digits()
    seen = []
    for seed, every in ((1, 3), (2, 4)):
        run = make_run(user, team, cpu_queue, name=f"run {seed}", seed=seed)
        on_images(run, images)
        prune(run, "T", images.labels.numpy(), 12, every, seed)
        seen.append(subject(run))
    (whole,) = run_overlap._pairs(*seen)
    assert len(whole.epochs) == 1 + 12 + 12 - 3  # 0; and 12, 24, 36 of both

    read = []
    open_artefact = events.open_artefact

    def counted(row: Artefact) -> File:
        read.append(row)
        return open_artefact(row)

    monkeypatch.setattr(events, "open_artefact", counted)
    events.forget()
    monkeypatch.setattr(run_overlap, "MOST_POINTS", 4)
    (few,) = run_overlap._pairs(*seen)
    assert (few.epochs[0], few.epochs[-1], len(few.epochs)) == (0, 48, 4)
    assert len(read) <= 2 * (1 + 4)
    for epoch in few.epochs:
        for ours, all_of_them in zip(few.at(epoch), whole.at(epoch), strict=True):
            np.testing.assert_array_equal(ours, all_of_them)
    first, second = (set(ids.tolist()) for ids in whole.kept)
    galleries = {name: set(ids.tolist()) for name, ids in few.whose.items()}
    assert galleries == {
        "both": first & second,
        "first": first - second,
        "second": second - first,
    }
