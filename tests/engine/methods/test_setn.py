"""SETN: uniform paths for w, the full mixture for alpha, the likeliest at the end."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.search import search as run
from searchjobs.engine.spec import SearchSpec

from ..conftest import tiny
from .paths import convolutions_run, wanted
from .prepared import prepared


def path_to_come(search):
    """The architecture of the next weight step, left in its stream."""
    stream = search.streams["paths"]
    state = stream.get_state()
    drawn = torch.multinomial(torch.ones(6, 5).double(), 1, generator=stream)
    stream.set_state(state)
    return drawn.squeeze(1)


def test_a_weight_step_runs_one_uniform_architecture():
    search, train, _ = prepared("setn")
    for _ in range(4):
        path = path_to_come(search)
        with torch.no_grad():
            weights = {"cell": torch.eye(5).double()[path]}
            expected = search.supernet(train.images, weights)
        counts, result = convolutions_run(
            search, lambda: search.method.weight_step(train)
        )
        assert counts == wanted(path.tolist())
        torch.testing.assert_close(result.logits, expected)


def test_an_architecture_step_descends_the_loss_of_the_mixture():
    search, _, valid = prepared("setn")
    alpha = search.method.alpha()["cell"].clone().requires_grad_()
    logits = search.supernet(valid.images, {"cell": alpha.softmax(-1)})
    (expected,) = torch.autograd.grad(cross_entropy(logits, valid.labels), alpha)
    result, (found,) = search.method.alpha_half(valid)
    torch.testing.assert_close(result.logits, logits.detach())
    torch.testing.assert_close(found, expected)
    counts, _ = convolutions_run(
        search, lambda: search.method.architecture_step(valid, ())
    )
    assert counts == {1: 18, 3: 18}


def test_weights_are_not_clipped_and_everything_else_is_the_recipe():
    training = SearchSpec.model_validate({"method": {"name": "setn"}}).training
    assert (training.clip, training.epochs, training.batch_size) == (0, 250, 64)
    assert (training.weight_lr, training.weight_decay) == (0.025, 5e-4)


def likely(search):
    with torch.no_grad():
        drawn = torch.randn(6, 5, generator=torch.Generator().manual_seed(7))
        search.method.tables["cell"].copy_(drawn)
    return search.method.alpha()["cell"].log_softmax(-1).tolist()


def test_candidates_are_the_likeliest_of_all_architectures():
    search, *_ = prepared("setn")
    log_p, names = likely(search), search.space.operations
    ranked = sorted(
        itertools.product(range(5), repeat=6),
        key=lambda cell: -sum(log_p[row][o] for row, o in enumerate(cell)),
    )
    found = search.method.candidates(100, torch.Generator())
    assert found == [
        search.space.encode({"cell": [names[o] for o in cell]}) for cell in ranked[:100]
    ]


def test_candidates_may_be_drawn_by_their_probability():
    search, *_ = prepared("setn", method={"candidates": "drawn"})
    log_p = likely(search)
    generator = torch.Generator().manual_seed(0)
    found = [search.space.decode(a) for a in search.method.candidates(2000, generator)]
    first = search.space.operations[max(range(5), key=log_p[0].__getitem__)]
    share = sum(cell["cell"][0] == first for cell in found) / 2000
    assert share == pytest.approx(torch.tensor(max(log_p[0])).exp().item(), abs=0.04)


def test_the_best_of_the_likeliest_is_derived_unless_another_way_is_asked_for():
    spec = tiny(
        method={"name": "setn"}, selection={"name": "full"}, training={"epochs": 1}
    )
    assert spec.derivation.name == "sampled"
    found = list(run(spec))[-1].architectures
    assert [item.derivation for item in found] == ["sampled"]
    asked = tiny(method={"name": "setn"}, derivation={"name": "argmax"})
    assert asked.derivation.name == "argmax"
