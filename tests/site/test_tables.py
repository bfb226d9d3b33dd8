"""One table as page, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from django.template.loader import render_to_string

from nasweb.comparison import Spread
from nasweb.tables import Column, Table, as_latex, escape, respond

TABLE = Table(
    key="differences",
    title="Differences",
    note="test accuracy by table, 100 % of β-DARTS",
    columns=(
        Column("group", "group", "words"),
        Column("n", "n", digits=0),
        Column("value", "accuracy %"),
        Column("effect", "difference", "signed"),
        Column("p", "p", "p"),
    ),
    rows=[
        ["=1+1 & co", 3, Spread(3, 93.789, 0.391), 39.489, 0.00004],
        ["DARTS", 1, Spread(1, 54.3, None), -0.001, 0.0424],
        ["queued", 0, Spread(0, None, None), None, None],
    ],
    hints={(0, "p"): "Welch's t-test"},
    swatches=[1, 2, 3],
)


def shown(row: int) -> list[tuple[str, str]]:
    return [(cell.text, cell.small) for cell in TABLE.shown[row]["cells"]]


def test_a_mean_stands_with_its_deviation_and_its_n() -> None:
    assert shown(0) == [
        ("=1+1 & co", ""),
        ("3", ""),
        ("93.79", "± 0.39"),
        ("+39.49", ""),
        ("< 0.001", ""),
    ]
    assert TABLE.shown[0]["cells"][-1].title == "Welch's t-test"


def test_n_stands_at_the_mean_where_the_row_tells_none_or_another() -> None:
    fewer = replace(TABLE, rows=[["a", 4, Spread(3, 93.789, 0.391), None, None]])
    assert fewer.shown[0]["cells"][2].small == "± 0.39, n = 3"
    alone = replace(TABLE, columns=TABLE.columns[2:3], rows=[[Spread(1, 2.0, None)]])
    assert alone.shown[0]["cells"][0].small == "n = 1"


def test_one_run_shows_no_deviation_and_zero_has_no_sign() -> None:
    assert shown(1)[2:] == [("54.30", ""), ("0.00", ""), ("0.042", "")]
    assert shown(2)[2:] == [("–", ""), ("–", ""), ("–", "")]


def test_the_csv_has_mean_deviation_and_n_in_columns_and_no_formula() -> None:
    text = respond(TABLE, "csv").content.decode()
    first, second, third = csv.DictReader(io.StringIO(text))
    assert first["group"] == "'=1+1 & co"
    assert (first["value_mean"], first["value_std"], first["value_n"]) == (
        "93.789",
        "0.391",
        "3",
    )
    assert first["p"] == "4e-05"
    assert (second["value_std"], third["value_mean"], third["p"]) == ("", "", "")


def test_the_json_keeps_the_numbers_whole() -> None:
    content = json.loads(respond(TABLE, "json").content)
    assert content["note"] == TABLE.note
    assert content["rows"][0]["value"] == {"mean": 93.789, "std": 0.391, "n": 3}
    assert content["rows"][0]["p_note"] == "Welch's t-test"
    assert content["rows"][2]["effect"] is None


def test_the_latex_needs_no_package_and_escapes_names() -> None:
    text = as_latex(TABLE)
    assert text.startswith("% Differences: test accuracy by table")
    assert r"=1+1 \& co & $3$ & $93.79 \pm 0.39$ ($n=3$) & $+39.49$ & $< 0.001$ \\" in (
        text
    )
    assert r"DARTS & $1$ & $54.30$ ($n=1$) & $0.00$ & $0.042$ \\" in text
    assert text.count(r"\hline") == 3
    assert text.count("\n%") == 0


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a_b 50% {x}", r"a\_b 50\% \{x\}"),
        ("1←0, β", r"1$\leftarrow$0, $\beta$"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
    ],
)
def test_latex_shows_text_as_it_is(text: str, safe: str) -> None:
    assert escape(text) == safe


@pytest.mark.parametrize("form", ["csv", "json", "tex"])
def test_a_file_has_the_name_of_its_table(form: str) -> None:
    disposition = respond(TABLE, form)["Content-Disposition"]
    assert disposition == f'attachment; filename="differences.{form}"'


def test_the_colours_of_rows_go_round_as_those_of_the_charts_do() -> None:
    table = replace(TABLE, swatches=[8, 9, 10])
    assert [row["swatch"] for row in table.shown] == [8, 1, 2]


def test_an_alarm_sets_off_its_cell_alone() -> None:
    table = replace(TABLE, alarms={(1, "value")})
    alarmed = [[cell.alarm for cell in row["cells"]] for row in table.shown]
    assert alarmed == [[False] * 5, [False, False, True, False, False], [False] * 5]


def test_what_neighbours_have_in_common_stands_once_above_them() -> None:
    columns = [
        Column("group", "group", "words"),
        Column("a", "CIFAR-10 valid", over="CIFAR-10"),
        Column("b", "CIFAR-10 test", over="CIFAR-10"),
        Column("c", "CIFAR-100 test", over="CIFAR-100"),
    ]
    table = Table("t", "T", "", columns, [["x", 1.0, 2.0, 3.0]])
    assert table.over == [("", 1), ("CIFAR-10", 2), ("CIFAR-100", 1)]
    assert [column.under for column in columns] == ["group", "valid", "test", "test"]
    html = render_to_string("tables/_table.html", {"table": table})
    assert '<th scope="colgroup" colspan="2" class="group">CIFAR-10</th>' in html
    assert '<th scope="col" class="num">valid</th>' in html
    assert "CIFAR-10 valid & CIFAR-10 test" in as_latex(table)


def test_a_per_cent_sign_stays_on_the_line_of_its_words() -> None:
    assert Column("a", "supernet, V %").under == "supernet, V\N{NO-BREAK SPACE}%"


def test_a_table_whose_columns_share_nothing_has_one_row_of_titles() -> None:
    table = Table("t", "T", "", [Column("a", "A"), Column("b", "B")], [[1.0, 2.0]])
    assert table.over == []
    html = render_to_string("tables/_table.html", {"table": table})
    assert html.count("<tr>") == 2
