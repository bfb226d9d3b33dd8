"""The papers' tables as data: complete, printed once, and read as they are printed."""

from __future__ import annotations

import pytest

from searchjobs.engine.contracts import methods, stopping_rules
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


@pytest.mark.parametrize(
    ("name", "rows", "values", "means", "deviations"),
    [
        ("bdp-1", 5, 20, 796.62, 76.20),
        ("bdp-2", 5, 20, 874.44, 230.98),
        ("bdp-3", 4, 24, 1180.29, 0),
        ("bdp-4", 18, 105, 6666.14, 102.98),
        ("bdp-7", 4, 16, 1307.50, 17.69),
        ("less-is-more-1", 19, 57, 2488.6, 20.6),
        ("less-is-more-2", 19, 57, 2582.5, 19.0),
        ("less-is-more-3", 19, 57, 728.7, 11.28),
        ("less-is-more-4", 19, 57, 3790.4, 22.2),
        ("less-is-more-5", 13, 26, 1308.5, 9.5),
        ("ex-ss-darts-1", 13, 78, 4491.55, 87.94),
        ("ex-ss-darts-2", 18, 102, 6267.70, 364.10),
        ("ex-ss-darts-3", 10, 90, 5377.25, 555.80),
        ("vp-darts-1", 16, 96, 6148.66, 49.68),
        ("vp-darts-2", 3, 18, 1225.41, 93.59),
        ("vp-darts-3", 2, 12, 793.22, 46.47),
    ],
)
def test_a_table_has_all_rows_of_the_paper_and_every_digit_of_them(
    name: str, rows: int, values: int, means: float, deviations: float
) -> None:
    """Sums over the printed tables, which were compared with the papers row by row."""
    whole = table(name)
    ours = [row for row in whole.rows if not row.control]
    found = [printed(row, column) for row in ours for column in whole.columns]
    numbers = [value for value in found if value.mean is not None]
    assert (len(ours), len(numbers)) == (rows, values)
    assert sum(value.mean or 0 for value in numbers) == pytest.approx(means)
    assert sum(value.deviation or 0 for value in numbers) == pytest.approx(deviations)


def test_a_look_up_beside_trained_cells_is_not_taken_for_a_printed_value() -> None:
    for row in table("less-is-more-1").rows:
        shown = [printed(row, each).text for each in table("less-is-more-1").columns]
        assert all(shown[:3])
        assert shown[3] == ""


def test_each_table_tells_its_own_hours_of_a_shared_recipe() -> None:
    def hours(name: str) -> str:
        rows = table(name).rows
        (first,) = (row for row in rows if row.label == "DARTS (1st)")
        return fact(first, "search hours")

    assert (hours("bdp-4"), hours("vp-darts-1")) == ("3.2", "2.0")


def test_adaptive_nas_is_run_by_our_reading_of_it() -> None:
    """Data spec B.6: DARTS-PT on a tenth of T that GLISTER chooses every ten epochs."""
    (row,) = (each for each in table("bdp-4").rows if each.label == "Adaptive-NAS")
    assert not row.cannot
    assert [fact(row, name) for name in ("search hours", "data left")] == [
        "0.8",
        "10 %",
    ]
    recipe = find_recipe(row.recipes[0])
    assert recipe is not None
    spec = validate(recipe.spec, check_data=False)
    assert (spec.selection.name, spec.derivation.name) == ("adaptive-nas", "projection")
    assert (spec.selection.keep_train, spec.selection.every) == (0.1, 10)


def test_the_runs_of_table_4_are_four_as_its_caption_says() -> None:
    whole = table("bdp-4")
    own = [row for row in whole.rows if "BDP" in row.label or row.control]
    assert len(own) == 11
    for row in own:
        recipe = find_recipe(row.recipes[0])
        assert recipe is not None
        assert len(recipe.seeds) >= 4, row.label


def test_less_is_more_searches_with_the_enas_of_its_code() -> None:
    (recipe,) = (
        each for each in table("less-is-more-3").made if each.name.endswith("full-ds")
    )
    assert recipe.spec["method"] == {"name": "enas", "compat": "nas-bench-201"}


def test_methods_of_the_smoothdarts_family_split_the_images_as_its_code_does() -> None:
    """Data spec D.2: the first half by index is T, the second V."""
    for _, whole in TABLES:
        for name in whole.recipes:
            recipe = find_recipe(name)
            assert recipe is not None
            spec = validate(recipe.spec, check_data=False)
            streams = methods.get(spec.method.name).streams(spec.method)
            if spec.training.recipe == "smooth" and streams == "split":
                assert spec.split.rule == "halves", name


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
def test_less_is_more_searches_five_nodes_as_printed_and_four_in_small(
    number: int,
) -> None:
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
