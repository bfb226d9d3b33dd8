"""Methods with steps of their own, shared by two processes: alpha is that of one.

In double precision, on batches that do not halve; second derivatives, attacks,
restored weights, draws, decisions, stages and a derivation that trains on included.
"""

from __future__ import annotations

import numpy as np
import pytest

from searchjobs.engine import parallel
from searchjobs.engine.compose import compose
from searchjobs.engine.contracts import derivations

from ..conftest import tiny
from ..ranks import on_ranks
from .prepared import prepared

CASES = {
    "second order": {"name": "darts-2nd"},
    "second order, exact": {"name": "darts-2nd", "product": "exact"},
    "implicit": {"name": "idarts"},
    "random perturbation": {"name": "sdarts"},
    "attack": {"name": "sdarts", "perturbation": "adversarial", "attack_steps": 2},
    "regularised": {"name": "beta-darts", "slope": 10},
    "auxiliary identity": {"name": "darts-minus"},
    "gates": {"name": "fair-darts"},
    "two networks": {"name": "cdarts"},
    "decisions": {"name": "sgas"},
    "soft draws, one level": {"name": "snas"},
    "hard draws, one level": {"name": "dsnas"},
    "stages": {"name": "p-darts", "operations": (5, 3), "skip_dropout": (0.1, 0.4)},
}
#: Epochs that are begun, where one is not enough; of six.
EPOCHS = {"decisions": (1, 2), "stages": (3, 4)}


def alphas(ours, devices):
    """Return alpha after two steps of each kind an epoch, and before them, and what
    the rows may still take."""
    found = {}
    for case, method in CASES.items():
        options = {key: value for key, value in method.items() if key != "name"}
        run, train, valid = prepared(
            method["name"],
            train=9,
            valid=7,
            method=options,
            compute={"devices": devices},
            training={"warmup_epochs": 0},
        )
        single = run.method.streams(run.spec.method) == "single"
        before = run.method.alpha()["cell"].tolist()
        for run.epoch in EPOCHS.get(case, (2,)):
            run.method.start_epoch(run.epoch)
            for _ in range(2):
                run.method.weight_step(train)
                if not single:
                    run.method.architecture_step(valid, [train])
            list(run.method.after_epoch(run.epoch))
        after = run.method.alpha()["cell"].tolist()
        found[case] = before, after, run.space.mask("cell").tolist()
    return found


def projected(ours, devices):
    """Return what a projection with a tuning epoch between decisions leaves behind."""
    run = compose(
        tiny(
            dataset={"name": "digits", "per_class": 6},
            selection={"name": "full"},
            derivation={"name": "projection", "tune_epochs": 1},
            compute={"precision": "double", "devices": devices},
        )
    )
    run.method.start_epoch(1)
    derivation = derivations.get("projection")(run.spec.derivation, run)
    *_, found = derivation.derive([], 0)
    return (
        run.method.alpha()["cell"].tolist(),
        found.architecture,
        derivation.cost_units,
    )


@pytest.fixture(scope="module")
def both():
    return alphas(parallel.ALONE, 1), on_ranks(alphas, 2)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_alpha_of_one(both, case):
    alone, (leader, other) = both
    assert leader[case] == other[case]
    before, after, allowed = alone[case]
    assert np.abs(np.subtract(leader[case][1], after)).max() < 1e-9
    assert np.abs(np.subtract(after, before)).max() > 1e-4, "alpha has moved"
    assert leader[case][2] == allowed
    assert np.all(allowed) == (case not in EPOCHS), "rows have lost operations"


def test_two_processes_project_as_one_does():
    alpha, architecture, cost = projected(parallel.ALONE, 1)
    leader, other = on_ranks(projected, 2)
    assert leader == other
    assert np.abs(np.subtract(leader[0], alpha)).max() < 1e-9
    assert leader[1:] == (architecture, cost)
