"""Curves with bands, operations per edge, cost against result."""

from __future__ import annotations

from nasweb.comparison import Band
from nasweb.figures.compare import (
    cost_against_result,
    curves,
    operations_per_edge,
)


def test_a_group_of_several_runs_has_a_band_and_says_n() -> None:
    figure = curves([("BDP", Band([1, 2], [80.0, 90.0], [1.0, 2.0], 3))], "epoch")
    low, high, mean = figure["data"]
    assert low["y"] == [79.0, 88.0]
    assert high["y"] == [81.0, 92.0]
    assert high["fill"] == "tonexty"
    assert mean["name"] == "BDP (n = 3)"
    assert mean["y"] == [80.0, 90.0]
    assert mean["line"]["shape"] == "hv"


def test_one_run_has_no_band() -> None:
    figure = curves([("one", Band([1, 2], [80.0, 90.0], [0.0, 0.0], 1))], "epoch")
    assert len(figure["data"]) == 1


def test_a_group_without_data_keeps_the_colours_of_the_others() -> None:
    band = Band([1, 2], [1.0, 2.0], [0.0, 0.0], 1)
    alone = curves([("a", None), ("b", band)], "epoch")["data"][0]
    both = curves([("a", band), ("b", band)], "epoch")["data"]
    assert alone["line"] == both[1]["line"]
    assert both[0]["line"] != both[1]["line"]


def test_nothing_to_draw_is_said() -> None:
    assert curves([("a", None)], "epoch", empty="Nothing.")["empty"] == "Nothing."


def test_shares_are_stacked_per_group_and_edge() -> None:
    shares = [("A", {"1←0": [0.25, 0.75]}), ("B", {"1←0": [1.0, 0.0]})]
    figure = operations_per_edge(shares, ["none", "skip_connect"])
    assert figure["data"][0]["y"] == [["A", "B"], ["1←0", "1←0"]]
    assert figure["data"][0]["x"] == [25.0, 100.0]
    assert figure["data"][1]["x"] == [75.0, 0.0]


def test_a_group_without_a_result_has_no_marker() -> None:
    points = [("A", 10.0, 90.0, 3), ("B", 20.0, None, 1)]
    found = cost_against_result(points, "cost", "accuracy")["data"]
    assert [(trace["x"], trace["y"]) for trace in found] == [([10.0], [90.0])]


def test_a_small_chart_leaves_the_names_to_the_large_one():
    band = Band([1, 2], [80.0, 90.0], [1.0, 2.0], 3)
    assert curves([("BDP", band)], "epoch")["layout"]["showlegend"]
    assert not curves([("BDP", band)], "epoch", named=False)["layout"]["showlegend"]
