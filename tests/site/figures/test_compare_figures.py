"""Curves with bands."""

from __future__ import annotations

from nasweb.comparison import Band
from nasweb.figures.compare import curves


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
    (line,) = figure["data"]
    assert line["customdata"] == ["", ""]  # and no deviation to tell


def test_a_group_without_data_keeps_the_colours_of_the_others() -> None:
    band = Band([1, 2], [1.0, 2.0], [0.0, 0.0], 1)
    alone = curves([("a", None), ("b", band)], "epoch")["data"][0]
    both = curves([("a", band), ("b", band)], "epoch")["data"]
    assert alone["line"] == both[1]["line"]
    assert both[0]["line"] != both[1]["line"]


def test_nothing_to_draw_is_said() -> None:
    assert curves([("a", None)], "epoch", empty="Nothing.")["empty"] == "Nothing."


def test_a_small_chart_leaves_the_names_to_the_large_one():
    band = Band([1, 2], [80.0, 90.0], [1.0, 2.0], 3)
    assert curves([("BDP", band)], "epoch")["layout"]["showlegend"]
    assert not curves([("BDP", band)], "epoch", named=False)["layout"]["showlegend"]
