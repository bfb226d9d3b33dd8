"""The network that scores samples, and the loop that all such trainings share."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from searchjobs.engine import fitting
from searchjobs.engine.contracts import selections, spaces
from searchjobs.engine.events import Progress
from searchjobs.engine.fitting import drawn
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SearchError
from searchjobs.engine.scoring_network import (
    NetworkOptions,
    ScoringNetwork,
    training_cost,
)

from .conftest import tiny
from .counted import counted
from .selection.pools import digits, images_of, pool_of

SHORT = NetworkOptions(epochs=4, batch_size=32, channels=4)


def train(network: ScoringNetwork, state=None, observe=None):
    return list(network.train(state, observe))


def test_it_learns_the_digits():
    pool = pool_of(digits(40))
    network = ScoringNetwork(pool, NetworkOptions(epochs=12, channels=8))
    train(network)
    found = network.logits()
    assert found.shape == (400, 10)
    assert (found.argmax(1) == pool.labels).double().mean() > 0.9


def test_every_sample_is_observed_once_an_epoch_with_its_label():
    pool = pool_of(digits(), ids=torch.arange(0, 200, 2))
    seen: dict[int, list] = {}

    def observe(epoch, ids, logits, labels):
        assert logits.shape == (len(ids), 10)
        assert not logits.requires_grad
        assert labels.tolist() == pool.data.labels[ids].tolist()
        seen.setdefault(epoch, []).extend(ids.tolist())

    train(ScoringNetwork(pool, SHORT), observe=observe)
    assert list(seen) == [1, 2, 3, 4]
    assert all(sorted(ids) == pool.ids.tolist() for ids in seen.values())
    assert seen[1] != seen[2]


@pytest.mark.parametrize("stop", [1, 3])
def test_it_goes_on_from_an_epoch_as_if_nothing_had_happened(stop):
    images = digits()
    whole = ScoringNetwork(pool_of(images), SHORT)
    train(whole)
    pool = pool_of(images)
    snapshot = next(
        item
        for item in ScoringNetwork(pool, SHORT).train()
        if getattr(item, "step", 0) == stop
    )
    held, streams = copy.deepcopy(snapshot.state), pool.streams.state_dict()
    later = pool_of(images)
    later.streams.load_state_dict(streams)
    again = ScoringNetwork(later, SHORT)
    train(again, held)
    assert torch.equal(again.logits(), whole.logits())


def test_runs_on_one_pool_are_independent_and_repeatable():
    images = digits()

    def found(run: int, pool=None):
        network = ScoringNetwork(pool or pool_of(images), SHORT, run)
        train(network)
        return network.logits()

    shared = pool_of(images)
    first, second = found(0, shared), found(1, shared)
    assert not torch.equal(first, second)
    assert torch.equal(second, found(1))  # whatever ran before it
    assert torch.equal(first, found(0))


def test_the_pool_alone_moves_no_random_state_of_others():
    before = torch.get_rng_state()
    train(ScoringNetwork(pool_of(digits(4)), SHORT))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_costs_three_forwards_a_sample():
    assert training_cost(NetworkOptions(epochs=7), 100) == 2100


def test_a_pass_of_the_network_has_the_multiply_adds_that_pytorch_counts():
    part = selections.get("loss")
    pool = pool_of(digits(4))
    network = ScoringNetwork(pool, SHORT)
    # the biases of the classifier, which PyTorch leaves out, are ten
    assert part.multiply_adds(SHORT, 10, 8) == 10 + counted(
        lambda: network.network(torch.zeros(1, 3, 8, 8))
    )


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("darts", {}),
        ("pc-darts", {"partial": 4}),
        ("gdas", {"drawn": True}),
    ],
)
def test_a_search_pays_for_the_scoring_by_the_ratio_of_multiply_adds(method, given):
    spec = tiny(
        space={"name": "nas-bench-201", "channels": 8, "cells": 1},
        method={"name": method},
        training={"warmup_epochs": 0},
        selection={"name": "loss", "epochs": 3, "channels": 4, "keep_train": 0.5},
    )
    space = spaces.get("nas-bench-201")(spec.space)
    ratio = selections.get("loss").multiply_adds(spec.selection, 10, 8)
    ratio /= space.multiply_adds(10, 8, **given)
    # three epochs of three forwards, and one that measures, of 100 samples of T
    assert plan(spec).preparation_units == pytest.approx(1000 * ratio)
    assert 0 < ratio < 1


def test_epochs_shorter_than_the_time_between_two_words_are_told_all_the_same(
    monkeypatch,
):
    """Every look at the clock is a quarter of a second later, so an epoch of two steps
    takes three quarters."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) / 4)
    monkeypatch.setattr(fitting, "time", clock)
    options = NetworkOptions(epochs=8, batch_size=20, channels=2)
    told = train(ScoringNetwork(pool_of(digits(4)), options))
    words = [item for item in told if isinstance(item, Progress)]
    assert 4 <= len(words) <= 6
    assert {(word.epochs, word.steps) for word in words} == {(8, 2)}
    assert all(word.samples_per_second > 0 for word in words)


def test_a_loss_that_is_no_number_ends_it_with_a_sentence():
    pool = pool_of(digits(4))
    network = ScoringNetwork(pool, NetworkOptions(epochs=5, channels=2))
    with torch.no_grad():
        next(network.network.parameters()).fill_(torch.inf)
    words = r"no longer a finite number in epoch 1 \(scoring\)"
    with pytest.raises(SearchError, match=words):
        train(network)


def test_images_of_double_precision_are_scored_in_double_precision():
    pool = pool_of(digits(4))
    data = type(pool.data)(digits(4), pool.device, torch.float64)
    network = ScoringNetwork(replace(pool, data=data), SHORT)
    train(network)
    assert network.logits().dtype == torch.float64


@pytest.mark.parametrize("side", [8, 13, 32])
def test_images_of_any_size_fit(side):
    pixels = torch.randint(256, (6, 3, side, side), dtype=torch.uint8)
    pool = pool_of(images_of(pixels, torch.arange(6) % 2))
    assert ScoringNetwork(pool, SHORT).logits().shape == (6, 2)


def test_weights_are_drawn_by_pytorchs_own_rule():
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(8, 30, 5), nn.ConvTranspose2d(30, 40, 4), nn.Linear(70, 900)
        )

    found = drawn(build, torch.Generator().manual_seed(1))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        usual = build()
    for ours, theirs in zip(found.parameters(), usual.parameters(), strict=True):
        assert ours.shape == theirs.shape
        most = [each.detach().abs().max().item() for each in (ours, theirs)]
        assert most[0] == pytest.approx(most[1], rel=0.15)
