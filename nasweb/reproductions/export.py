"""A table with printed values and ours as a file: CSV, JSON, LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from django.http import HttpResponse, JsonResponse

from nasweb.comparison import Spread
from nasweb.tables import escape, safe
from searchjobs.engine.tables import Column, Paper, Printed

from .values import Filled, Line, Value

FORMS = {"csv": "CSV", "json": "JSON", "tex": "LaTeX"}
_CSV_COLUMNS = (
    "table",
    "scale",
    "row",
    "control",
    "dataset",
    "split",
    "column",
    "measure",
    "images",
    "printed",
    "printed_mean",
    "printed_std",
    "ours_n",
    "ours_mean",
    "ours_std",
    "deviation_points",
    "within_one_printed_std",
    "cost_units",
    "search_seconds",
    "why_not",
)


LOOK_UP = "table look-up (200 epochs) of the cells that the searches found"


def measure(filled: Filled) -> str:
    """Return what the figures of ours are, in a table's main columns."""
    if filled.table.trained:
        how = "; ".join(filled.protocols) or "no cell is trained yet"
        return f"cells trained from scratch ({how})"
    return LOOK_UP


def _measure_of(filled: Filled, column: Column) -> str:
    return measure(filled) if column.channels else LOOK_UP


def respond(paper: Paper, filled: Filled, form: str) -> HttpResponse:
    """Return the table as a file to keep."""
    response: HttpResponse
    if form == "json":
        response = JsonResponse(as_data(paper, filled))
    elif form == "tex":
        content = as_latex(paper, filled)
        response = HttpResponse(content, "application/x-tex; charset=utf-8")
    else:
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        csv.writer(response).writerows(_csv_rows(filled))
    name = f"{filled.table.name}-{filled.scale.name}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv_rows(filled: Filled) -> Iterator[list[Any]]:
    """Yield the header, then a row a cell."""
    yield list(_CSV_COLUMNS)
    for line in filled.lines:
        for column, value in zip(filled.table.columns, line.values, strict=True):
            yield [
                filled.table.name,
                filled.scale.name,
                safe(line.row.label),
                line.row.control,
                column.dataset,
                column.split,
                safe(column.title),
                safe(_measure_of(filled, column)),
                safe("; ".join(filled.images)),
                safe(value.printed.text),
                value.printed.mean,
                value.printed.deviation,
                value.ours.n,
                value.ours.mean,
                value.ours.deviation,
                value.deviation,
                value.within,
                line.cost.mean,
                line.seconds.mean,
                safe(line.why or value.why),
            ]


def as_data(paper: Paper, filled: Filled) -> dict[str, Any]:
    """Return the table as JSON, with all that is needed to read it alone."""
    table = filled.table
    return {
        "paper": {"title": paper.title, "authors": paper.authors, "at": paper.source},
        "table": table.number,
        "title": table.title,
        "printed_repeats": table.repeats,
        "notes": list(table.notes),
        "scale": {"name": filled.scale.name, "summary": filled.scale.summary},
        "images": list(filled.images),
        "columns": [
            {
                "title": column.title,
                "dataset": column.dataset,
                "split": column.split,
                "channels": column.channels,
                "measure": _measure_of(filled, column),
            }
            for column in table.columns
        ],
        "rows": [_row(line) for line in filled.lines],
    }


def _row(line: Line) -> dict[str, Any]:
    counted = line.progress
    return {
        "label": line.row.label,
        "control": line.row.control,
        "why_not": line.why,
        "runs": {
            "wanted": counted.wanted,
            "succeeded": counted.done,
            "under_way": counted.active,
            "failed": counted.failed,
        },
        "printed_facts": list(line.facts),
        "cost_units": _spread(line.cost),
        "search_seconds": _spread(line.seconds),
        "values": [_value(value) for value in line.values],
    }


def _value(value: Value) -> dict[str, Any]:
    return {
        "printed": {
            "text": value.printed.text,
            "mean": value.printed.mean,
            "std": value.printed.deviation,
        },
        "ours": {**_spread(value.ours), "trainings": value.trainings},
        "deviation_points": value.deviation,
        "within_one_printed_std": value.within,
        "why_not": value.why,
    }


def _spread(of: Spread) -> dict[str, Any]:
    return {"n": of.n, "mean": of.mean, "std": of.deviation}


def as_latex(paper: Paper, filled: Filled) -> str:
    """Return a tabular that needs no package: a printed and one of our lines a row."""
    table = filled.table
    about = (
        f"{paper.short}, Table {table.number}: {table.title}. Ours: "
        f"{filled.scale.label} scale, {measure(filled)}; mean, sample deviation, n. "
        f"Images: {', '.join(filled.images) or 'no run yet'}."
    )
    groups = [
        (title, len(list(members)))
        for title, members in groupby(table.columns, lambda column: column.group)
    ]
    heads = [rf"\multicolumn{{{n}}}{{c}}{{{_tex(title)}}}" for title, n in groups]
    lines = [
        "% " + about.replace("\n", " "),
        rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
        r"\hline",
        _latex_row([_tex(f"ours: {filled.scale.label} scale"), "", *heads]),
        _latex_row(["", "", *(_tex(column.label) for column in table.columns)]),
        r"\hline",
    ]
    for line in filled.lines:
        label = _tex(line.row.label)
        ours = [_latex_spread(value.ours) for value in line.values]
        if line.row.control:
            lines.append(_latex_row([label, "control", *ours]))
            continue
        shown = [_latex_printed(value.printed) for value in line.values]
        lines.append(_latex_row([label, "printed", *shown]))
        lines.append(_latex_row(["", "ours", *ours]))
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_printed(value: Printed) -> str:
    return _tex(value.text) if value.text else "--"


def _latex_spread(value: Spread) -> str:
    if value.mean is None:
        return "--"
    text = f"{value.mean:.2f}"
    if value.deviation is not None:
        text += rf" \pm {value.deviation:.2f}"
    return f"${text}$ ($n={value.n}$)"


def _tex(text: str) -> str:
    """Return text as LaTeX shows it, the daggers of footnotes too."""
    return escape(text).replace("†", r"$\dagger$").replace("‡", r"$\ddagger$")
