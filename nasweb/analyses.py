"""What groups of runs say together: differences, transfer, data shares, edges.

Pure functions from groups to tables; the pages and the files show the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasweb.comparison import (
    Group,
    Member,
    Step,
    at_cost,
    operation_shares,
    spread,
)
from nasweb.figures.theme import operation_style
from nasweb.runs.points import table_column
from nasweb.statistics import difference, entropy, holm, sentence
from nasweb.tables import Column, Table, Value
from searchjobs import benchmark, stored_specs
from searchjobs.engine.contracts import methods, selections

BEST_CELLS = 3
"""Per data set that was searched on, as in Table 5 of Less is More."""

_DIFFERENCES = (
    Column("group", "group", "words"),
    Column("read", "read", "words"),
    Column("value", "mean %"),
    Column("reference", "reference %"),
    Column("difference", "difference", "signed"),
    Column("low", "95 % from", "signed"),
    Column("high", "to", "signed"),
    Column("p", "p (Welch)", "p"),
    Column("p_holm", "p (Holm)", "p"),
    Column("compares", "what is compared", "words"),
)


def counted(members: Iterable[Member]) -> list[Member]:
    """Return the runs that a test may count: those that succeeded, each seed once (the
    same seed again is no other observation)."""
    chosen: dict[int, Member] = {}
    for member in members:
        if member.succeeded:
            chosen.setdefault(member.seed, member)
    return list(chosen.values())


def differences(
    groups: Sequence[Group],
    reference: int,
    value: Callable[[Step], float | None],
    measure: str,
    budget: float | None,
) -> Table:
    """Return every group against one of them, at the end and at equal cost.

    ``value`` reads the accuracy (per cent) from a step, ``measure`` names it, and
    ``budget`` is what the cheapest group has cost.
    """

    def read(group: Group, at_equal_cost: bool) -> list[float | None]:
        steps = (
            at_cost(member, budget or 0.0) if at_equal_cost else member.last
            for member in counted(group.members)
        )
        return [value(step) for step in steps if step is not None]

    base = groups[reference]
    ways = {"at the end": False, "at equal cost": True}
    places = [
        (place, way)
        for way in ways
        for place in range(len(groups))
        if place != reference
    ]
    found = holm(
        [
            difference(read(groups[place], ways[way]), read(base, ways[way]))
            for place, way in places
        ]
    )
    rows: list[list[Value]] = [
        [
            groups[place].label,
            way,
            *(each.group, each.reference, each.effect, each.low, each.high),
            *(each.p, each.adjusted),
            sentence(each, groups[place].label, base.label),
        ]
        for (place, way), each in zip(places, found, strict=True)
    ]
    return Table(
        key="differences",
        title=f"Differences to {base.label}",
        note=f"{measure}; runs that succeeded, each seed once; differences in points "
        "with the 95 % bootstrap interval; p of Welch's two-sided t-test, and with "
        f"Holm's correction for the {len(rows)} rows of this table; with few seeds "
        "the interval is too narrow: it knows no values but theirs",
        columns=_DIFFERENCES,
        rows=rows,
        swatches=[place + 1 for place, _ in places],
    )


def reference_of(groups: Sequence[Group], asked: str) -> int:
    """Return which group the others are held against: the one asked for by its place,
    else a search on all samples with a sibling on fewer, else the first."""
    if asked.isdecimal() and len(asked) < 4 and int(asked) < len(groups):
        return int(asked)
    return next((start for start, _ in arrows(groups)), 0)


def arrows(groups: Sequence[Group]) -> list[tuple[int, int]]:
    """Return pairs (from, to): the same search on all samples, and on fewer."""
    prints = [_prints(group.spec) for group in groups]
    places = {own: place for place, (own, _) in enumerate(prints) if own}
    return [
        (places[whole], place)
        for place, (own, whole) in enumerate(prints)
        if whole and own != whole and whole in places
    ]


def _prints(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Return the identity of a search and of the same on all samples, with the seed
    where the spec has one; empty if this version cannot read the spec."""
    own = stored_specs.identity(spec)
    if not own:
        return "", ""
    seed = f", seed {spec['seed']}" if "seed" in spec else ""
    return own + seed, stored_specs.whole_identity(spec) + seed


def method_label(spec: Mapping[str, Any]) -> str:
    """Return what people call the method of a stored spec."""
    name = str((spec.get("method") or {}).get("name", ""))
    return next((part.label for part in methods.all() if part.name == name), name)


