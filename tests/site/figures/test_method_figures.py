"""What only some methods tell: drawn where it is, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from nasweb.figures import heat, method, stages
from nasweb.figures.alpha import heatmap
from nasweb.figures.parameter_free import parameter_free
from nasweb.figures.theme import axis, epoch_axis, figure, growing, layout
from nasweb.runs.points import magnitude_share

EDGES = {"cell": ["1←0", "2←0"]}
OPERATIONS = ["none", "skip_connect", "nor_conv_3x3"]


def point(epoch: int = 1, **told: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "strengths": {"cell": [[0.0, 0.7, 0.3], [-0.2, 0.3, 1.5]]},
        "cell": [("cell", "1←0", "skip_connect"), ("cell", "2←0", "nor_conv_3x3")],
        "method": told,
    }


def corners(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    return shape["x0"], shape["x1"], shape["y0"], shape["y1"]


def test_an_operation_out_of_reach_is_covered_and_struck() -> None:
    allowed = {"cell": [[False, True, True], [True, True, True]]}
    drawn = heatmap(point(allowed=allowed), EDGES, OPERATIONS, waiting="")
    cover, stroke, *boxes = drawn["layout"]["shapes"]
    assert corners(cover) == corners(stroke) == (-0.5, 0.5, -0.5, 0.5)
    assert (cover["type"], stroke["type"]) == ("rect", "line")
    assert cover["fillcolor"] != heat.MARKS["taken"]["fillcolor"]
    assert len(boxes) == 2
    assert "struck" in drawn["note"]
    assert "decided" not in drawn["note"]


def test_a_decided_row_is_framed_as_a_whole() -> None:
    told = point(decided={"cell": [None, "nor_conv_3x3"]})
    drawn = heatmap(told, EDGES, OPERATIONS, waiting="")
    frame = drawn["layout"]["shapes"][0]
    assert corners(frame) == (-0.5, 2.5, 0.5, 1.5)
    assert frame["line"]["dash"] == "dash"
    assert "dashed: edge decided" in drawn["note"]
    assert heat.marks(told, EDGES, OPERATIONS)["decided"] == [[1, 2]]


def test_rows_of_the_second_table_count_on_from_the_first() -> None:
    edges = {"normal": ["2←0"], "reduce": ["2←0", "2←1"]}
    told = point(
        allowed={"normal": [[True] * 3], "reduce": [[True] * 3, [True, True, False]]}
    )
    assert heat.marks(told, edges, OPERATIONS)["gone"] == [[2, 2]]


def test_raw_alpha_stands_in_the_field_as_it_is() -> None:
    trace = heatmap(point(), EDGES, OPERATIONS, waiting="")["data"][0]
    assert trace["z"][1] == [-0.2, 0.3, 1.5]


def test_a_run_of_plain_darts_has_no_chart_of_its_method() -> None:
    assert method.names(point()) == []
    assert method.charts([point(), point(2)], 9, EDGES, OPERATIONS) == {}
    assert method.names(None) == []


def test_every_named_curve_gets_a_small_chart_that_grows() -> None:
    points = [
        point(1, scalars={"skip_dropout": 0.2}),
        point(2, scalars={"skip_dropout": 0.1, "temperature": 7.5}),
    ]
    found = method.charts(points, 9, EDGES, OPERATIONS)
    assert list(found) == ["scalar-skip_dropout", "scalar-temperature"]
    dropout = found["scalar-skip_dropout"]
    assert dropout["card"]["title"] == "Skip dropout"
    assert dropout["data"][0]["y"] == [0.2, 0.1]
    assert dropout["data"][0]["meta"]["field"] == "method.scalars.skip_dropout"
    assert found["scalar-temperature"]["data"][0]["x"] == [2]


def test_edge_weights_have_a_line_an_edge() -> None:
    points = [
        point(1, edges={"cell": [1.0, 0.5]}),
        point(2, edges={"cell": [1.0, 0.4]}),
    ]
    drawn = method.charts(points, 9, EDGES, OPERATIONS)["edge-weights"]
    assert [trace["y"] for trace in drawn["data"]] == [[1.0, 1.0], [0.5, 0.4]]


def test_importance_is_boxed_where_the_accuracy_without_it_is_lowest() -> None:
    told = point(importance={"cell": [[0.6, 0.5, 0.4], [None, 0.3, 0.35]]})
    drawn = method.importance(told, EDGES, OPERATIONS)
    trace = drawn["data"][0]
    assert trace["z"] == [[60, 50, 40], [None, 30, 35]]
    assert trace["reversescale"]
    assert "zmin" not in trace
    boxes = [corners(shape) for shape in drawn["layout"]["shapes"]]
    assert boxes == [(1.5, 2.5, -0.5, 0.5), (0.5, 1.5, 0.5, 1.5)]
    untried = method.importance(point(), EDGES, OPERATIONS)
    assert untried["empty"] == untried["layout"]["meta"]["empty"]


def test_a_new_stage_is_a_line_between_two_epochs_on_every_chart() -> None:
    points = [point(e, stage=s) for e, s in enumerate([1, 1, 2, 2, 3], start=1)]
    found = stages.changes(points)
    assert found == [(3, 2), (5, 3)]
    drawn = figure([], layout(epoch_axis(9), axis(), shapes=[{"type": "line"}]))
    shape = stages.with_stages({"a": drawn}, found)["a"]["layout"]
    assert [s.get("x0") for s in shape["shapes"]] == [None, 2.5, 4.5]
    assert [a["text"] for a in shape["annotations"]] == ["stage 2", "stage 3"]
    assert drawn["layout"]["shapes"] == [{"type": "line"}]
    assert stages.changes([point(1), point(2)]) == []


def test_parameter_free_operations_are_counted_and_weighed() -> None:
    told = {
        "epoch": 1,
        "free_edges": 5 / 6,
        "skip_edges": 0.5,
        "free_magnitude": 0.75,
    }
    drawn = parameter_free([told], 9, waiting="wait")
    assert [trace["y"] for trace in drawn["data"]] == [
        [pytest.approx(100 * 5 / 6)],
        [50],
        [75],
    ]
    assert parameter_free([], 9, waiting="wait")["empty"] == "wait"


def test_the_share_of_strength_counts_negative_strengths_by_their_size() -> None:
    raw = {"none": 0.2, "skip": -0.4, "conv": 0.2}
    assert magnitude_share(raw, ["none", "skip"]) == pytest.approx(0.75)
    assert magnitude_share({"skip": 0.0}, ["skip"]) is None
    assert magnitude_share({}, ["skip"]) is None


def test_a_curve_of_the_method_is_picked_from_a_point_that_lacks_it() -> None:
    assert growing("t", "method.scalars.temperature", [point()])["y"] == []


def test_a_named_curve_has_its_note_on_its_card() -> None:
    points = [point(1, scalars={"temperature": 1.0})]
    found = method.charts(points, 9, EDGES, OPERATIONS, {"temperature": "of a draw"})
    assert found["scalar-temperature"]["card"]["note"] == "of a draw"
