"""A table of results once, for the page and for every export: CSV, JSON, LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

from django.http import HttpResponse, JsonResponse

from nasweb.comparison import Spread
from nasweb.figures.theme import GROUPS

Value = str | int | float | Spread | None
Kind = Literal["words", "number", "signed", "p"]

SMALLEST_P = 0.001
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "←": r"$\leftarrow$",
    "−": "$-$",
    "–": "--",
    "β": r"$\beta$",
    "α": r"$\alpha$",
}


@dataclass(frozen=True)
class Column:
    """A column: ``key`` names it in files, ``title`` for people.

    ``signed`` writes a plus before what is above zero; ``p`` writes a p value.
    ``over`` is how the title begins in several neighbours: a page writes it once, above
    all of them.
    """

    key: str
    title: str
    kind: Kind = "number"
    digits: int = 2
    over: str = ""

    @property
    def under(self) -> str:
        """The title without what stands above it; a line never begins with a per cent
        sign."""
        title = self.title.removeprefix(self.over).lstrip()
        return title.replace(" %", "\N{NO-BREAK SPACE}%")


@dataclass(frozen=True)
class Cell:
    """A value as the page shows it: text, what stands small behind it, and a hint;
    ``alarm`` sets it off from the others."""

    text: str
    small: str = ""
    number: bool = True
    title: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values under columns; a ``Spread`` carries its own n.

    Attributes:
        key: what the address calls it.
        title: for people.
        note: what the figures are: data set, split, by table or trained.
        hints: by (row, column key), a sentence that a cell needs beside it.
        swatches: by row, the number of the group whose colour it has.
        alarms: (row, column key) of cells that tell of something that went wrong.
    """

    key: str
    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    hints: Mapping[tuple[int, str], str] = field(default_factory=dict)
    swatches: Sequence[int] = ()
    alarms: Collection[tuple[int, str]] = ()

    @property
    def over(self) -> list[tuple[str, int]]:
        """What stands above the titles, and over how many columns; empty if nothing
        does."""
        spans = groupby(column.over for column in self.columns)
        found = [(text, len(list(columns))) for text, columns in spans]
        return found if any(text for text, _ in found) else []

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The rows as the page shows them."""
        return [
            {
                "swatch": self._swatch(place),
                "cells": [
                    self._cell((place, column.key), value, column, n)
                    for value, column in zip(row, self.columns, strict=True)
                ],
            }
            for place, row in enumerate(self.rows)
            for n in [self._n(row)]
        ]

    def _swatch(self, place: int) -> int | None:
        """Return the number of a row's colour, which charts take in turn."""
        if place >= len(self.swatches):
            return None
        return (self.swatches[place] - 1) % len(GROUPS) + 1

    def _cell(
        self, at: tuple[int, str], value: Value, column: Column, n: Value
    ) -> Cell:
        cell = _cell(value, column, self.hints.get(at, ""), n)
        return replace(cell, alarm=True) if at in self.alarms else cell

    def _n(self, row: Sequence[Value]) -> Value:
        """Return the n that stands in a column of its own, None without one."""
        for value, column in zip(row, self.columns, strict=True):
            if column.key == "n":
                return value
        return None


def number(value: float, column: Column) -> str:
    """Write a number as its column wants it."""
    if column.kind == "p":
        return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.3f}"
    sign = "+" if column.kind == "signed" else ","
    text = f"{value:{sign}.{column.digits}f}"
    zero = text.strip("+-0.,") == ""
    return text.lstrip("+-") if zero else text.replace("-", "−")


def _cell(value: Value, column: Column, hint: str, n: Value) -> Cell:
    words = column.kind == "words"
    if value is None:
        return Cell("–", number=not words, title=hint)
    if isinstance(value, Spread):
        return _spread(value, column, hint, n)
    if isinstance(value, str):
        return Cell(value, number=not words, title=hint)
    return Cell(number(value, column), number=not words, title=hint)


