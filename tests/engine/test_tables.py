"""The papers' tables as data: complete, printed once, and read as they are printed."""

from __future__ import annotations

import pytest

from searchjobs.engine.contracts import stopping_rules
from searchjobs.engine.recipes import all_recipes
from searchjobs.engine.scales import all_scales, scaled
from searchjobs.engine.spaces.nas_bench_201.encoding import OPERATIONS
from searchjobs.engine.tables import (
    Paper,
    Table,
    all_papers,
    all_tables,
    fact,
    find_recipe,
    printed,
    read_printed,
    table_named,
)
from searchjobs.engine.validation import validate

TABLES = all_tables()


def table(name: str) -> Table:
    found = table_named(name)
    assert found is not None
    return found[1]


def cell(name: str, row: str, column: str) -> str:
    whole = table(name)
    (chosen,) = (each for each in whole.rows if each.label == row)
    (at,) = (each for each in whole.columns if each.title == column)
    return printed(chosen, at).text


def test_the_tables_that_are_promised_are_there() -> None:
    numbers = {paper.name: [t.number for t in paper.tables] for paper in all_papers()}
    assert numbers == {
        "bdp": [1, 2, 3, 4, 7],
        "less-is-more": [1, 2, 3, 4, 5],
        "ex-ss-darts": [1, 2, 3],
        "vp-darts": [1, 2, 3],
    }


@pytest.mark.parametrize(("paper", "whole"), TABLES, ids=lambda each: each.name)
def test_every_row_can_be_run_or_says_why_not(paper: Paper, whole: Table) -> None:
    for row in whole.rows:
        for column in whole.columns:
            names = row.of(column)
            assert bool(names) != bool(row.cannot), row.label
            assert all(find_recipe(name) for name in names), row.label
        assert not row.cannot or row.cannot.endswith(".")
    assert whole.repeats
    assert paper.title


@pytest.mark.parametrize(("paper", "whole"), TABLES, ids=lambda each: each.name)
def test_every_printed_row_has_values_and_no_control_has(
    paper: Paper, whole: Table
) -> None:
    for row in whole.rows:
        shown = [printed(row, column).text for column in whole.columns]
        if row.control:
            assert not any(shown), row.label
        else:
            assert any(shown), row.label
    labels = [(row.group, row.label) for row in whole.rows]
    assert len(set(labels)) == len(labels)


def test_holes_in_the_papers_are_the_only_holes() -> None:
    """Three rows print test accuracies alone."""
    holes = {
        row.label
        for _, whole in TABLES
        for row in whole.rows
        if not row.control
        and not all(
            printed(row, column).text for column in whole.columns if not column.aside
        )
    }
    assert holes == {
        "Adaptive-NAS",
        "GAEA-bilevel, its paper, no none",
        "GAEA-ERM, its paper, no none",
    }


@pytest.mark.parametrize(
    ("name", "row", "column", "expected"),
    [
        ("bdp-1", "T:V = 7:3", "CIFAR-100 test", "38.97 ± 0.00"),
        ("bdp-2", "T Low, V High", "CIFAR-10 valid", "79.30 ± 9.54"),
        ("bdp-3", "T Low, V Low", "CIFAR-10 average", "54.30"),
        ("bdp-3", "T Low, V High", "CIFAR-100 best", "72.99"),
        ("bdp-4", "DARTS + BDP ‡", "ImageNet16-120 test", "45.12 ± 0.39"),
        ("bdp-7", "β-DARTS + BDP, limit", "CIFAR-100 valid", "73.49 ± 0.00"),
        ("bdp-7", "DARTS + BDP, limit", "CIFAR-10 test", "93.79 ± 0.39"),
        (
            "less-is-more-1",
            "AE, r = .50",
            "CIFAR-100 test, trained C = 64",
            "75.7 ± 0.1",
        ),
        (
            "less-is-more-3",
            "RS, r = .25",
            "CIFAR-100 test, trained C = 32",
            "13.8 ± 0.1",
        ),
        (
            "less-is-more-5",
            "GDAS, TL, r = .50",
            "Trained, C = 64 ImageNet16-120 test",
            "36.4 ± 0.7",
        ),
        ("ex-ss-darts-1", "REA", "CIFAR-10 test", "93.92 ± 0.30"),
        ("ex-ss-darts-3", "Best epoch", "CIFAR-10 test 0.009", "94.03 ± 0.32"),
        ("ex-ss-darts-3", "DARTS+ (rt_3)", "CIFAR-100 test 0.015", "42.67 ± 21.48"),
        (
            "vp-darts-2",
            "Hard pruning at the end",
            "ImageNet16-120 test",
            "37.99 ± 53.90",
        ),
    ],
)
def test_a_cell_is_what_the_paper_prints(
    name: str, row: str, column: str, expected: str
) -> None:
    assert cell(name, row, column) == expected


