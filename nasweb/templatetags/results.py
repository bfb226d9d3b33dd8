"""Tables and figures of many values, written without a template node a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import format_html, format_html_join, json_script
from django.utils.safestring import SafeString

from nasweb.tables import Cell, Table

register = template.Library()

#: What would end or change a script element; JSON knows them by their numbers too.
_IN_SCRIPTS = {"<": "\\u003C", ">": "\\u003E", "&": "\\u0026"}


class _ScriptEncoder(DjangoJSONEncoder):
    """Writes JSON that has none of the signs which ``json_script`` has to replace: it
    does so sign by sign, which takes a tenth of a second for a megabyte."""

    def encode(self, o: Any) -> str:
        text = super().encode(o)
        for sign, number in _IN_SCRIPTS.items():
            text = text.replace(sign, number)
        return text


@register.filter
def as_script(value: Any, name: str) -> SafeString:
    """Embed a value as Django's ``json_script`` does, but fast."""
    return json_script(value, name, encoder=_ScriptEncoder)


@register.simple_tag
def result_rows(table: Table) -> SafeString:
    """Write the rows of a table."""
    return format_html_join(
        "\n",
        "<tr>{}{}</tr>",
        (
            (_head(row["cells"][0], row["swatch"]), _rest(row["cells"][1:]))
            for row in table.shown
        ),
    )


def _head(cell: Cell, swatch: int | None) -> SafeString:
    if not swatch:
        return format_html('<th scope="row">{}{}</th>', cell.text, _hint(cell))
    colour = '<span class="swatch" data-group="{}" aria-hidden="true"></span>'
    pattern = f'<th scope="row">{colour}{{}}{{}}</th>'
    return format_html(pattern, swatch, cell.text, _hint(cell))


def _rest(cells: Sequence[Cell]) -> SafeString:
    return format_html_join("", "{}", ((_data(cell),) for cell in cells))


def _data(cell: Cell) -> SafeString:
    text = cell.text
    if cell.alarm:
        text = format_html('<strong class="danger-text">{}</strong>', text)
    small = format_html(" <small>{}</small>", cell.small) if cell.small else ""
    pattern = '<td class="num">{}{}{}</td>' if cell.number else "<td>{}{}{}</td>"
    return format_html(pattern, text, small, _hint(cell))


def _hint(cell: Cell) -> str:
    if not cell.title:
        return ""
    return format_html('<small class="hint">{}</small>', cell.title)
