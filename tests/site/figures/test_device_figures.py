"""Hours by team as bars, the load of a slot as curves."""

from __future__ import annotations

from dataclasses import dataclass

from nasweb.figures.devices import load, team_hours


@dataclass
class Moment:
    minutes_ago: float
    utilisation: float | None = None
    memory_gib: float | None = None
    temperature: float | None = None


def test_each_team_has_a_bar_of_its_own_colour_with_its_hours_above() -> None:
    figure = team_hours({"Vision": 212.3, "Edge": 148.0, "Speech": 3.14}, "nothing")
    (bars,) = figure["data"]
    assert bars["x"] == ["Vision", "Edge", "Speech"]
    assert bars["text"] == ["212 h", "148 h", "3.1 h"]
    assert len(set(bars["marker"]["color"])) == 3
    assert figure["layout"]["yaxis"]["range"][1] > 212.3
    assert figure["empty"] == ""


def test_hours_that_are_less_than_a_tenth_are_told_in_minutes() -> None:
    used = {"Vision": 0.05, "Speech": 0.01, "Edge": 0.0}
    (bars,) = team_hours(used, "nothing")["data"]
    assert bars["text"] == ["3 min", "under 1 min", "0.0 h"]


def test_without_hours_the_chart_is_its_sentence() -> None:
    figure = team_hours({}, "No team has used any.")
    assert (figure["data"], figure["empty"]) == ([], "No team has used any.")


def test_curves_that_nothing_is_known_of_are_left_out() -> None:
    """A CPU tells neither temperature nor the memory of a device."""
    figure = load([Moment(90.0, 50.0, 3.0), Moment(30.0, None, 3.0)], 0)
    (curve,) = figure["data"]
    assert (curve["name"], curve["x"], curve["y"]) == (
        "utilisation",
        [-1.5, -0.5],
        [50.0, None],
    )


def test_memory_is_a_share_and_temperature_has_an_axis_of_its_own() -> None:
    figure = load([Moment(5.0, 90.0, 20.0, 61.0)], 80)
    curves = {trace["name"]: trace for trace in figure["data"]}
    assert curves["memory"]["y"] == [25.0]
    assert curves["temperature"]["yaxis"] == "y2"


def test_a_single_moment_is_a_mark_as_a_line_needs_two() -> None:
    first, second = Moment(7.5, 90.0), Moment(2.5, 80.0)
    assert [trace["mode"] for trace in load([first], 0)["data"]] == ["markers"]
    assert [trace["mode"] for trace in load([first, second], 0)["data"]] == ["lines"]
