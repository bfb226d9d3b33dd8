"""Curves with bands."""

from __future__ import annotations

from nasweb.comparison import Band
from nasweb.figures.compare import curves, drawn


def test_a_group_of_several_runs_has_a_band_and_says_n() -> None:
    figure = curves([("BDP", Band([1, 2], [80.0, 90.0], [1.0, 2.0], 3))], "epoch")
    low, high, mean = figure["data"]
    assert low["y"] == [79.0, 88.0]
    assert high["y"] == [81.0, 92.0]
    assert high["fill"] == "tonexty"
    assert mean["name"] == "BDP (n = 3)"
    assert mean["y"] == [80.0, 90.0]
    assert mean["line"]["shape"] == "hv"
    assert mean["customdata"] == [1.0, 2.0]
    assert "± %{customdata:.2f}" in mean["hovertemplate"]


def test_one_run_has_no_band() -> None:
    figure = curves([("one", Band([1, 2], [80.0, 90.0], [0.0, 0.0], 1))], "epoch")
    (line,) = figure["data"]
    assert "customdata" not in line  # and no deviation to tell
    assert "±" not in line["hovertemplate"]


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


def test_a_page_carries_six_digits_of_the_largest_value_of_a_curve() -> None:
    assert drawn([1 / 3, 200 / 3, 0.0]) == [0.3333, 66.6667, 0.0]
    assert drawn([1 / 3e6, -2 / 3e6]) == [3.33333e-07, -6.66667e-07]
    assert drawn([123456789.0]) == [123457000.0]
    assert drawn([0.0]) == [0.0]
    assert drawn([]) == []
