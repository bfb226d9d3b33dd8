"""Every method on cells of five nodes: ten rows instead of six."""

from __future__ import annotations

import pytest

from searchjobs.engine.contracts import TableMethod, methods
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.spaces.nas_bench_201.encoding import FIVE

from ..conftest import epochs_of
from .test_every_method import NAMES, short

#: Ten decisions in four epochs leave SGAS no epoch before the first.
SHORTER = {"sgas": {"method": {"name": "sgas", "warmup": 35}}}
SPACE = {"name": "nas-bench-201-five", "channels": 4, "cells": 1}
TABLE_METHODS = [p.name for p in methods.all() if issubclass(p, TableMethod)]


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_gives_a_cell_of_ten_edges(name):
    events = list(search(short(name, space=SPACE, **SHORTER.get(name, {}))))
    reports = epochs_of(events)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    for report in reports:
        assert all(len(rows) == 10 for rows in report.strengths.values())
        assert len(FIVE.decode(report.genotype)) == 10
    given = events[-1].architectures[0]
    assert len(FIVE.decode(given.architecture)) == 10
    plan = events[0].plan
    of_the_epochs = plan.cost_units - plan.derivation_units
    assert reports[-1].cost_units == pytest.approx(of_the_epochs)


@pytest.mark.parametrize("name", TABLE_METHODS)
def test_a_search_on_the_table_refuses_it_in_one_sentence(name):
    with pytest.raises(SpecError) as refused:
        short("darts", space=SPACE, method={"name": name})
    assert [problem.sentence for problem in refused.value.problems] == [
        "The benchmark table holds cells of four nodes, and this method looks every "
        "architecture up in one; choose nas-bench-201."
    ]
