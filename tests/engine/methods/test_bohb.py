"""BOHB: hyperband's stages, densities against a plain loop, what is promoted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from searchjobs.engine.contracts import Repeats, spaces
from searchjobs.engine.methods.bohb import (
    Bohb,
    BohbOptions,
    bandwidths,
    density,
    rungs_of,
    stages,
)
from searchjobs.engine.seeding import Streams

NO_CURVE = frozenset()


def method_of(count=6, curve=NO_CURVE, without=(), **options):
    part = spaces.get("nas-bench-201")
    space = part(part.Options(without=without))
    return Bohb(BohbOptions(**options), Repeats(count, space, Streams(3), curve))


def epochs_of(curve=NO_CURVE, **options):
    return [rung.epochs for rung in rungs_of(BohbOptions(**options), curve)]


def test_rungs_are_those_that_the_table_tells():
    assert epochs_of() == [12]
    assert epochs_of(frozenset({1, 4})) == [1, 4, 12]
    assert epochs_of(frozenset({4, 9})) == [4, 12]
    assert epochs_of(missing="stand-in") == [1, 4, 12]
    assert epochs_of(missing="stand-in", eta=2) == [1, 3, 6, 12]
    assert epochs_of(form="nas-bench-201") == [200, 200, 200]


def test_only_the_highest_rung_decides_and_the_old_form_pays_200_epochs_each_time():
    rungs = rungs_of(BohbOptions(), frozenset({1, 4}))
    assert [rung.decisive for rung in rungs] == [False, False, True]
    old = rungs_of(BohbOptions(form="nas-bench-201"), NO_CURVE)
    assert all(rung.decisive and rung.protocol == "200" for rung in old)
    assert Bohb.signal(BohbOptions(form="nas-bench-201")).startswith("200-epoch")


def test_brackets_are_those_of_hyperband():
    """Three rungs, eta 3: 9 to 3 to 1, then 3 to 1, then 3 on the highest alone."""
    found = [(stage.rung, stage.size, stage.begins) for stage in stages(3, 3)]
    assert found == [
        *((0, 9, True), (1, 3, False), (2, 1, False)),
        *((1, 3, True), (2, 1, False)),
        (2, 3, True),
    ]
    assert [(s.rung, s.size) for s in stages(1, 3)] == [(0, 1)]


def test_the_best_of_a_stage_are_promoted_each_repeat_its_own():
    method = method_of(count=4, curve=frozenset({1, 4}))
    draw = np.random.default_rng(1)
    asked, scores = [], []
    for _ in range(9):
        query = method.ask()
        assert query.epochs == 1
        accuracies = draw.uniform(0, 100, 4)
        asked.append(query.choices)
        scores.append(accuracies)
        method.tell(query, accuracies, np.ones(4, bool))
    order = np.argsort(-np.stack(scores), axis=0)
    for place in range(3):
        query = method.ask()
        assert query.epochs == 4
        assert not query.decisive
        for repeat in range(4):
            wanted = asked[order[place, repeat]][repeat]
            assert query.choices[repeat].tolist() == wanted.tolist()
        method.tell(query, np.full(4, 1.0 * place), np.ones(4, bool))
    last = method.ask()
    assert last.epochs == 12
    assert last.decisive
    assert last.choices[0].tolist() == asked[order[2, 0]][0].tolist()


def test_the_density_is_that_of_a_plain_loop_and_sums_to_one():
    draw = np.random.default_rng(2)
    levels = np.array([3, 2, 4])
    points = (draw.random((2, 5, 3)) * levels).astype(np.int64)
    width = draw.uniform(0.1, 0.5, (2, 3))
    everything = np.array(list(itertools.product(*map(range, levels))))
    at = np.stack([everything, everything])
    found = density(at, points, width, levels)
    for repeat, (number, where) in itertools.product(range(2), enumerate(everything)):
        kernels = [
            np.prod(
                [
                    1 - h if value == centre else h / (count - 1)
                    for value, centre, h, count in zip(
                        where, point, width[repeat], levels, strict=True
                    )
                ]
            )
            for point in points[repeat]
        ]
        assert found[repeat, number] == pytest.approx(np.mean(kernels))
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_bandwidths_lie_between_the_smallest_and_the_uniform_one():
    levels = np.full(6, 5)
    alike = np.full((1, 20, 6), 2)
    assert bandwidths(alike, levels, 0.3)[0] == pytest.approx(0.3)
    draw = np.random.default_rng(3)
    mixed = draw.integers(0, 5, (1, 20, 6))
    assert bandwidths(mixed, levels, 0.3).max() <= 0.8
    near = np.where(draw.random((1, 4000, 6)) < 0.1, 3, 2)
    wanted = 1.06 * near[0].std(axis=0) * 4000 ** (-1 / 10)
    assert bandwidths(near, levels, 0.01)[0] == pytest.approx(wanted)


def test_without_enough_observations_proposals_are_uniform():
    choices = method_of(count=20_000).ask().choices
    for row in range(6):
        shares = np.bincount(choices[:, row], minlength=5) / 20_000
        assert shares == pytest.approx(0.2, abs=0.015)


def test_the_model_finds_where_the_good_ones_are():
    method = method_of(count=40)
    for _ in range(60):
        query = method.ask()
        merit = (query.choices == 3).sum(axis=1).astype(float)
        method.tell(query, merit, np.ones(40, bool))
    late = np.stack([scores.mean() for scores in method.scores[0].T[-15:]]).mean()
    early = np.stack([scores.mean() for scores in method.scores[0].T[:14]]).mean()
    assert early == pytest.approx(6 / 5, abs=0.25)
    assert late > early + 0.8


def test_a_random_fraction_of_one_never_asks_the_model():
    always = method_of(count=2000, random_fraction=1.0)
    for _ in range(20):
        query = always.ask()
        always.tell(query, (query.choices == 3).sum(axis=1) * 1.0, np.ones(2000, bool))
    assert (always.ask().choices == 3).mean() == pytest.approx(0.2, abs=0.02)


def test_what_the_space_leaves_out_is_never_proposed():
    method = method_of(count=50, without=("none", "skip_connect"))
    for _ in range(25):
        query = method.ask()
        assert set(query.choices.flatten().tolist()) <= {2, 3, 4}
        method.tell(query, (query.choices == 2).sum(axis=1) * 1.0, np.ones(50, bool))
