"""SGAS: its three scores by hand, its schedule, and decided edges that stay decided."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from searchjobs.engine.compose import compose
from searchjobs.engine.methods.sgas import (
    Sgas,
    SgasOptions,
    certainty,
    decision_epochs,
    normalised,
    scores,
    shares,
    stability,
)
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.spec import SearchSpec

from ..conftest import epochs_of, tiny

EVERYTHING = torch.ones(3, 3, dtype=torch.bool)
NONE = torch.tensor([True, False, False])
#: Three edges over (none, a, b), as probabilities.
P = torch.tensor([[0.2, 0.4, 0.4], [0.5, 0.4, 0.1], [0.4, 0.54, 0.06]]).double()


def spec_of(**method):
    return tiny(
        method={"name": "sgas", "warmup": 1, "interval": 1, **method},
        selection={"name": "full"},
        training={"epochs": 12},
    )


def alpha_of(search):
    return search.method.alpha()["cell"].clone()


# -- the scores -----------------------------------------------------------------------


def test_importance_is_what_none_leaves_and_the_rest_is_shared_anew():
    found = shares(P.log(), EVERYTHING, NONE)
    assert found.importance.tolist() == pytest.approx([0.8, 0.5, 0.6])
    assert found.operations[:, 0].tolist() == [0, 0, 0]
    assert found.operations[1].tolist() == pytest.approx([0, 0.8, 0.2])
    assert found.choices.tolist() == [2, 2, 2]


def test_certainty_is_one_minus_the_entropy_over_its_greatest_value():
    found = certainty(shares(P.log(), EVERYTHING, NONE)).tolist()
    assert found[0] == pytest.approx(0)
    by_hand = 1 + (0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2)
    assert found[1] == pytest.approx(by_hand) == pytest.approx(0.278072)
    assert found[2] == pytest.approx(0.531004, abs=1e-6)


def test_an_edge_with_one_operation_left_is_certain():
    only = torch.tensor([[True, False, True]])
    found = shares(torch.zeros(1, 3), only, NONE)
    assert certainty(found).tolist() == [1]


def test_stability_is_the_mean_intersection_with_the_past():
    found = shares(P.log(), EVERYTHING, NONE)
    past = [torch.tensor([[0, 0.5, 0.5], [0, 0.6, 0.4], [0, 0, 1.0]]).double()]
    assert stability(found, past).tolist() == pytest.approx([1.0, 0.8, 0.1])
    past.append(found.operations)
    assert stability(found, past).tolist() == pytest.approx([1.0, 0.9, 0.55])


def test_without_a_past_the_stability_is_zero_and_so_is_criterion_two():
    """Vector 12 of the methods spec."""
    found = shares(P.log(), EVERYTHING, NONE)
    assert stability(found, []).tolist() == [0, 0, 0]
    assert scores(found, []).tolist() == [0, 0, 0]


def test_the_criteria_are_products_of_what_is_stretched_between_the_edges():
    found = shares(P.log(), EVERYTHING, NONE)
    third = 1 / 3 * 1  # importance (0.6 - 0.5) / (0.8 - 0.5), the greatest certainty
    assert scores(found, None).tolist() == pytest.approx([0, 0, third])
    past = [torch.tensor([[0, 0.5, 0.5], [0, 0.6, 0.4], [0, 0.7, 0.3]]).double()]
    # intersections 1, 0.8, 0.8: the third edge is the least stable with the second
    assert scores(found, past).tolist() == pytest.approx([0, 0, 0])
    past = [torch.tensor([[0, 0.5, 0.5], [0, 0.2, 0.8], [0, 0.7, 0.3]]).double()]
    # intersections 1, 0.4, 0.8
    assert scores(found, past).tolist() == pytest.approx([0, 0, third * 2 / 3])


def test_a_space_without_none_leaves_the_choice_to_the_certainty():
    found = shares(P.log(), EVERYTHING, ~EVERYTHING[0])
    assert found.importance.tolist() == pytest.approx([1, 1, 1])
    assert scores(found, None).tolist() == pytest.approx(
        normalised(certainty(found)).tolist()
    )


@given(
    st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=2),
    st.booleans(),
)
def test_scores_lie_between_zero_and_one(rows, remembers):
    alpha = torch.tensor(rows).double()
    found = shares(alpha, torch.ones(alpha.shape, dtype=torch.bool), NONE)
    history = [found.operations.flip(0)] if remembers else None
    score = scores(found, history)
    assert ((score >= 0) & (score <= 1)).all()
    assert torch.allclose(found.operations.sum(-1), torch.ones(len(rows)).double())


# -- the schedule ---------------------------------------------------------------------


def test_the_defaults_decide_six_edges_in_fifty_epochs():
    """Vector 12 of the methods spec."""
    spec = SearchSpec.model_validate(
        {"method": {"name": "sgas"}, "dataset": {"name": "digits"}}
    )
    assert spec.training.epochs == 50
    assert decision_epochs(spec.method, 50, 6) == [10, 17, 24, 31, 38, 45]
    assert decision_epochs(SgasOptions(interval=5), 50, 8)[-1] == 45


@pytest.mark.parametrize("epochs", [1, 2, 7, 25, 50, 100, 333])
def test_any_number_of_epochs_has_all_its_decisions(epochs):
    found = decision_epochs(SgasOptions(), epochs, 6)
    assert len(found) == 6
    assert found == sorted(found)
    assert found[0] >= 1
    assert found[-1] <= epochs
    if epochs == 100:
        assert found == [20, 34, 48, 62, 76, 90]


def test_the_batch_grows_by_eight_images_after_each_decision():
    spec = tiny(
        method={"name": "sgas"},
        selection={"name": "full"},
        training={"epochs": 50, "batch_size": 16},
    )
    sizes = [Sgas.batch_size(spec, epoch) for epoch in (1, 10, 11, 17, 18, 45, 46)]
    assert sizes == [16, 16, 24, 24, 32, 56, 64]
    steps = plan(spec).weight_steps
    assert steps[9] == 7  # 100 images in batches of 16
    assert steps[10] == 5  # in batches of 24, the last of four


@pytest.mark.parametrize(
    ("method", "training", "words"),
    [
        ({"scale": False}, {"epochs": 20}, "after epoch 45, and the search has 20"),
        ({}, {"epochs": 20, "warmup_epochs": 6}, "Alpha stands still"),
        ({"criterion": "2"}, {"epochs": 5}, "compares with earlier epochs"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_in_a_sentence(method, training, words):
    with pytest.raises(SpecError, match=words) as refused:
        tiny(method={"name": "sgas", **method}, training=training)
    assert len(refused.value.problems) == 1


# -- the search -----------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["1", "2"])
def test_edges_are_decided_one_by_one_and_never_again(criterion):
    reports = epochs_of(list(search(spec_of(criterion=criterion))))
    decided = [report.method.decided["cell"] for report in reports]
    made = [sum(o is not None for o in row) for row in decided]
    assert made == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6]
    for before, after in itertools.pairwise(decided):
        for old, new in zip(before, after, strict=True):
            assert old in (None, new)
    assert "none" not in decided[-1]
    assert reports[-1].nones == 0
    assert reports[-1].entropy["cell"] == pytest.approx([0] * 6)


def test_the_alpha_of_a_decided_edge_stands_still_though_adam_has_momentum():
    run = compose(spec_of())
    method, ids = run.method, run.initial_sets["V"]
    method.start_epoch(1)
    for first in (0, 20):
        method.architecture_step(run.data.batch(ids[first : first + 20]), ())
    method.decide("cell", 2, 3)
    before = alpha_of(run)
    method.architecture_step(run.data.batch(ids[40:60]), ())
    after = alpha_of(run)
    assert torch.equal(after[2], before[2])
    moved = [row for row in range(6) if not torch.equal(after[row], before[row])]
    assert moved == [0, 1, 3, 4, 5]
    assert method.edge_weights()["cell"][2].tolist() == [0, 0, 0, 1, 0]
    assert run.space.active()["cell"][2] == [3]


def test_none_is_taken_only_where_nothing_else_may_be():
    run = compose(spec_of())
    with torch.no_grad():
        run.method.tables["cell"][:, 0] = 9.0  # none, by far
    list(run.method.after_epoch(2))
    (name,) = {*run.method.report().decided["cell"]} - {None}
    assert name != "none"

    run = compose(spec_of())
    only_none = torch.zeros(6, 5, dtype=torch.bool)
    only_none[:, 0] = True
    run.space.restrict("cell", only_none)
    run.method = type(run.method)(run.spec.method, run)
    list(run.method.after_epoch(2))
    assert run.method.report().decided["cell"].count("none") == 1
