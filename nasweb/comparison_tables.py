"""The tables of a comparison as files: LaTeX beside what the page shows."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponse

from nasweb.comparison import Group, at_cost, cheapest, spread, summary
from nasweb.runs.spec_view import differences
from nasweb.tables import Column, Table, Value, as_latex
from searchjobs import benchmark

_MEASURED = (
    Column("epoch", "epoch", digits=0),
    Column("cost_share", "cost, of no pruning"),
    Column("cost", "cost units", digits=0),
    Column("seconds", "seconds", digits=1),
    Column("supernet", "supernet, V %", digits=1),
    Column("inherited", "inherited, V %", digits=1),
    Column("skips", "skips", digits=1),
    Column("parameter_free", "parameter-free", digits=1),
)
_LOOK_UPS = (
    "table columns are look-ups in per cent (200 epochs), not trained in the runs"
)
_NOTE = f"mean and sample standard deviation over n runs; {_LOOK_UPS}"


def tables(groups: Sequence[Group], *, loaded: bool) -> list[Table]:
    """Return the tables of the page: at the end, at equal cost, and what differs.

    ``loaded``: there is a benchmark table, so its columns are there too.
    """
    found = [at_end(groups, loaded=loaded)]
    if len(groups) < 2:
        return found
    found.append(at_equal_cost(groups, loaded=loaded))
    rows = differences([group.spec for group in groups])
    words = [Column(f"group_{at}", g.label, "words") for at, g in enumerate(groups, 1)]
    found.append(
        Table(
            "what-differs",
            "What differs",
            "settings that are not the same in all groups",
            [Column("setting", "setting", "words"), *words],
            [[path, *values] for path, values in rows],
        )
    )
    return found


def at_end(groups: Sequence[Group], *, loaded: bool) -> Table:
    """Return what each group gave in the end, or has reached so far."""
    return _table("at-the-end", "At the end", _NOTE, groups, None, loaded=loaded)


def at_equal_cost(groups: Sequence[Group], *, loaded: bool) -> Table:
    """Return what each group had when it had cost as much as the cheapest of them."""
    budget = cheapest(groups) or 0.0
    note = f"each run at the last epoch it could pay with {budget:,.0f} cost units; "
    title = "At equal cost"
    return _table("at-equal-cost", title, note + _NOTE, groups, budget, loaded=loaded)


def latex(groups: Sequence[Group], *, loaded: bool) -> HttpResponse:
    """Return the tables one below the other, to be put into a paper."""
    found = tables(groups, loaded=loaded)
    response = HttpResponse(
        "\n".join(as_latex(table) for table in found),
        content_type="application/x-tex; charset=utf-8",
    )
    response["Content-Disposition"] = 'attachment; filename="comparison.tex"'
    return response


def _table(
    key: str,
    title: str,
    note: str,
    groups: Sequence[Group],
    budget: float | None,
    *,
    loaded: bool,
) -> Table:
    splits = [(d, split) for d in benchmark.DATASETS for split in ("valid", "test")]
    columns = [
        Column("group", "group", "words"),
        Column("n", "n", digits=0),
        *_MEASURED,
        Column("collapsed", "collapsed", digits=0),
    ]
    if loaded:
        names = benchmark.DATASETS
        columns += [
            Column(f"{d}_{s}", f"{names[d]} {s}", over=names[d]) for d, s in splits
        ]
    rows: list[list[Value]] = []
    alarms = set()
    for place, group in enumerate(groups):
        row = summary(group, lambda m: m.last if budget is None else at_cost(m, budget))
        values: list[Value] = [row["label"], row["n"]]
        values += [row[column.key] for column in _MEASURED]
        values.append(row["collapsed"])
        if row["collapsed"]:
            alarms.add((place, "collapsed"))
        if loaded:
            values += [row["table"].get(d, {}).get(s, spread([])) for d, s in splits]
        rows.append(values)
    numbers = range(1, len(groups) + 1)
    return Table(key, title, note, columns, rows, swatches=numbers, alarms=alarms)
