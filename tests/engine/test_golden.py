"""A tiny seeded search of every method still ends where it ended when it was recorded.

In double precision, so that another processor's rounding does not decide. A change that
is meant to change results is recorded anew: ``make golden``, and the diff is read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from searchjobs.engine.search import search

from .conftest import epochs_of
from .methods.test_every_method import NAMES, short

FOLDER = Path(__file__).with_name("golden")
RECORD = os.environ.get("NASWEB_RECORD_GOLDEN") == "1"


def found(name: str) -> dict[str, Any]:
    """The last epoch and the architectures of a method's short search."""
    events = list(search(short(name, compute={"precision": "double"})))
    last = epochs_of(events)[-1]
    return {
        "genotype": last.genotype,
        "architectures": [item.architecture for item in events[-1].architectures],
        "train_loss": last.train_loss,
        "alpha": last.alpha,
        "strengths": last.strengths,
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_where_it_was_recorded(name):
    path = FOLDER / f"{name}.json"
    now = found(name)
    if RECORD:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(now, indent=1) + "\n")
    assert path.exists(), f"no golden run of {name}: make golden, then read its diff"
    then = json.loads(path.read_text())
    assert now["genotype"] == then["genotype"]
    assert now["architectures"] == then["architectures"]
    for field in ("train_loss", "alpha", "strengths"):
        assert_close(now[field], then[field], f"{name}: {field}")


def assert_close(ours: Any, theirs: Any, where: str) -> None:
    """Numbers, however nested, agree to six digits."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            assert_close(ours[key], theirs[key], f"{where} {key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other, where)
    else:
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9), where
