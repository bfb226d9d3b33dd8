"""Regularised evolution: one edge mutates, the oldest dies, the best of S breeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searchjobs.engine.contracts import Query, Repeats, spaces
from searchjobs.engine.methods.evolution import Evolution, EvolutionOptions, mutate
from searchjobs.engine.seeding import Streams

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def repeats_of(count, seed=1, without=()):
    part = spaces.get("nas-bench-201")
    return Repeats(count, part(part.Options(without=without)), Streams(seed))


@given(
    seed=st.integers(0, 2**32 - 1),
    without=st.sets(st.sampled_from(OPERATIONS), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_a_mutation_gives_exactly_one_edge_another_operation(seed, without):
    repeats = repeats_of(40, seed, tuple(without))
    parents = repeats.random_choices("parents")
    children = mutate(parents, repeats)
    assert ((children != parents).sum(axis=1) == 1).all()
    left_out = {OPERATIONS.index(name) for name in without}
    assert not left_out & set(children.flatten().tolist())


def test_every_edge_and_every_other_operation_is_as_likely():
    repeats = repeats_of(60_000)
    parents = np.tile([0, 1, 2, 3, 4, 0], (60_000, 1))
    children = mutate(parents, repeats)
    rows = (children != parents).argmax(axis=1)
    assert np.bincount(rows, minlength=6) / 60_000 == pytest.approx(1 / 6, abs=0.01)
    to = children[np.arange(60_000), rows][rows == 2]
    shares = np.bincount(to, minlength=5) / len(to)
    assert shares[2] == 0
    assert shares[[0, 1, 3, 4]] == pytest.approx(0.25, abs=0.02)


def members_after(accuracies, population=4, alive=None):
    """Tell one repeat these accuracies; return its members, by the number of birth."""
    method = Evolution(EvolutionOptions(population=population, sample=2), repeats_of(1))
    for number, accuracy in enumerate(accuracies):
        choice = np.full((1, 6), number)
        living = np.array([alive is None or number in alive])
        method.tell(Query(choice), np.array([accuracy]), living)
    return sorted(method.members[0, :, 0].tolist()), method


def test_the_oldest_dies_however_good_it_is():
    best_first = [99.0, 90.0, 1.0, 2.0, 3.0, 0.5]
    assert members_after(best_first)[0] == [2, 3, 4, 5]


def test_a_repeat_that_is_over_gets_no_child():
    members, method = members_after([1.0, 2.0, 3.0, 4.0, 99.0], alive={0, 1, 2, 3})
    assert members == [0, 1, 2, 3]
    assert method.accuracies.max() == 4.0


def test_the_parent_is_the_best_of_the_members_drawn():
    count, size, sample = 500, 10, 3
    repeats = repeats_of(count, 5)
    method = Evolution(EvolutionOptions(population=size, sample=sample), repeats)
    draw = np.random.default_rng(0)
    for _ in range(size):
        query = Query(repeats.random_choices("first members"))
        method.tell(query, draw.uniform(0, 100, count), np.ones(count, bool))
    again = Repeats(count, repeats.space, Streams(5))
    drawn = again.below(size, "samples", count, sample)
    parents = method.parents()
    for repeat in range(count):
        best = max(drawn[repeat], key=lambda place: method.accuracies[repeat, place])
        assert parents[repeat].tolist() == method.members[repeat, best].tolist()


def test_the_first_members_are_random_and_the_next_are_children():
    repeats = repeats_of(300)
    method = Evolution(EvolutionOptions(population=3, sample=3), repeats)
    for _ in range(3):
        query = method.ask()
        method.tell(query, np.full(300, 50.0), np.ones(300, bool))
    child = method.ask().choices
    distances = (method.members != child[:, None]).sum(axis=2)
    assert (distances.min(axis=1) <= 1).all()
