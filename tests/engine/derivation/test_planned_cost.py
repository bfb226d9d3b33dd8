"""What a derivation costs is planned: the figures of the plan are those of the run."""

from __future__ import annotations

import pytest

from searchjobs.engine import plan as planning
from searchjobs.engine.contracts import derivations
from searchjobs.engine.search import search

from ..methods.test_every_method import short

BDP = {
    "name": "bdp",
    "window": 2,
    "prune_train": 0.2,
    "prune_valid": 0.2,
    "class_limit": False,
}
TUNED = {"name": "projection", "tune_epochs": 1}

#: Method, derivation and other changes whose cost is known before the search.
EXACT = {
    "argmax": ("darts", {"name": "argmax"}, {}),
    "magnitude-peak": ("darts", {"name": "magnitude-peak", "min_epoch": 1}, {}),
    "validated": ("darts", {"name": "validated"}, {}),
    "validated, pruned": ("darts", {"name": "validated"}, {"selection": BDP}),
    "validated, all decided": ("sgas", {"name": "validated"}, {}),
    "projection": ("darts", TUNED, {}),
    "projection, pruned": ("darts", TUNED, {"selection": BDP}),
    "projection, blank": ("darts", {**TUNED, "blank": True}, {}),
    "projection, all decided": ("sgas", TUNED, {}),
    "sampled": ("setn", {"name": "sampled", "count": 7, "batch_size": 30}, {}),
    "sampled, pruned": (
        "setn",
        {"name": "sampled", "count": 7, "batch_size": 30, "finalists": 2},
        {"selection": BDP},
    ),
    "sampled, one batch": (
        "setn",
        {"name": "sampled", "count": 3, "batch_size": 30, "judged_on": "same-batch"},
        {},
    ),
    "sampled, all of V": (
        "setn",
        {"name": "sampled", "count": 3, "judged_on": "all"},
        {},
    ),
}

#: Those of which the plan knows a bound alone.
BOUNDED = {
    "validated, stages": (
        "p-darts",
        {"name": "validated"},
        {"training": {"epochs": 4, "batch_size": 25, "warmup_epochs": 1}},
    ),
    "projection, stages": ("p-darts", TUNED, {}),
    "drawn twice": ("rsps", {"name": "sampled", "count": 400, "batch_size": 30}, {}),
}


def run(case):
    method, derivation, changes = case
    spec = short(method, derivation=derivation, **changes)
    events = list(search(spec))
    return events[0].plan, events[-1].cost_units


def test_every_derivation_has_a_case():
    assert {part.name for part in derivations.all()} <= {
        derivation["name"] for _, derivation, _ in EXACT.values()
    }


@pytest.mark.parametrize("case", EXACT)
def test_the_plan_is_what_the_finished_run_reports(case):
    plan, cost = run(EXACT[case])
    assert cost == pytest.approx(plan.cost_units)
    name = EXACT[case][1]["name"]
    free = name in ("argmax", "magnitude-peak") or case == "projection, all decided"
    assert (plan.derivation_units == 0) == free
    assert plan.derivation_at_most == (name == "sampled")


@pytest.mark.parametrize("case", BOUNDED)
def test_what_cannot_be_known_before_is_a_bound_and_called_so(case):
    plan, cost = run(BOUNDED[case])
    assert plan.derivation_at_most
    least = plan.cost_units - plan.derivation_units
    assert least < cost <= plan.cost_units + 1e-6


def test_a_bound_of_stages_is_exact_where_no_operation_is_silent():
    method, derivation, _ = BOUNDED["validated, stages"]
    space = {
        "name": "nas-bench-201",
        "channels": 4,
        "cells": 1,
        "without": ["none", "nor_conv_1x1"],
    }
    options = {"name": method, "operations": (3, 2), "skip_dropout": (0.1, 0.4)}
    plan, cost = run((method, derivation, {"space": space, "method": options}))
    assert not plan.derivation_at_most
    assert cost == pytest.approx(plan.cost_units)


def test_architectures_are_no_more_than_the_space_offers():
    without = ["none", "nor_conv_1x1", "nor_conv_3x3"]
    space = {"name": "nas-bench-201", "channels": 4, "cells": 1, "without": without}
    wanted = {"name": "sampled", "count": 1000, "judged_on": "all"}
    plan = planning.plan(short("setn", space=space, derivation=wanted))
    assert plan.derivation_units == 2**6 * 100


def test_the_search_on_all_samples_pays_for_its_derivation_too():
    plan = planning.plan(short("darts", derivation=TUNED))
    assert plan.cost_share == 1
    assert len(plan.baseline_epochs) == 4
    rest = plan.baseline_units - sum(plan.baseline_epochs)
    assert rest == plan.derivation_units > 0


def test_the_epochs_of_that_search_differ_where_alpha_rests():
    first, *others = planning.plan(short("darts")).baseline_epochs
    assert first == 300
    assert others == [600] * 3
