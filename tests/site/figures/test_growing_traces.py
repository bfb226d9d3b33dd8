"""Traces over epochs: exact points, and what the browser needs to extend them."""

from __future__ import annotations

import math

from nasweb.figures.theme import growing, operation_style, pick, thin

POINTS = [
    {"epoch": 1, "loss": 2.0, "sets": {"T": {"remaining": 90}}, "cells": [[7, 8]]},
    {"epoch": 2, "loss": None, "sets": {}, "cells": [[9]]},
    {"epoch": 3, "loss": 1.5, "sets": {"T": {"remaining": 80}}, "cells": []},
]


def test_a_trace_holds_its_scaled_values_and_says_its_field() -> None:
    trace = growing("loss", "loss", POINTS, scale=100)
    assert trace["x"] == [1, 3]
    assert trace["y"] == [200.0, 150.0]
    assert trace["meta"] == {
        "field": "loss",
        "scale": 100,
        "detail": "",
        "mode": "lines",
    }


def test_an_epoch_without_a_value_is_left_out_not_drawn_as_zero() -> None:
    assert 2 not in growing("loss", "loss", POINTS)["x"]


def test_a_start_stands_before_the_first_epoch() -> None:
    trace = growing("T", "sets.T.remaining", POINTS, start=(0, 100))
    assert list(zip(trace["x"], trace["y"], strict=True)) == [
        (0, 100),
        (1, 90),
        (3, 80),
    ]


def test_a_single_point_is_a_marker_because_a_line_would_not_show() -> None:
    assert growing("loss", "loss", POINTS[:1])["mode"] == "lines+markers"
    assert growing("loss", "loss", POINTS)["mode"] == "lines"


def test_what_json_cannot_hold_never_reaches_a_chart() -> None:
    bad = [{"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": math.inf}]
    assert growing("loss", "loss", bad)["y"] == []


def test_a_path_goes_through_mappings_and_lists() -> None:
    assert pick(POINTS[0], "sets.T.remaining") == 90
    assert pick(POINTS[0], "cells.0.1") == 8
    assert pick(POINTS[1], "cells.0.1") is None
    assert pick(POINTS[1], "sets.T.remaining") is None


def test_thinning_keeps_the_ends_and_gives_the_same_points_every_time() -> None:
    many = [{"epoch": epoch} for epoch in range(1, 5001)]
    kept = thin(many, 1000)
    assert len(kept) == 1000
    assert (kept[0]["epoch"], kept[-1]["epoch"]) == (1, 5000)
    assert kept == thin(many, 1000)
    epochs = [each["epoch"] for each in kept]
    assert epochs == sorted(set(epochs))


def test_operations_have_a_line_style_beside_their_colour() -> None:
    names = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    styles = [operation_style(name) for name in names]
    assert len({style.colour for style in styles}) == 5
    assert len({style.dash for style in styles}) == 5
    assert operation_style("sep_conv_5x5", 1).label == "sep conv 5x5"
