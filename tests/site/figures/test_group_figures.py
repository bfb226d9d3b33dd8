"""Pies and bars per edge, arrows, data shares, two searches side by side."""

from __future__ import annotations

import itertools

import pytest

from nasweb.comparison import Group, Member, Spread, Step
from nasweb.figures.arrows import Marker, cost_against_result
from nasweb.figures.edges import bars, pies
from nasweb.figures.pair import accuracy, eigenvalue, remaining
from nasweb.figures.shares import against_share
from nasweb.figures.theme import operation_style

NAMES = ["none", "skip_connect", "nor_conv_3x3"]
SHARES = [
    ("DARTS", 2, {"1←0": [0.0, 1.0, 0.0], "2←0": [0.0, 0.5, 0.5]}),
    ("GDAS", 1, {"1←0": [0.0, 0.0, 1.0], "2←0": [0.0, 0.0, 1.0]}),
    ("queued", 0, {}),
]


def test_each_edge_of_each_group_is_a_pie_in_the_colours_of_the_site() -> None:
    figure = pies(SHARES, NAMES)
    *drawn, _, _, _ = figure["data"]
    assert [each["type"] for each in drawn] == ["pie"] * 4
    first = drawn[0]
    assert first["values"] == [0, 100, 0]
    styles = [operation_style(name) for name in NAMES]
    assert first["marker"]["colors"] == [style.colour for style in styles]
    # the names stand beside their colours, not on hover alone
    legend = [(each["name"], each["marker"]["color"]) for each in figure["data"][4:]]
    assert legend == [(style.label, style.colour) for style in styles]
    assert "of n = 2 take" in first["hovertemplate"]
    words = [note["text"] for note in figure["layout"]["annotations"]]
    assert words.count("1←0") == 2
    assert "DARTS (n = 2)" in words
    assert "queued (n = 0)" not in words


def test_pies_of_a_row_stand_apart_and_inside_the_figure() -> None:
    domains = [pie["domain"] for pie in pies(SHARES, NAMES)["data"][:4]]
    for one, other in zip(domains[::2], domains[1::2], strict=True):
        assert one["x"][1] < other["x"][0]
        assert one["y"] == other["y"]
    assert domains[0]["y"][0] > domains[2]["y"][1]
    assert all(0 <= end <= 1 for d in domains for ends in d.values() for end in ends)


def test_ten_edges_are_two_lines_of_five_pies_below_the_title_of_their_group() -> None:
    ten = {f"edge {place}": [0.0, 1.0, 0.0] for place in range(10)}
    figure = pies([("Five nodes", 1, ten), *SHARES], NAMES)
    domains = [each["domain"] for each in figure["data"] if each["type"] == "pie"]
    upper, lower, others = domains[:5], domains[5:10], domains[10:]
    for line in (upper, lower):
        assert len({tuple(domain["y"]) for domain in line}) == 1
        for one, other in itertools.pairwise(line):
            assert one["x"][1] < other["x"][0]
    for above, below in ((upper, lower), (lower, others)):
        assert above[0]["y"][0] > below[0]["y"][1]
    titles = [note["y"] for note in figure["layout"]["annotations"] if not note["x"]]
    assert titles[0] == 1 > upper[0]["y"][1]
    assert lower[0]["y"][0] > titles[1] > others[0]["y"][1]
    alone = pies(SHARES, NAMES)["layout"]["height"]
    assert figure["layout"]["height"] == alone + 24 + 2 * 108


def test_bars_tell_the_entropy_of_each_edge_in_bits() -> None:
    figure = bars(SHARES, NAMES)
    *stacks, words = figure["data"]
    assert [stack["x"] for stack in stacks] == [
        [0, 0, 0, 0],
        [100, 50, 0, 0],
        [0, 50, 100, 100],
    ]
    assert words["text"] == ["0.00 bits", "1.00 bits", "0.00 bits", "0.00 bits"]
    assert stacks[0]["y"][0][0] == "DARTS<br>(n = 2)"


