"""DARTS-PT: the right operation where it is known, the cost, and going on half-way."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine import epoch as epochs
from searchjobs.engine import removal
from searchjobs.engine import search as search_module
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import Derived, Method, derivations, methods
from searchjobs.engine.diagnostics.statistics import batch_statistics
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny
from ..methods.test_every_method import short
from ..test_resume import run_until, told

FULL = {"name": "full"}


def prepared(tune=0, changes=None, **options):
    """Plain DARTS before its first epoch, to be projected."""
    return compose(
        tiny(
            selection=FULL,
            derivation={"name": "projection", "tune_epochs": tune, **options},
            **(changes or {}),
        )
    )


def train(run, steps):
    run.method.start_epoch(1)
    run.supernet.train()
    ids = run.initial_sets["T"]
    for step in range(steps):
        first = 25 * (step % 4)
        run.method.weight_step(run.data.batch(ids[first : first + 25]))
    run.epoch = 1


def projected(run):
    derivation = derivations.get("projection")(run.spec.derivation, run)
    found = list(derivation.derive([], run.epoch))
    assert isinstance(found[-1], Derived)
    return found[-1], derivation


# -- deciding -------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_the_operation_that_alone_carries_the_signal_is_found(measure):
    """One edge from input to output has a skip connection; all else is ``none``, and
    the convolutions are zero."""
    run = prepared(measure=measure)
    with torch.no_grad():
        run.method.tables["cell"][:, 0] = 12.0
        run.method.tables["cell"][3] = torch.tensor([0.0, 12.0, 0.0, 0.0, 0.0])
        for name, parameter in run.supernet.named_parameters():
            if "nor_conv" in name:
                parameter.zero_()
    train(run, 24)
    found, _ = projected(run)
    assert run.space.decode(found.architecture)["cell"][3] == "skip_connect"


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_edges_are_decided_one_by_one_against_what_is_decided_already(measure):
    """By textbook forwards over all of V at once, the other weights as they are."""
    run = prepared(measure=measure)
    train(run, 8)
    batch = run.data.batch(run.initial_sets["V"])
    order = torch.Generator()
    order.set_state(run.streams["projection"].get_state())
    p = run.method.alpha()["cell"].softmax(-1)
    weights, open_rows = p.clone(), list(range(6))
    with torch.no_grad(), batch_statistics(run.supernet):
        while open_rows:
            row = open_rows.pop(int(torch.randint(len(open_rows), (), generator=order)))
            keys = []
            for operation in range(5):
                without = weights.clone()
                without[row, operation] = 0
                logits = run.supernet(batch.images, {"cell": without})
                hits = int((logits.argmax(-1) == batch.labels).sum())
                loss = cross_entropy(logits.double(), batch.labels).item()
                pair = (hits, -loss) if measure == "accuracy" else (-loss, hits)
                keys.append((*pair, operation))
            weights[row] = 0
            weights[row, min(keys)[-1]] = 1
    expected = [run.space.operations[i] for i in weights.argmax(-1).tolist()]
    found, derivation = projected(run)
    assert found.architecture == run.space.encode({"cell": expected})
    # 4 operations but none and the whole supernet, six times over 100 images
    assert derivation.cost_units == 6 * 5 * 100
    assert run.space.active()["cell"] == [
        [i] for i in run.method.strengths()["cell"].argmax(-1).tolist()
    ]


def test_the_order_of_the_edges_is_drawn_and_not_fixed():
    orders = set()
    for seed in range(1, 5):
        run = prepared(changes={"seed": seed})
        derivation = derivations.get("projection")(run.spec.derivation, run)
        order, before = [], set(range(6))
        for item in derivation.derive([], 0):
            left = {row for _, row in derivation._open_edges()}
            order += sorted(before - left)
            before = left
            assert item.type == "progress" if not isinstance(item, Derived) else True
        orders.add(tuple(order))
        assert sorted(order) == list(range(6))
    assert len(orders) > 1


# -- tuning ---------------------------------------------------------------------------


def test_tuning_takes_all_epochs_but_none_after_the_last_decision():
    run = prepared(tune=2)
    train(run, 4)
    _, derivation = projected(run)
    tuning = 5 * 2 * 3 * (100 + 100)
    assert derivation.cost_units == 6 * 5 * 100 + tuning


def test_the_defaults_tune_for_25_epochs_at_a_tenth_of_the_rate():
    options = tiny(derivation={"name": "projection"}).derivation
    assert 5 * options.tune_epochs == 25
    assert options.weight_lr == 0.0025


def test_the_weights_tune_at_a_constant_rate_without_the_search_s_momentum():
    run = prepared(tune=1)
    train(run, 4)
    method, seen = run.method, []
    assert method.weights.optimiser.state
    inner = method.weight_step

    def weight_step(batch):
        if not seen:
            assert not method.weights.optimiser.state
        seen.append(method.learning_rates()["weights"])
        return inner(batch)

    method.weight_step = weight_step
    before = method.alpha()["cell"].clone()
    projected(run)
    assert seen == [0.0025] * 20  # five epochs of four batches
    assert not torch.equal(method.alpha()["cell"], before)


def test_a_tuned_supernet_runs_only_what_is_left():
    run = prepared(tune=1)
    derivation = derivations.get("projection")(run.spec.derivation, run)
    steps = derivation.derive([], 0)
    next(steps)  # the first decision
    ((table, row),) = {("cell", r) for r in range(6)} - set(derivation._open_edges())
    list(zip(range(1), steps, strict=False))  # the tuning epoch after it
    kept = run.space.allowed(table)[row].nonzero().item()
    weights = run.method.strengths()[table]
    assert weights[row, kept] == 1
    assert (weights.sum(-1) - 1).abs().max() < 1e-6


# -- blank ----------------------------------------------------------------------------


def test_blank_leaves_alpha_as_it_began_and_still_finds_an_architecture():
    spec = tiny(
        selection=FULL,
        training={"epochs": 2},
        derivation={"name": "projection", "tune_epochs": 1, "blank": True},
    )
    assert plan(spec).architecture_steps == [0, 0]
    events = list(search(spec))
    first, last = epochs_of(events)
    began = compose(spec).method.alpha()["cell"].tolist()
    assert first.alpha["cell"] == last.alpha["cell"] == began
    assert events[-1].architectures[0].derivation == "projection"
    assert events[-1].cost_units == 2 * 300 + 6 * 5 * 100 + 5 * 300


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("rsps", "no mixture of operations"),
        ("snas", "trains the weights on all images"),
        ("gdas", "have never met the mixture"),
        ("setn", "have never met the mixture"),
    ],
)
def test_what_cannot_be_projected_is_refused_in_a_sentence(method, words):
    with pytest.raises(SpecError, match=words) as caught:
        tiny(method={"name": method}, derivation={"name": "projection"})
    assert [problem.field for problem in caught.value.problems] == ["derivation"]


ACTING = {
    "vp-darts": {},
    "sgas": {"warmup": 20},
    "p-darts": {"operations": (5, 3), "skip_dropout": (0.1, 0.4)},
    "drnas": {"progressive": True, "partial": (2, 1)},
}


@pytest.mark.parametrize("name", ACTING)
def test_blank_is_refused_where_alpha_decides_between_the_epochs(name):
    wanted = {"name": "projection", "blank": True}
    with pytest.raises(SpecError, match="would decide by chance") as caught:
        short(name, method={"name": name, **ACTING[name]}, derivation=wanted)
    assert [problem.field for problem in caught.value.problems] == ["derivation.blank"]


@pytest.mark.parametrize(
    "method", [{"name": "drnas"}, {"name": "vp-darts", "pruning": "hard"}]
)
def test_blank_is_offered_where_alpha_decides_at_the_end_alone(method):
    short("", method=method, derivation={"name": "projection", "blank": True})


@pytest.mark.parametrize(("tune", "refused"), [(5, True), (0, False)])
def test_recorded_graphs_are_refused_where_steps_follow_a_decision(tune, refused):
    spec = tiny(compute={"backend": "graphs"})
    options = derivations.get("projection").Options(tune_epochs=tune)
    found = derivations.get("projection").problems(options, spec)
    assert [problem.field for problem in found] == ["compute.backend"] * refused


# -- going on half-way ----------------------------------------------------------------


def at_every_point(monkeypatch):
    """Tell and save at every point at which that can be done."""
    monkeypatch.setattr(search_module, "DERIVATION_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(epochs, "PROGRESS_SECONDS", 0.0)


def until_saved(spec, folder, count):
    """Search until the derivation has been saved ``count`` times, then drop it."""
    events, saved = [], 0
    for event in search(spec, folder):
        events.append(event)
        saved += event.type == "checkpointed" and events[-2].type == "progress"
        if saved == count:
            break
    return events


def test_from_every_point_it_goes_on_bit_identically(monkeypatch, tmp_path):
    spec = tiny(
        dataset={"name": "digits", "per_class": 60},  # 300 in V: two batches a test
        selection=FULL,
        training={"epochs": 1, "batch_size": 100},
        derivation={"name": "projection", "tune_epochs": 1},
    )
    at_every_point(monkeypatch)
    whole = list(search(spec, tmp_path / "whole"))
    saved = sum(
        now.type == "checkpointed" and before.type == "progress"
        for before, now in itertools.pairwise(whole)
    )
    # two batches and a decision six times, five tuning epochs, not their steps
    assert saved == 6 * 3 + 5
    assert sum(event.type == "progress" for event in whole) > saved + 5
    for point in (1, 4):  # in the middle of a test; after a tuning epoch
        folder = tmp_path / str(point)
        first = until_saved(spec, folder, point)
        rest = list(search(spec, folder, resume=True))
        assert told(first) + told(rest) == told(whole), point


PROJECTED = [
    part.name
    for part in methods.all()
    if issubclass(part, Method)
    and part.gradient_based
    and part.streams(part.Options()) == "split"
    and not part.sampled_paths
]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROJECTED)
def test_every_method_with_a_mixture_can_be_projected_and_resumed(
    name, monkeypatch, tmp_path
):
    spec = short(name, derivation={"name": "projection", "tune_epochs": 1})
    at_every_point(monkeypatch)
    whole = list(search(spec, tmp_path / "whole"))
    assert whole[-1].architectures[0].architecture
    first = until_saved(spec, tmp_path / "broken", 3)
    rest = list(search(spec, tmp_path / "broken", resume=True))
    decided_all = first[-1].type == "finished"  # SGAS leaves nothing to project
    assert told(first) + (told(rest) if not decided_all else []) == told(whole)


def test_a_search_that_ended_before_the_projection_finds_its_last_temperature(
    tmp_path,
):
    spec = tiny(
        method={"name": "snas", "level": "bilevel"},
        selection=FULL,
        training={"epochs": 2},
        derivation={"name": "projection", "tune_epochs": 1},
    )
    first = run_until(spec, tmp_path, 2)
    rest = list(search(spec, tmp_path, resume=True))
    assert told(first) + told(rest) == told(list(search(spec)))