def search_labels(groups: Sequence[Group]) -> list[str]:
    """Return what each group searches, but for its samples: the method, and data set
    and epochs where one method stands for several searches.  Equal for equal searches,
    and for no others."""
    keys = [stored_specs.whole_identity(group.spec) or group.label for group in groups]
    labels = [method_label(group.spec) for group in groups]
    for more in (_dataset_of, _epochs_of, None):
        meant: dict[str, set[str]] = {}
        for label, key in zip(labels, keys, strict=True):
            meant.setdefault(label, set()).add(key)
        labels = [
            f"{label} · {more(group.spec) if more else key[:4]}"
            if len(meant[label]) > 1
            else label
            for label, key, group in zip(labels, keys, groups, strict=True)
        ]
    return labels


def _dataset_of(spec: Mapping[str, Any]) -> str:
    return str((spec.get("dataset") or {}).get("name", "no data set"))


def _epochs_of(spec: Mapping[str, Any]) -> str:
    return f"{(spec.get('training') or {}).get('epochs', 0)} epochs"


def selection_label(spec: Mapping[str, Any]) -> str:
    """Return what people call the selection of a stored spec."""
    name = str((spec.get("selection") or {}).get("name", ""))
    return next((part.label for part in selections.all() if part.name == name), name)


def merged(groups: Sequence[Group], by: str) -> list[Group]:
    """Return groups put together by ``method``, or by ``selection`` (method and
    selection); as they are by anything else."""
    if by not in {"method", "selection"}:
        return list(groups)
    found: dict[str, list[Member]] = {}
    specs: dict[str, Mapping[str, Any]] = {}
    for group in groups:
        label = method_label(group.spec)
        if by == "selection":
            label = f"{label} · {selection_label(group.spec)}"
        found.setdefault(label, []).extend(group.members)
        specs.setdefault(label, group.spec)
    return [Group(label, specs[label], its) for label, its in found.items()]


def edges(groups: Sequence[Group], operations: Sequence[str]) -> Table:
    """Return, per group and edge, the share of the runs that take each operation, and
    the entropy of the edge in bits."""
    rows: list[list[Value]] = []
    swatches = []
    for place, group in enumerate(groups, start=1):
        n = sum(bool(member.cell) for member in group.members)
        for edge, shares in operation_shares(group, operations).items():
            percent = [100 * share for share in shares]
            rows.append([group.label, edge, n, *percent, entropy(shares)])
            swatches.append(place)
    named = (
        Column(name, f"{operation_style(name, at).label} %", digits=0)
        for at, name in enumerate(operations)
    )
    return Table(
        key="edges",
        title="Operations per edge",
        note="share of the runs whose cell takes the operation on the edge; entropy in "
        "bits: 0 where all runs agree, at most log2 of n or of the operations",
        columns=(
            Column("group", "group", "words"),
            Column("edge", "edge", "words"),
            Column("n", "n", digits=0),
            *named,
            Column("entropy_bits", "entropy, bits"),
        ),
        rows=rows,
        swatches=swatches,
    )


def transfer(groups: Sequence[Group]) -> Table:
    """Return what the cells of each group reach on every data set of the table: on that
    which was searched on, and on the others (Table 5 of Less is More)."""
    rows: list[list[Value]] = []
    hints = {}
    for place, group in enumerate(groups):
        own = table_column(group.spec)
        steps = [each.last for each in counted(group.members) if each.last]
        searched = str((group.spec.get("dataset") or {}).get("name", ""))
        rows.append([group.label, searched, len(steps), *_tests(steps)])
        if own:
            hints[place, own] = "searched on"
    return Table(
        key="transfer",
        title="Transfer",
        note="test accuracy of the cells by table (200 epochs), mean ± sample standard "
        "deviation over runs that succeeded, each seed once; nothing was trained on "
        "the other data sets by these searches",
        columns=(
            Column("group", "group", "words"),
            Column("searched_on", "searched on", "words"),
            Column("n", "n", digits=0),
            *_table_columns(),
        ),
        rows=rows,
        hints=hints,
        swatches=list(range(1, len(rows) + 1)),
    )


def _table_columns() -> list[Column]:
    return [
        Column(name, f"{label} test %") for name, label in benchmark.DATASETS.items()
    ]


def _tests(steps: Sequence[Step]) -> list[Value]:
    return [
        spread(step.table.get(name, {}).get("test") for step in steps)
        for name in benchmark.DATASETS
    ]


