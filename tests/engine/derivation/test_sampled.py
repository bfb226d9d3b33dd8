"""The best of sampled architectures: judged as said, once each, and resumed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from searchjobs.engine import search as search_module
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import derivations, methods
from searchjobs.engine.derivation import sampled
from searchjobs.engine.diagnostics.accuracy import inherited_accuracy
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search as run

from ..conftest import tiny

CELLS = [
    "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
    "|nor_conv_1x1~0|+|none~0|none~1|+|avg_pool_3x3~0|skip_connect~1|none~2|",
]


def prepared(candidates=None, **options):
    """A derivation over a search that has not begun, with candidates of our own."""
    spec = tiny(selection={"name": "full"}, derivation={"name": "sampled", **options})
    search = compose(spec)
    if candidates is not None:
        search.method.candidates = lambda count, _: candidates[:count]
    return search, derivations.get("sampled")(spec.derivation, search)


def derived(derivation, epoch=0):
    *progress, winner = derivation.derive([], epoch)
    return progress, winner


def accuracy(search, cell, ids):
    return inherited_accuracy(search, [search.data.batch(ids)], cell)


def test_each_candidate_is_judged_on_the_next_batch_and_the_best_wins():
    search, derivation = prepared(CELLS, batch_size=40)
    progress, winner = derived(derivation)
    parts = derivation.parts
    assert [len(ids) for ids in parts] == [40, 40, 20]
    assert torch.cat(parts).sort().values.equal(search.selection.sets["V"])
    expected = [
        accuracy(search, cell, ids) for cell, ids in zip(CELLS, parts, strict=True)
    ]
    assert derivation.accuracies == pytest.approx(expected)
    assert winner.architecture == CELLS[expected.index(max(expected))]
    assert f"{max(expected):.1%}" in winner.note
    assert derivation.cost_units == 100
    assert [(p.phase, p.step, p.steps) for p in progress] == [
        ("derivation", n, 3) for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(("judged_on", "cost"), [("same-batch", 120), ("all", 300)])
def test_all_may_be_judged_on_the_same_images(judged_on, cost):
    search, derivation = prepared(CELLS, batch_size=40, judged_on=judged_on)
    derived(derivation)
    assert derivation.cost_units == cost
    parts = derivation.parts if judged_on == "all" else derivation.parts[:1]
    for cell, found in zip(CELLS, derivation.accuracies, strict=True):
        hits = sum(accuracy(search, cell, ids) * len(ids) for ids in parts)
        assert found == pytest.approx(hits / sum(map(len, parts)))


def test_an_architecture_that_comes_twice_is_judged_once():
    _, derivation = prepared([CELLS[0], CELLS[1], CELLS[0]], batch_size=40)
    derived(derivation)
    assert derivation.candidates == CELLS[:2]
    assert len(derivation.accuracies) == 2


def test_of_equals_the_one_drawn_first_wins():
    _, derivation = prepared(CELLS, batch_size=100)
    derivation._judge = lambda *_: 0.5
    assert derived(derivation)[1].architecture == CELLS[0]


def test_finalists_are_judged_again_on_the_whole_of_v():
    """Luck on a batch puts the third first; the whole of V puts the second first."""
    _, derivation = prepared(CELLS, batch_size=40, finalists=2)
    said = []

    def judge(number, parts):
        said.append((number, len(parts)))
        return ([0.1, 0.5, 0.9] if len(parts) == 1 else [0.9, 0.7, 0.6])[number]

    derivation._judge = judge
    progress, winner = derived(derivation)
    assert said == [(0, 1), (1, 1), (2, 1), (2, 3), (1, 3)]
    assert winner.architecture == CELLS[1]
    assert "70.0%" in winner.note
    assert progress[-1].step == progress[-1].steps == 5


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_derivation_goes_on_where_it_was(stop):
    _, whole = prepared(CELLS, batch_size=40, finalists=2)
    expected = derived(whole)[1]
    _, broken = prepared(CELLS, batch_size=40, finalists=2)
    going = broken.derive([], 0)
    for _ in range(stop):
        next(going)
    _, resumed = prepared([], batch_size=40, finalists=2)
    resumed.load_state_dict(broken.state_dict())
    assert resumed.cost_units == broken.cost_units
    progress, found = derived(resumed)
    assert found == expected
    assert len(progress) == 5 - stop
    assert resumed.cost_units == whole.cost_units


def test_a_search_resumed_in_its_derivation_ends_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(search_module, "DERIVATION_SAVE_SECONDS", 0.0)
    spec = tiny(
        selection={"name": "full"},
        training={"epochs": 1},
        derivation={"name": "sampled", "count": 6, "batch_size": 40},
    )
    expected = list(run(spec))[-1]
    seen = 0
    for event in run(spec, tmp_path):
        seen += event.type == "progress" and event.phase == "derivation"
        if seen == 3 and event.type == "checkpointed":
            break
    rest = list(run(spec, tmp_path, resume=True))
    steps = [e.step for e in rest if e.type == "progress" and e.phase == "derivation"]
    assert steps == [4, 5, 6]
    assert rest[-1].architectures == expected.architectures
    assert rest[-1].cost_units == pytest.approx(expected.cost_units)


def test_it_says_so_if_the_weights_are_not_those_of_the_epoch_that_was_named():
    search, derivation = prepared(CELLS)
    search.epoch = 5
    _, winner = derived(derivation, epoch=3)
    assert winner.epoch == 5
    assert "epoch 3, which a stopping rule has named" in winner.note
    assert "stopping rule" not in derived(derivation, epoch=5)[1].note


def test_any_method_has_candidates_even_one_that_says_nothing_of_them():
    search, _ = prepared()
    drawn = search.method.candidates(30, torch.Generator().manual_seed(0))
    assert len(set(drawn)) > 25
    for cell in drawn:
        search.space.decode(cell)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"count": 5, "finalists": 6}, "more than the candidates"),
        ({"judged_on": "all", "finalists": 2}, "need no second round"),
    ],
)
def test_finals_that_mean_nothing_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(SpecError, match=sentence) as caught:
        tiny(derivation={"name": "sampled", **options})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["snas", "gaea-erm"])
def test_weights_that_know_all_images_are_refused_in_a_sentence(name):
    with pytest.raises(SpecError, match="none is left to compare"):
        tiny(
            method={"name": name},
            selection={"name": "full"},
            derivation={"name": "sampled"},
        )


def test_it_names_no_method():
    text = Path(sampled.__file__).read_text()
    strings = {
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not strings & {part.name for part in methods.all()}
