"""RSPS: uniform paths, no alpha, and the best of a few after each epoch."""

from __future__ import annotations

import pytest
import torch

from searchjobs.engine.diagnostics.accuracy import (
    inherited_accuracy,
    path_batches,
    paths_accuracy,
)
from searchjobs.engine.diagnostics.report import Probe
from searchjobs.engine.parallel import ALONE
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search as run
from searchjobs.engine.seeding import Streams

from ..conftest import epochs_of, tiny
from ..ranks import on_ranks
from .paths import convolutions_run, wanted
from .prepared import prepared
from .test_setn import path_to_come

OPTIONS = {"name": "rsps", "epoch_candidates": 7, "epoch_images": 30}


def spec(**method):
    return tiny(
        method={**OPTIONS, **method}, selection={"name": "full"}, training={"epochs": 2}
    )


def test_a_weight_step_runs_one_uniform_architecture():
    search, train, _ = prepared("rsps")
    for _ in range(4):
        path = path_to_come(search)
        counts, _ = convolutions_run(search, lambda: search.method.weight_step(train))
        assert search.method.drawn["cell"].equal(path)
        assert counts == wanted(path.tolist())


def trained(ours, devices):
    """The weights after six steps, on batches that two processes share unevenly."""
    search, *_ = prepared("rsps", compute={"devices": devices})
    ids = search.initial_sets["T"]
    for first in range(0, 60, 10):
        search.method.weight_step(search.data.batch(ids[first : first + 31]))
    return {n: p.detach().numpy() for n, p in search.supernet.named_parameters()}


def test_two_processes_train_what_one_trains():
    """Of the six draws two hold a convolution that leads nowhere: it must not decay."""
    one, (two, other) = trained(ALONE, 1), on_ranks(trained, 2)
    for name, weight in one.items():
        assert abs(two[name] - weight).max() < 1e-10, name
        assert (two[name] == other[name]).all(), name


def test_nothing_but_weights_is_trained():
    planned = plan(spec())
    assert planned.architecture_steps == [0, 0]
    report = epochs_of(list(run(spec())))[0]
    assert report.architecture_steps == 0
    assert report.alpha_travel == 0
    assert report.learning_rates == {"weights": 0.025}
    assert report.eigenvalue is None


def test_looking_at_candidates_is_part_of_the_cost():
    """Seven candidates on batches of 30, 30, 30 and 10, the first three twice."""
    extra = plan(spec()).cost_units - plan(spec(epoch_candidates=0)).cost_units
    assert extra == 2 * (100 + 90)


def test_the_best_of_an_epoch_is_the_best_of_its_candidates():
    search, *_ = prepared("rsps", method=OPTIONS)
    method, stream = search.method, search.streams["candidates"]
    state = stream.get_state()
    progress = list(method.after_epoch(1))
    assert [(p.phase, p.step, p.steps) for p in progress][-1] == ("candidates", 7, 7)
    stream.set_state(state)
    candidates = method.candidates(7, stream)
    ids = search.selection.sets["V"]
    order = ids[torch.randperm(100, generator=stream)]
    parts = [order[:30], order[30:60], order[60:90], order[90:]]
    accuracies = [
        inherited_accuracy(search, [search.data.batch(parts[n % 4])], candidate)
        for n, candidate in enumerate(candidates)
    ]
    assert method.best == candidates[accuracies.index(max(accuracies))]
    weights = search.space.discrete_weights(method.best)["cell"].double()
    assert method.strengths()["cell"].equal(weights)
    assert list(method.report().scalars.values()) == [max(accuracies)]


def test_the_accuracy_of_the_supernet_is_that_of_the_same_paths_at_every_epoch():
    search, *_ = prepared("rsps")
    noise = Streams(search.spec.split.seed)["evaluated paths"]
    cells = [search.method.sample(noise) for _ in range(10)]
    parts = Probe(search).parts
    pairs = zip(parts, cells, strict=True)
    expected = [inherited_accuracy(search, part, cell) for part, cell in pairs]
    for _ in range(2):
        _, found = paths_accuracy(search, parts)
        assert found == pytest.approx(sum(expected) / 10)


@pytest.mark.parametrize(
    ("images", "each", "batches"), [(40, 40, 1), (100, 64, 1), (1024, 103, 1)]
)
def test_each_path_sees_a_tenth_of_the_probe_and_a_training_batch_at_least(
    images, each, batches
):
    search, *_ = prepared("rsps", dataset={"name": "digits"})
    ids = search.initial_sets["V"]
    ids = ids.repeat(1 + images // len(ids))[:images]
    parts = path_batches(search, ids)
    assert len(parts) == 10
    assert {sum(len(batch.ids) for batch in part) for part in parts} == {each}
    assert {len(part) for part in parts} == {batches}
    seen = torch.cat([batch.ids for part in parts for batch in part])
    assert set(seen.tolist()) == set(ids.tolist())


def test_a_mixture_has_no_parts_of_the_probe():
    search, *_ = prepared("darts")
    assert path_batches(search, search.initial_sets["V"]) == []


def test_without_candidates_the_page_shows_equal_shares():
    space = {"name": "nas-bench-201", "channels": 2, "cells": 1, "without": ["none"]}
    search, *_ = prepared("rsps", method={"epoch_candidates": 0}, space=space)
    assert list(search.method.after_epoch(1)) == []
    row = search.method.strengths()["cell"][0]
    assert row.tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert search.method.report().scalars == {}


def test_nodes_with_input_are_trained_and_all_nodes_compared():
    search, *_ = prepared("rsps", method={"nodes_with_input": True})
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        cell = search.space.decode(search.method.sample(generator))["cell"]
        for rows in (cell[:1], cell[1:3], cell[3:]):
            assert set(rows) != {"none"}
    candidates = search.method.candidates(200, generator)
    assert any(search.space.decode(c)["cell"][0] == "none" for c in candidates)


@pytest.mark.parametrize("exchange", ["schedules", "values"])
def test_there_is_no_learning_rate_to_exchange(exchange):
    with pytest.raises(SpecError) as caught:
        tiny(method={"name": "rsps"}, training={"exchange": exchange})
    (problem,) = caught.value.problems
    assert problem.field == "training.exchange"
    assert "switch the exchange off" in problem.sentence
