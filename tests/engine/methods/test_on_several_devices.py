"""Methods with steps of their own, shared by two processes: alpha is that of one.

In double precision, on batches that do not halve; second derivatives, attacks and
restored weights included.
"""

from __future__ import annotations

import numpy as np
import pytest

from searchjobs.engine import parallel

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
}


def alphas(ours, devices):
    """Return alpha after two steps of each kind, and before them."""
    found = {}
    for case, method in CASES.items():
        options = {key: value for key, value in method.items() if key != "name"}
        run, train, valid = prepared(
            method["name"],
            train=9,
            valid=7,
            method=options,
            compute={"devices": devices},
        )
        found[case] = [run.method.alpha()["cell"].tolist()]
        run.method.start_epoch(2)
        for _ in range(2):
            run.method.weight_step(train)
            run.method.architecture_step(valid, [train])
        found[case].append(run.method.alpha()["cell"].tolist())
    return found


@pytest.fixture(scope="module")
def both():
    return alphas(parallel.ALONE, 1), on_ranks(alphas, 2)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_alpha_of_one(both, case):
    alone, (leader, other) = both
    assert leader[case] == other[case]
    assert np.abs(np.subtract(leader[case], alone[case])).max() < 1e-9
    before, after = alone[case]
    assert np.abs(np.subtract(after, before)).max() > 1e-4, "alpha has moved"
