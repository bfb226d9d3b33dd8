"""Mean, band, equal cost: with numbers that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nasweb.comparison import (
    Group,
    Member,
    Step,
    at_cost,
    band,
    cheapest,
    operation_shares,
    spread,
    summary,
    value_of,
)


def steps(costs: list[float], values: list[float]) -> list[Step]:
    return [
        Step(
            epoch=epoch,
            cost=cost,
            seconds=2 * cost,
            supernet=value,
            inherited=None,
            remaining=100.0,
            cost_share=cost / 10,
            skips=epoch,
            genotype="g",
            table={"cifar10": {"test": value + 1, "valid": value}},
        )
        for epoch, (cost, value) in enumerate(zip(costs, values, strict=True), start=1)
    ]


def member(costs: list[float], values: list[float], operation: str = "a") -> Member:
    return Member("u", 1, "running", [("cell", "1←0", operation)], steps(costs, values))


SUPERNET = value_of("supernet", "cifar10")


def test_a_spread_uses_the_sample_deviation_and_counts_what_is_there() -> None:
    found = spread([1.0, None, 3.0])
    assert (found.n, found.mean) == (2, 2.0)
    assert found.deviation == pytest.approx(2**0.5)
    assert spread([5.0]).deviation is None
    assert spread([None]).mean is None


def test_a_band_spans_only_what_all_runs_share() -> None:
    runs = [member([1, 2, 3], [10, 20, 30]), member([1, 2], [30, 40])]
    found = band(runs, "epoch", SUPERNET)
    assert found is not None
    assert found.x == [1.0, 2.0]
    assert found.mean == [20.0, 30.0]
    assert found.n == 2


def test_between_epochs_a_value_holds() -> None:
    runs = [member([10, 20, 30], [1, 2, 3]), member([15, 25, 35], [10, 20, 30])]
    found = band(runs, "cost", SUPERNET)
    assert found is not None
    assert found.x == [15.0, 20.0, 25.0, 30.0]
    assert found.mean == [5.5, 6.0, 11.0, 11.5]


def test_runs_without_a_value_make_no_band() -> None:
    assert band([member([1], [1])], "epoch", value_of("inherited", "cifar10")) is None
    assert band([], "epoch", SUPERNET) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_band_leaves_out_what_is_no_finite_number(value: float) -> None:
    found = band([member([1, 2, 3], [10, value, 30])], "epoch", SUPERNET)
    assert found is not None
    assert (found.x, found.mean) == ([1.0, 3.0], [10.0, 30.0])


def test_equal_cost_takes_the_last_epoch_that_could_be_paid() -> None:
    cheap = Group("cheap", {}, [member([5, 10], [1, 2])])
    dear = Group("dear", {}, [member([8, 16, 24], [1, 2, 3])])
    budget = cheapest([cheap, dear])
    assert budget == 10
    found = at_cost(dear.members[0], budget)
    assert found is not None
    assert found.epoch == 1
    assert at_cost(cheap.members[0], budget).epoch == 2  # type: ignore[union-attr]
    assert at_cost(dear.members[0], 1) is None


def test_a_summary_has_a_spread_for_every_column_of_the_table() -> None:
    group = Group("g", {}, [member([5, 10], [1, 2]), member([5, 12], [1, 4])])
    row = summary(group, lambda each: each.last)
    assert row["n"] == 2
    assert row["cost"].mean == 11
    assert row["cost_share"].mean == pytest.approx(1.1)
    assert row["supernet"].mean == 3
    assert row["table"]["cifar10"]["test"].mean == 4
    assert row["table"]["cifar10"]["valid"].deviation == pytest.approx(2**0.5)


def test_operation_shares_count_the_runs_of_a_group() -> None:
    group = Group("g", {}, [member([1], [1], "a"), member([1], [1], "b")])
    assert operation_shares(group, ["a", "b", "c"]) == {"1←0": [0.5, 0.5, 0.0]}


def test_a_summary_counts_the_runs_in_which_no_edge_holds_weights() -> None:
    def ended(free: int) -> Member:
        run = member([1], [50])
        last = replace(run.steps[-1], edges=6, parameter_free=free)
        return replace(run, steps=[last])

    group = Group("DARTS", {}, [ended(6), ended(5), ended(6)])
    row = summary(group, lambda run: run.last)
    assert row["collapsed"] == 2
    assert row["parameter_free"].mean == pytest.approx(17 / 3)