def best_cells(groups: Sequence[Group]) -> Table:
    """Return the best cells of each data set that was searched on, chosen by their
    validation accuracy there, and what they reach on test and elsewhere."""
    found: dict[str, list[tuple[float, int, Member, Step]]] = {}
    for place, group in enumerate(groups):
        column = table_column(group.spec)
        for member in counted(group.members):
            step = member.last
            values = step.table.get(column or "", {}) if step else {}
            if step and column and values.get("valid") is not None:
                seen = float(values["valid"] or 0.0)
                found.setdefault(column, []).append((seen, place, member, step))
    rows: list[list[Value]] = []
    swatches = []
    for column, cells in found.items():
        distinct: dict[str, tuple[float, int, Member, Step]] = {}
        for each in sorted(cells, key=lambda each: -each[0]):
            distinct.setdefault(each[3].genotype, each)
        for seen, place, member, step in list(distinct.values())[:BEST_CELLS]:
            tests = [step.table.get(n, {}).get("test") for n in benchmark.DATASETS]
            by = f"{groups[place].label} · seed {member.seed}"
            label = benchmark.DATASETS[column]
            rows.append([by, label, seen, *tests, step.genotype])
            swatches.append(place + 1)
    return Table(
        key="best-cells",
        title="Best cells",
        note=f"the {BEST_CELLS} best cells of each data set that was searched on, "
        "chosen by their validation accuracy there; all by table (200 epochs)",
        columns=(
            Column("search", "search", "words"),
            Column("searched_on", "searched on", "words"),
            Column("valid", "valid there %"),
            *_table_columns(),
            Column("cell", "cell", "words"),
        ),
        rows=rows,
        swatches=swatches,
    )


@dataclass(frozen=True)
class SharePoint:
    """A group in the chart of data shares; shares are per cent of T and of V.

    ``method`` names the search but for its samples (``search_labels``).
    """

    label: str
    method: str
    n: int
    train: float
    valid: float | None
    cost: Any
    seconds: Any
    value: Any


def share_points(
    groups: Sequence[Group], value: Callable[[Step], float | None]
) -> list[SharePoint]:
    """Return every group with runs that succeeded: how much of T and V an epoch has
    used, on average, and what the search has cost and found."""
    points = []
    for group, method in zip(groups, search_labels(groups), strict=True):
        members = [member for member in counted(group.members) if member.last]
        train = spread(used(member, "T") for member in members).mean
        if train is None:
            continue
        steps = [member.last for member in members if member.last]
        points.append(
            SharePoint(
                label=group.label,
                method=method,
                n=len(members),
                train=train,
                valid=spread(used(member, "V") for member in members).mean,
                cost=spread(step.cost for step in steps),
                seconds=spread(step.seconds for step in steps),
                value=spread(value(step) for step in steps),
            )
        )
    return points


def used(member: Member, name: str) -> float | None:
    """Return the mean share (per cent) of a set that an epoch of the run has used.

    What remains after an epoch feeds the next one; a set that was reduced before the
    search is as large after its first epoch as in it.
    """
    whole, left = member.sizes.get(name), member.left.get(name)
    if not whole or not left:
        return None
    fed = [left[0], *left[:-1]]
    return 100 * sum(fed) / len(fed) / whole


def shares(points: Sequence[SharePoint], measure: str) -> Table:
    """Return data share, cost and accuracy, and the cost against the same search on its
    largest share (Less is More, Fig. 2)."""
    dearest: dict[str, SharePoint] = {}
    for point in points:
        known = dearest.get(point.method)
        if known is None or point.train > known.train:
            dearest[point.method] = point
    return Table(
        key="shares",
        title="Time saving against data share",
        note="share of the samples that an epoch used, mean over the epochs; mean ± "
        "sample standard deviation over runs that succeeded; saving against the "
        f"largest share of the same search; {measure}",
        columns=(
            Column("group", "group", "words"),
            Column("method", "method", "words"),
            Column("n", "n", digits=0),
            Column("share_train", "share of T %", digits=1),
            Column("share_valid", "share of V %", digits=1),
            Column("cost_units", "cost units", digits=0),
            Column("cost_saving", "saved, units %", digits=1),
            Column("seconds", "seconds", digits=1),
            Column("seconds_saving", "saved, seconds %", digits=1),
            Column("accuracy", "accuracy %"),
        ),
        rows=[
            [
                *(point.label, point.method, point.n, point.train, point.valid),
                *(point.cost, _saving(point.cost, dearest[point.method].cost)),
                *(point.seconds, _saving(point.seconds, dearest[point.method].seconds)),
                point.value,
            ]
            for point in points
        ],
    )


def _saving(of: Any, whole: Any) -> float | None:
    return 100 * (1 - of.mean / whole.mean) if of.mean and whole.mean else None
