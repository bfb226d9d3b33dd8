"""The charts of a run: exact traces from points, and a sentence where none are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nasweb.figures.accuracy import accuracy, losses, table_accuracy
from nasweb.figures.alpha import heatmap, margins
from nasweb.figures.curvature import eigenvalue
from nasweb.figures.heat import digits
from nasweb.figures.magnitudes import magnitudes
from nasweb.figures.samples import class_counts, remaining
from nasweb.figures.scores import histogram

EDGES = {"cell": ["1←0", "2←0"]}
OPERATIONS = ["none", "skip_connect", "nor_conv_3x3"]
WAIT = "No epoch has finished yet."


def point(epoch: int, **more: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_accuracy": 0.5,
        "valid_accuracy": 0.25,
        "inherited_accuracy": 0.125,
        "train_loss": 1.5,
        "valid_loss": 2.0,
        "strengths": {"cell": [[0.1, 0.7, 0.2], [0.2, 0.3, 0.5]]},
        "magnitudes": {"none": 0.15, "skip_connect": 0.5, "nor_conv_3x3": 0.35},
        "margins": {"cell": [0.5, 0.2]},
        "cell": [("cell", "1←0", "skip_connect"), ("cell", "2←0", "nor_conv_3x3")],
        "sets": {"T": {"remaining": 90}, "V": {"remaining": 80}},
        "genotype": "g",
        "table": {"cifar10": {"test": 93.5}},
        "eigenvalue": None,
        **more,
    }


EVENT = {
    "epoch": 5,
    "criterion": "low",
    "before": 100,
    "removed": 10,
    "limit": 1.4,
    "reason": "",
    "class_counts_before": [60, 40],
    "class_counts_after": [52, 38],
    "histogram_edges": [0.0, 0.1, 0.2],
    "histogram_kept": [10, 80],
    "histogram_removed": [10, 0],
    "cut": 0.06,
    "correlation": -0.5,
}


def by_name(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"]}


def test_the_table_value_is_a_labelled_step_of_its_own() -> None:
    found = by_name(
        accuracy([point(1), point(2)], 9, "cifar10", table=True, waiting="")
    )
    assert found["supernet on T"]["y"] == [50.0, 50.0]
    assert found["supernet on V"]["y"] == [25.0, 25.0]
    assert found["cell, inherited weights, V"]["y"] == [12.5, 12.5]
    table = found["genotype, table (CIFAR-10 test)"]
    assert table["y"] == [93.5, 93.5]
    assert table["line"]["shape"] == "hv"
    assert table["customdata"] == ["g", "g"]


def test_a_mean_over_drawn_cells_is_called_so() -> None:
    figure = accuracy([point(1)], 9, "cifar10", table=False, paths=10, waiting="")
    assert figure["data"][1]["name"] == "mean of 10 drawn cells on V"
    figure = losses([point(1)], 9, paths=10, waiting="")
    assert figure["data"][1]["name"] == "V, mean of 10 drawn cells"


def test_without_a_table_no_trace_pretends_to_be_trained() -> None:
    figure = accuracy([point(1)], 9, "cifar10", table=False, waiting="")
    assert not any("table" in name for name in by_name(figure))


def test_the_axis_shows_all_epochs_so_that_what_is_left_is_seen() -> None:
    figure = losses([point(1)], 60, waiting="")
    assert figure["layout"]["xaxis"]["range"] == [0, 60]
    assert by_name(figure)["T, weight steps"]["y"] == [1.5]


def test_table_accuracy_draws_the_optimum_and_says_how_to_import() -> None:
    figure = table_accuracy([point(1)], 9, {"cifar10": 94.37}, loaded=True, waiting="")
    assert by_name(figure)["best of the table, CIFAR-10"]["y"] == [94.37, 94.37]
    empty = table_accuracy([point(1)], 9, {}, loaded=False, waiting="")["empty"]
    assert "import_nasbench201" in empty


def test_remaining_samples_stand_beside_plan_and_no_pruning() -> None:
    plan = {
        "sizes": {"T": 100, "V": 99},
        "remaining": {"T": [100, 90, 90], "V": [99, 80, 80]},
    }
    figure = remaining([point(1), point(2)], 2, plan, waiting=WAIT)
    found = by_name(figure)
    assert found["T (weights)"]["x"] == [0, 1, 2]
    assert found["T (weights)"]["y"] == [100, 90, 90]
    assert found["V (alpha)"]["y"] == [99, 80, 80]
    assert found["T (weights)"]["line"]["shape"] == "hv"
    assert [t["y"] for t in figure["data"] if t["name"] == "plan"] == [
        [100, 90, 90],
        [99, 80, 80],
    ]
    unpruned = [t for t in figure["data"] if t["name"] == "no pruning"]
    assert [t["y"] for t in unpruned] == [[99, 99], [100, 100]]
    assert [t["showlegend"] for t in unpruned] == [True, False]
    assert figure["empty"] == ""


def test_the_heat_map_boxes_what_the_genotype_takes() -> None:
    figure = heatmap(point(3), EDGES, OPERATIONS, waiting=WAIT)
    trace = figure["data"][0]
    assert trace["z"] == [[0.1, 0.7, 0.2], [0.2, 0.3, 0.5]]
    assert trace["y"] == ["1←0", "2←0"]
    assert trace["x"] == ["none", "skip", "conv 3×3"]
    assert (trace["zmin"], trace["zmax"]) == (0, 1)
    corners = [(s["x0"], s["x1"], s["y0"], s["y1"]) for s in figure["layout"]["shapes"]]
    assert corners == [(0.5, 1.5, -0.5, 0.5), (1.5, 2.5, 0.5, 1.5)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0.1, 0.2, 0.3, 0.25, 0.15]], 2),
        ([[0.198, 0.2, 0.201, 0.203, 0.198]], 3),
        ([[0.2001, 0.2, 0.1999, 0.2002, 0.1998]], 4),
        ([[0.20001, 0.2, 0.19999, 0.2, 0.2]], 4),
        ([[0.2] * 5], 2),
        ([[1.0, 0.0, 0.0, 0.0, 0.0], [0.198, 0.2, 0.201, 0.203, 0.198]], 3),
        ([[0.5, None, 0.1, None, 0.4]], 2),
        ([], 2),
    ],
)
def test_the_heat_map_has_the_decimals_that_tell_the_fields_of_a_row_apart(
    rows: list[list[float | None]], expected: int
) -> None:
    assert digits(rows) == expected


def test_fields_out_of_reach_do_not_hide_that_the_others_lie_close() -> None:
    row = [0.0, 0.249, 0.25, 0.251, 0.25]
    assert digits([row]) == 2
    assert digits([row], gone=[[0, 0]]) == 4
    shown = {"strengths": {"cell": [row]}, "cell": [("cell", "1<-0", OPERATIONS[2])]}
    close = {
        **point(1),
        **shown,
        "method": {"allowed": {"cell": [[False] + [True] * 4]}},
    }
    (trace,) = heatmap(close, {"cell": ["1<-0"]}, OPERATIONS, waiting="")["data"]
    assert trace["texttemplate"] == "%{z:.4f}"


def test_rows_of_several_tables_carry_the_table_name() -> None:
    edges = {"normal": ["2←0"], "reduce": ["2←0"]}
    shown = point(1, strengths={"normal": [[1, 0, 0]], "reduce": [[0, 1, 0]]})
    trace = heatmap(shown, edges, OPERATIONS, waiting=WAIT)["data"][0]
    assert trace["y"] == ["normal 2←0", "reduce 2←0"]
    assert trace["z"] == [[1, 0, 0], [0, 1, 0]]


def test_margins_and_magnitudes_have_one_line_an_edge_and_an_operation() -> None:
    found = by_name(margins([point(1)], 9, EDGES, waiting=WAIT))
    assert {name: trace["y"] for name, trace in found.items()} == {
        "1←0": [0.5],
        "2←0": [0.2],
    }
    found = by_name(magnitudes([point(1)], 9, OPERATIONS, waiting=WAIT))
    assert found["skip"]["y"] == [0.5]
    assert found["skip"]["line"]["dash"] != found["conv 3×3"]["line"]["dash"]


def test_no_two_of_ten_edges_have_the_same_line() -> None:
    edges = {"cell": [f"edge {place}" for place in range(10)]}
    lines = margins([point(1)], 9, edges, waiting=WAIT)["data"]
    styles = {(each["line"]["color"], each["line"]["dash"]) for each in lines}
    assert len(styles) == len(lines) == 10


def test_the_eigenvalue_chart_says_why_it_is_empty() -> None:
    assert "switched off" in eigenvalue([point(1)], 9, 0, waiting=WAIT)["empty"]
    assert "every 5 epochs" in eigenvalue([point(1)], 9, 5, waiting=WAIT)["empty"]
    assert eigenvalue([], 9, 5, waiting=WAIT)["empty"] == WAIT
    measured = eigenvalue([point(5, eigenvalue=0.3)], 9, 5, waiting=WAIT)
    assert measured["empty"] == ""
    assert measured["data"][0]["y"] == [0.3]


def test_scores_show_the_cut_between_pruned_and_kept() -> None:
    figure = histogram("T", EVENT, waiting=WAIT)
    found = by_name(figure)
    assert found["pruned"]["x"] == pytest.approx([0.05, 0.15])
    assert found["pruned"]["y"] == [10, 0]
    assert found["kept"]["y"] == [10, 80]
    assert figure["layout"]["shapes"][0]["x0"] == 0.06
    assert "10 of 100 pruned, lowest scores" in figure["note"]
    assert "-0.50" in figure["note"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"criterion": "random"}, "by chance · no cut: the scores did not count"),
        ({"added": 10}, "no cut: chosen in rounds, and the scores change from round"),
        ({"limit": 1.4}, "no cut: a class that has lost as many as it may loses no"),
        ({"limit": None}, "no cut: each class loses a share of its own"),
    ],
)
def test_scores_without_a_cut_say_why_there_is_none(
    changes: dict[str, Any], words: str
) -> None:
    figure = histogram("T", {**EVENT, "cut": None, **changes}, waiting=WAIT)
    assert "shapes" not in figure["layout"]
    assert words in figure["note"]
    assert "no cut" not in histogram("T", EVENT, waiting=WAIT)["note"]
    nothing = {**EVENT, "cut": None, "removed": 0}
    assert "no cut" not in histogram("T", nothing, waiting=WAIT)["note"]


def test_an_event_that_pruned_nothing_says_why() -> None:
    nothing = {**EVENT, "histogram_edges": [], "reason": "The window is incomplete."}
    assert histogram("T", nothing, waiting=WAIT)["empty"] == "The window is incomplete."


def test_class_counts_stack_what_was_pruned_on_what_is_kept() -> None:
    state = {"remaining": 90, "class_counts": [52, 38], "balance": 0.9}
    figure = class_counts("T", ["cat", "dog"], state, EVENT, waiting=WAIT)
    found = by_name(figure)
    assert found["kept"]["x"] == [52, 38]
    assert found["kept"]["y"] == ["cat", "dog"]
    assert found["pruned at epoch 5"]["x"] == [8, 2]
    assert "b = 0.900" in figure["note"]
    assert "N = 1.40" in figure["note"]


def test_many_classes_stand_upright() -> None:
    state = {"remaining": 100, "class_counts": [1] * 100, "balance": 1.0}
    bars = class_counts("V", [], state, None, waiting=WAIT)["data"]
    assert len(bars) == 1
    assert bars[0]["orientation"] == "v"
    assert bars[0]["y"] == [1] * 100


@pytest.mark.parametrize(
    "figure",
    [
        accuracy([], 9, "cifar10", table=True, waiting=WAIT),
        losses([], 9, waiting=WAIT),
        remaining([], 9, {}, waiting=WAIT),
        heatmap(None, EDGES, OPERATIONS, waiting=WAIT),
        margins([], 9, EDGES, waiting=WAIT),
        magnitudes([], 9, OPERATIONS, waiting=WAIT),
        histogram("T", None, waiting=WAIT),
        class_counts("T", [], None, None, waiting=WAIT),
    ],
)
def test_before_the_first_epoch_every_chart_says_so(figure: dict[str, Any]) -> None:
    assert figure["empty"] == WAIT


def test_figures_are_json_and_name_no_colour_of_their_own() -> None:
    text = json.dumps(
        [
            heatmap(point(1), EDGES, OPERATIONS, waiting=WAIT),
            accuracy([point(1)], 9, "cifar10", table=True, waiting=WAIT),
            histogram("V", EVENT, waiting=WAIT),
        ],
        allow_nan=False,
    )
    assert "#" not in text
