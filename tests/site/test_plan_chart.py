"""The launch preview's drawing."""

from __future__ import annotations

import pytest

from nasweb.plan_chart import Chart, chart
from searchjobs.engine.events import Plan


def plan(T: list[int], V: list[int]) -> Plan:
    return Plan(
        epochs=len(T) - 1,
        sizes={"T": T[0], "V": V[0]},
        remaining={"T": T, "V": V},
        weight_steps=[1] * (len(T) - 1),
        architecture_steps=[1] * (len(T) - 1),
        cost_units=1,
        baseline_units=1,
    )


def corners(drawn: Chart, line: int = 0) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in drawn.lines[line].points.split())
    return [(float(x), float(y)) for x, y in pairs]


def test_samples_stay_level_during_an_epoch_and_fall_at_its_end() -> None:
    drawn = corners(chart(plan([100, 100, 50, 50], [100, 100, 50, 50])))
    assert len(drawn) == 4
    assert drawn[0][1] == drawn[1][1] < drawn[2][1] == drawn[3][1]
    assert drawn[1][0] == drawn[2][0]


def test_equal_sets_are_one_line_and_different_ones_are_two() -> None:
    one = chart(plan([100, 50], [100, 50]))
    assert [line.label for line in one.lines] == ["T and V"]
    two = chart(plan([100, 50], [100, 80]))
    assert [line.label for line in two.lines] == ["T", "V"]


@pytest.mark.parametrize("size", [1, 2, 7, 898, 25_000, 1_281_167])
@pytest.mark.parametrize("epochs", [1, 3, 60, 5000])
def test_everything_lies_inside_the_drawing(size: int, epochs: int) -> None:
    T = [max(size - epoch, 0) for epoch in range(epochs + 1)]
    drawn = chart(plan(T, T))
    points = corners(drawn)
    assert all(drawn.left <= x <= drawn.right + 0.1 for x, _ in points)
    assert all(drawn.top <= y <= drawn.bottom + 0.1 for _, y in points)
    assert drawn.top < drawn.baseline < drawn.bottom
    assert len(points) <= 2 * 400 + 10
    assert 2 <= len(drawn.x_ticks) <= 12


def test_a_reader_who_does_not_see_it_is_told_the_numbers() -> None:
    drawn = chart(plan([25_000, 972], [25_000, 900]))
    assert drawn.sentence == (
        "Remaining samples over 1 epochs: T from 25,000 to 972, V from 25,000 to 900."
    )