def test_a_look_up_beside_trained_cells_is_not_taken_for_a_printed_value() -> None:
    for row in table("less-is-more-1").rows:
        shown = [printed(row, each).text for each in table("less-is-more-1").columns]
        assert all(shown[:3])
        assert shown[3] == ""


def test_each_table_tells_its_own_hours_of_a_shared_recipe() -> None:
    def hours(name: str) -> str:
        return fact(table(name).rows[0], "search hours")

    assert (hours("bdp-4"), hours("vp-darts-1")) == ("3.2", "2.0")


def test_the_averages_of_table_3_are_over_five_pairs_of_ratios() -> None:
    for row in table("bdp-3").rows:
        assert len(set(row.recipes)) == 5
        assert row.pool == ("25/5", "20/10", "15/15", "10/20", "5/25")
        shares = set()
        for name in row.recipes:
            recipe = find_recipe(name)
            assert recipe is not None
            chosen = recipe.spec["selection"]
            shares.add((chosen["prune_train"], chosen["prune_valid"]))
        assert shares == {
            (0.25, 0.05),
            (0.2, 0.1),
            (0.15, 0.15),
            (0.1, 0.2),
            (0.05, 0.25),
        }


def test_what_a_row_reads_of_a_run_is_what_its_recipe_brings() -> None:
    """Rules by the name and title under which a run lists their cells, peaks by their
    operation."""
    whole = table("ex-ss-darts-3")
    for recipe in map(find_recipe, whole.recipes):
        assert recipe is not None
        spec = validate(recipe.spec, check_data=False)
        brought = {("magnitude-peak", name) for name in OPERATIONS}
        for options in spec.stopping:
            rule = object.__new__(stopping_rules.get(options.name))
            rule.options = options
            brought.add((options.name, rule.title))
        for row in whole.rows:
            wanted = row.reading
            if wanted.rule:
                found = [
                    each
                    for each in brought
                    if each[0] == wanted.rule and wanted.criterion in ("", each[1])
                ]
                assert len(found) == 1, row.label


def test_low_means_that_the_lowest_scores_leave() -> None:
    row = table("bdp-2").rows[2]
    assert row.label == "T Low, V High"
    recipe = find_recipe(row.recipes[0])
    assert recipe is not None
    assert recipe.spec["selection"] == {
        "name": "el2n",
        "keep_train": 0.5,
        "keep_valid": 0.5,
        "drop_train": "lowest",
        "drop_valid": "highest",
    }


def test_less_is_more_reduces_t_alone_by_method_sampler_and_share() -> None:
    found = find_recipe("less-is-more-4-gdas-km-or-25")
    assert found is not None
    assert found.spec["method"] == {"name": "gdas"}
    assert found.spec["selection"] == {"name": "kmeans-outlier", "keep_train": 0.25}
    assert found.spec["dataset"] == {"name": "cifar100"}
    assert all(len(table(f"less-is-more-{n}").made) == 19 for n in (1, 2, 3, 4))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_less_is_more_searches_five_nodes_as_printed_and_four_in_small(number) -> None:
    for recipe in table(f"less-is-more-{number}").made:
        names = {
            scale.name: scaled(recipe, scale)["space"]["name"] for scale in all_scales()
        }
        assert names == {
            "paper": "nas-bench-201-five",
            "gpu-small": "nas-bench-201",
            "cpu-small": "nas-bench-201",
        }


def test_recipes_of_tables_are_no_presets_of_the_form_and_share_no_names() -> None:
    presets = {recipe.name for recipe in all_recipes()}
    made = [recipe.name for _, whole in TABLES for recipe in whole.made]
    assert len(set(made)) == len(made)
    assert presets.isdisjoint(made)
    assert find_recipe("bdp-digits") is not None
    assert find_recipe("no-such-recipe") is None


@pytest.mark.parametrize(
    ("text", "part", "mean", "deviation"),
    [
        ("39.77 ± 0.00", None, 39.77, 0.0),
        ("54.30 / 90.25", 1, 90.25, None),
        ("91.61", None, 91.61, None),
        ("-", None, None, None),
        ("", None, None, None),
    ],
)
def test_a_printed_text_is_read_as_mean_and_deviation(
    text: str, part: int | None, mean: float | None, deviation: float | None
) -> None:
    found = read_printed(text, part)
    assert (found.mean, found.deviation) == (mean, deviation)