def test_without_cells_a_sentence_stands_there() -> None:
    for figure in (pies([("a", 0, {})], NAMES), bars([("a", 0, {})], NAMES)):
        assert figure["data"] == []
        assert "has a cell yet" in figure["empty"]


def test_an_arrow_leads_from_all_samples_to_fewer() -> None:
    found = cost_against_result(
        [
            Marker("DARTS", Spread(2, 10.0, 1.0), Spread(2, 54.3, 0.0)),
            Marker("BDP", Spread(3, 4.0, 1.0), Spread(3, 93.8, 0.4)),
            Marker("queued", Spread(0, None, None), Spread(0, None, None)),
        ],
        [(0, 1), (0, 2)],
        "cost",
        "accuracy",
    )
    (arrow,) = found["layout"]["annotations"]
    assert (arrow["ax"], arrow["ay"], arrow["x"], arrow["y"]) == (10, 54.3, 4, 93.8)
    assert (arrow["axref"], arrow["ayref"]) == ("x", "y")
    assert "all samples → on fewer" in found["note"]
    plain, deviating = found["data"]
    assert "error_y" not in plain
    assert deviating["error_y"]["array"] == [0.4]
    assert "n = 3" in deviating["hovertemplate"]


def test_one_run_tells_no_deviation() -> None:
    marker = Marker("one", Spread(1, 4.0, None), Spread(1, 90.0, None))
    (trace,) = cost_against_result([marker], [], "cost", "accuracy")["data"]
    assert "±" not in trace["hovertemplate"]


class Point:
    """A group as the chart of shares reads it."""

    def __init__(self, method: str, train: float, value: Spread) -> None:
        self.label, self.method, self.train, self.value = method, method, train, value


def test_a_method_is_a_line_over_its_shares() -> None:
    points = [
        Point("DARTS", 100, Spread(3, 54.3, 0.0)),
        Point("DARTS", 25, Spread(3, 80.0, 2.0)),
        Point("GDAS", 50, Spread(1, 93.0, None)),
        Point("GDAS", 75, Spread(0, None, None)),
    ]
    darts, gdas = against_share(points, lambda p: p.value, "accuracy")["data"]
    assert (darts["x"], darts["y"]) == ([25, 100], [80.0, 54.3])
    assert darts["error_y"]["array"] == [2.0, 0.0]
    assert gdas["x"] == [50]
    assert gdas["customdata"] == [["GDAS", "n = 1"]]


def group(label: str, lefts: list[tuple[int, int]], eigen: float | None) -> Group:
    steps = [
        Step(
            epoch=epoch,
            cost=epoch,
            seconds=epoch,
            supernet=50.0 + epoch,
            inherited=None,
            remaining=None,
            cost_share=None,
            skips=0,
            genotype="",
            eigenvalue=eigen,
            sets={"T": train, "V": valid},
        )
        for epoch, (train, valid) in enumerate(lefts, start=1)
    ]
    return Group(label, {}, [Member("u", 1, "succeeded", [], steps)])


def test_two_searches_side_by_side_as_in_the_paper() -> None:
    pair = [
        group("DARTS", [(100, 100), (100, 100)], 0.3),
        group("DARTS + BDP", [(100, 100), (85, 80)], None),
    ]
    lines = accuracy(pair, lambda step: step.supernet, empty="")["data"]
    assert [line["y"] for line in lines] == [[51.0, 52.0]] * 2
    steps = remaining(pair, logarithmic=True)
    found = {line["name"]: line["y"] for line in steps["data"]}
    assert found["DARTS + BDP, T (n = 1)"] == [100, 85]
    assert found["DARTS + BDP, V (n = 1)"] == [100, 80]
    assert found["DARTS + BDP, T and V (n = 1)"] == [200, 165]
    assert steps["layout"]["yaxis"]["type"] == "log"
    assert len(eigenvalue(pair)["data"]) == 1
    assert "eigenvalue_every" in eigenvalue(pair[1:])["empty"]


@pytest.mark.parametrize("logarithmic", [True, False])
def test_nothing_to_draw_is_said(logarithmic: bool) -> None:
    assert remaining([Group("a", {}, [])], logarithmic=logarithmic)["empty"]
