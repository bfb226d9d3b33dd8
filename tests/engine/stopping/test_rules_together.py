"""DARTS+, DARTS-ES and selective stop watch one run, as in EX-/SS-DARTS section 3."""

from __future__ import annotations

import pytest

from searchjobs.engine.search import search

from ..conftest import epochs_of, tiny, without_clock
from ..test_resume import run_until, told

RULES = [
    {"name": "darts-plus-skips", "skips": 1, "min_epoch": 1, "watch": True},
    {"name": "darts-plus-skips", "skips": 6, "min_epoch": 1, "watch": True},
    {"name": "darts-plus-ranks", "stable": 1, "watch": True},
    {
        "name": "darts-es",
        "frequency": 1,
        "window": 1,
        "delta": 1,
        "start": 1,
        "factor": 1.001,
        "watch": True,
    },
    {"name": "selective-stop", "min_epoch": 1, "watch": True},
    {"name": "selective-stop", "min_epoch": 1, "operation": "none", "watch": True},
]


def watched():
    return tiny(
        selection={"name": "full"},
        training={"epochs": 6, "alpha_lr": 0.1},
        diagnostics={"eigenvalue_every": 1},
        derivation={"name": "magnitude-peak", "min_epoch": 1},
        stopping=RULES,
    )


@pytest.fixture(scope="module")
def events():
    return list(search(watched()))


def test_every_rule_says_where_it_would_have_stopped_and_none_stops(events):
    reports = epochs_of(events)
    assert len(reports) == 6
    suggestions = [e for e in events if e.type == "stop_suggested"]
    assert not any(each.stopped for each in suggestions)
    said = {each.title: each for each in suggestions}
    first = next((r.epoch for r in reports if r.skips >= 1), None)
    assert ("sc_1" in said) == (first is not None)
    if first:
        assert said["sc_1"].architecture_epoch == first
    assert ("sc_6" in said) == any(r.skips >= 6 for r in reports)
    curvature = [r.eigenvalue for r in reports]
    jumps = [
        e
        for e in range(2, 6)
        if curvature[e - 2] > 0 and curvature[e - 1] / curvature[e - 2] > 1.001
    ]
    assert ("DARTS-ES 1.001" in said) == bool(jumps)
    if jumps:
        assert said["DARTS-ES 1.001"].epoch == jumps[0]
        assert said["DARTS-ES 1.001"].architecture_epoch == jumps[0] - 1
    strongest = max(reports, key=lambda r: r.magnitudes["nor_conv_3x3"]).epoch
    inner = 1 < strongest < 6
    assert said["SS nor_conv_3x3"].architecture_epoch == (strongest if inner else 6)
    assert said["SS nor_conv_3x3"].reason.startswith("Found nothing") != inner


def test_one_run_gives_the_architecture_of_every_criterion(events):
    reports = {r.epoch: r for r in epochs_of(events)}
    found = events[-1].architectures
    peaks = [each for each in found if each.derivation == "magnitude-peak"]
    assert [each.criterion for each in peaks] == [
        *("nor_conv_3x3", "none", "skip_connect", "nor_conv_1x1", "avg_pool_3x3")
    ]
    for each in peaks:
        magnitude = {e: r.magnitudes[each.criterion] for e, r in reports.items()}
        assert each.epoch == max(magnitude, key=lambda epoch: magnitude[epoch])
        assert each.architecture == reports[each.epoch].genotype
        assert each.note
        assert each.note.startswith("Found nothing") == (each.epoch in {1, 6})
    suggestions = [e for e in events if e.type == "stop_suggested"]
    rules = [each for each in found if each.derivation != "magnitude-peak"]
    assert sorted((e.criterion, e.epoch) for e in rules) == sorted(
        (e.title, e.architecture_epoch) for e in suggestions
    )
    assert found[0].criterion == "nor_conv_3x3"


def test_watching_changes_nothing_of_the_search(events):
    """Nor does measuring the eigenvalue that one of the rules reads."""
    alone = tiny(selection={"name": "full"}, training={"epochs": 6, "alpha_lr": 0.1})
    plain = epochs_of(list(search(alone)))
    for one, other in zip(plain, epochs_of(events), strict=True):
        of_the_rule = {"eigenvalue": None, "eigenvalue_absolute": None}
        assert without_clock(one) == {**without_clock(other), **of_the_rule}


def test_a_search_with_rules_resumes_bit_identically(events, tmp_path):
    first = run_until(watched(), tmp_path, 3)
    rest = list(search(watched(), tmp_path, resume=True))
    assert told(first) + told(rest) == told(events)

    def suggestions(some):
        return [e for e in some if e.type == "stop_suggested"]

    assert suggestions(first) + suggestions(rest) == suggestions(events)