def _spread(value: Spread, column: Column, hint: str, n: Value) -> Cell:
    """Write mean and deviation, and n where no column of the row tells the same."""
    if value.mean is None:
        return Cell("–", title=hint)
    small = []
    if value.deviation is not None:
        plain = Column("", "", digits=column.digits)
        small.append(f"± {number(value.deviation, plain)}")
    if value.n != n:
        small.append(f"n = {value.n}")
    return Cell(number(value.mean, column), ", ".join(small), title=hint)


def respond(table: Table, form: str) -> HttpResponse:
    """Return the table as a file to keep: ``csv``, ``json`` or ``tex``."""
    response: HttpResponse
    if form == "json":
        response = JsonResponse(as_data(table))
    elif form == "tex":
        response = HttpResponse(as_latex(table), "application/x-tex; charset=utf-8")
    else:
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        csv.writer(response).writerows(_csv_rows(table))
    response["Content-Disposition"] = f'attachment; filename="{table.key}.{form}"'
    return response


FORMS = {"csv": "CSV", "json": "JSON", "tex": "LaTeX"}


def as_data(table: Table) -> dict[str, Any]:
    """Return the table as JSON: a spread is an object of mean, std and n."""
    return {
        "title": table.title,
        "note": table.note,
        "rows": [
            {
                column.key: _data(value)
                for value, column in zip(row, table.columns, strict=True)
            }
            | {
                f"{column.key}_note": hint
                for column in table.columns
                if (hint := table.hints.get((place, column.key)))
            }
            for place, row in enumerate(table.rows)
        ],
    }


def _data(value: Value) -> Any:
    if isinstance(value, Spread):
        return {"mean": value.mean, "std": value.deviation, "n": value.n}
    return value


def _csv_rows(table: Table) -> Iterator[list[Any]]:
    """Yield the header and the rows; a spread takes three columns."""
    wide = [
        any(isinstance(row[at], Spread) for row in table.rows)
        for at in range(len(table.columns))
    ]
    header: list[Any] = []
    for column, spreads in zip(table.columns, wide, strict=True):
        ends = ("_mean", "_std", "_n") if spreads else ("",)
        header += [f"{column.key}{end}" for end in ends]
    yield header
    for row in table.rows:
        values: list[Any] = []
        for value, spreads in zip(row, wide, strict=True):
            if isinstance(value, Spread):
                values += [value.mean, value.deviation, value.n]
            elif spreads:
                values += [value, None, None]
            else:
                values.append(safe(value) if isinstance(value, str) else value)
        yield values


def safe(text: str) -> str:
    """Keep a spreadsheet from reading a name as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def as_latex(table: Table) -> str:
    """Return a tabular that needs no package; the note stands above it."""
    layout = "".join("l" if c.kind == "words" else "r" for c in table.columns)
    lines = [
        f"% {table.title}: {table.note}".replace("\n", " "),
        f"\\begin{{tabular}}{{{layout}}}",
        "\\hline",
        _latex_row([escape(column.title) for column in table.columns]),
        "\\hline",
        *(
            _latex_row([_latex(v, c) for v, c in zip(row, table.columns, strict=True)])
            for row in table.rows
        ),
        "\\hline",
        "\\end{tabular}",
        "",
    ]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex(value: Value, column: Column) -> str:
    if isinstance(value, Spread):
        if value.mean is None:
            return "--"
        text = number(value.mean, column).replace("−", "-")
        if value.deviation is not None:
            text += rf" \pm {value.deviation:.{column.digits}f}"
        return f"${text}$ ($n={value.n}$)"
    if value is None:
        return "--"
    if isinstance(value, str):
        return escape(value)
    text = number(value, column).replace("−", "-")
    return f"${text}$"


def escape(text: str) -> str:
    """Return text as LaTeX shows it."""
    return "".join(_LATEX.get(sign, sign) for sign in text)
