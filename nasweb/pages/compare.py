"""Any runs side by side: curves, tables, what differs between them, export."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, Sum
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from nasweb import access
from nasweb.comparison import (
    AXES,
    MEASURES,
    Group,
    Member,
    Step,
    at_cost,
    band,
    cheapest,
    operation_shares,
    spread,
    summary,
    value_of,
)
from nasweb.figures import compare as figures
from nasweb.runs import points as rows
from nasweb.runs.spec_view import differences, ordered
from searchjobs import benchmark
from searchjobs.engine.contracts import Space
from searchjobs.engine.diagnostics.tables import SKIP
from searchjobs.models import DatasetStatistics, EpochRecord, Run
from searchjobs.permissions import visible
from searchjobs.states import TERMINAL

MOST_RUNS = 60
MOST_OFFERED = 40
_CSV_COLUMNS = (
    "group",
    "run",
    "seed",
    "state",
    "epoch",
    "cost_units",
    "cost_share",
    "seconds_search",
    "supernet_valid",
    "inherited_valid",
    "remaining",
    "skips",
    "parameter_free",
    "genotype",
)


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The comparison of ``?runs=uuid,uuid``, or the choice of runs without any."""
    ticked = request.GET.getlist("run")
    if ticked:  # the form's tick boxes become the stable address
        given = dict.fromkeys([*_asked(request), *ticked])
        keep = {n: v for n, v in request.GET.items() if n in {"x", "group", "measure"}}
        query = urlencode({"runs": ",".join(given), **keep}, safe=",")
        return redirect(f"{reverse('compare:index')}?{query}")
    runs = _chosen(request)
    groups = _groups(runs, together=request.GET.get("group", "seedless") == "seedless")
    export = {"csv": _csv, "json": _json}.get(request.GET.get("format", ""))
    if export is not None:
        return export(groups)
    context = {**_choice(request, runs), "runs": runs, "most": MOST_RUNS}
    if runs:
        context |= _comparison(request, runs, groups)
    return render(request, "compare/index.html", context)


def _asked(request: HttpRequest) -> list[str]:
    return [part for part in request.GET.get("runs", "").split(",") if part]


def _chosen(request: HttpRequest) -> list[Run]:
    """Return the runs asked for, in that order; 404 if one is not the user's."""
    try:
        wanted = [UUID(part) for part in dict.fromkeys(_asked(request))]
    except ValueError:
        raise Http404("A run's address in ?runs= is malformed.") from None
    if len(wanted) > MOST_RUNS:
        raise Http404(f"At most {MOST_RUNS} runs can be compared; leave some out.")
    found = {
        run.uuid: run
        for run in visible(Run, request.user)
        .filter(uuid__in=wanted)
        .select_related("job", "experiment", "architecture")
    }
    if len(found) < len(wanted):
        raise Http404("One of these runs is not in your teams.")
    return [found[uuid] for uuid in wanted]


def _choice(request: HttpRequest, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the runs on offer: the team's newest, those that fit the search."""
    text = request.GET.get("q", "").strip()
    offered = (
        Run.objects.filter(experiment__team=access.current_team(request))
        .exclude(pk__in=[run.pk for run in runs])
        .select_related("job", "experiment")
        .order_by("-created", "seed")
    )
    if text:
        offered = offered.filter(
            Q(experiment__name__icontains=text) | Q(experiment__tags__contains=[text])
        )
    total = offered.count()
    return {
        "q": text,
        "offered": offered[:MOST_OFFERED],
        "offered_total": total,
        "offered_most": MOST_OFFERED,
    }


def _groups(runs: Sequence[Run], *, together: bool) -> list[Group]:
    """Group runs that differ by nothing but their seed, or each on its own."""
    members = _members(runs)
    found: dict[str, tuple[Run, list[Member]]] = {}
    for run in runs:
        key = run.experiment.fingerprint if together else str(run.uuid)
        found.setdefault(key, (run, []))[1].append(members[run.pk])
    names = [run.experiment.name for run, _ in found.values()]
    groups = []
    for run, its_members in found.values():
        label = run.experiment.name
        if not together:
            label += f" · seed {run.seed}"
        elif names.count(label) > 1:
            label += f" · {run.experiment.fingerprint[:4]}"
        spec = {
            n: v
            for n, v in ordered(run.job.spec).items()
            if not (together and n == "seed")
        }
        groups.append(Group(label, spec, its_members))
    return groups


def _members(runs: Sequence[Run]) -> dict[int, Member]:
    """Read the epochs of all runs in three queries."""
    keys = [run.pk for run in runs]
    records: dict[int, list[EpochRecord]] = {key: [] for key in keys}
    for record in EpochRecord.objects.filter(run__in=keys).defer("report", "alpha"):
        records[record.run_id].append(record)
    left = {
        (run, epoch): total
        for run, epoch, total in DatasetStatistics.objects.filter(run__in=keys)
        .order_by()
        .values_list("run", "epoch")
        .annotate(total=Sum("remaining"))
    }
    tables: dict[str, dict[str, Any]] = {}
    for name in {rows.space_name(run) for run in runs}:
        genotypes = {r.genotype for each in records.values() for r in each}
        genotypes |= {r.architecture.encoding for r in runs if r.architecture}
        entries = benchmark.lookup(name, genotypes)
        tables[name] = {g: rows.table_values(entry) for g, entry in entries.items()}
    means = _means_over_repeats(runs)
    found = {}
    for run in runs:
        size = sum((run.plan or {}).get("sizes", {}).values())
        table = tables[rows.space_name(run)]
        space = benchmark.space_named(rows.space_name(run))
        steps = [
            _step(run, record, space, left.get((run.pk, record.epoch)), size, table)
            for record in sorted(records[run.pk], key=lambda record: record.epoch)
        ]
        if run.plan.get("table"):
            steps = [
                replace(step, table=means.get((run.pk, step.epoch), {}))
                for step in steps
            ]
        found[run.pk] = _member(run, steps, table)
    return found


def _means_over_repeats(
    runs: Sequence[Run],
) -> dict[tuple[int, int], dict[str, dict[str, float | None]]]:
    """Return, by run and point, the mean table values of the picks of searches on the
    table; what most repeats hold says less than all of them."""
    reports = EpochRecord.objects.filter(
        run__in=[run.pk for run in runs if run.plan.get("table")],
        report__repeats__accuracies__isnull=False,
    ).values_list("run", "epoch", "report__repeats__accuracies")
    nothing = {"rank": None, "of": None, "distance": None}
    return {
        (run, epoch): {
            dataset: {split: each["mean"] for split, each in splits.items()} | nothing
            for dataset, splits in accuracies.items()
        }
        for run, epoch, accuracies in reports
    }


def _step(
    run: Run,
    record: EpochRecord,
    space: Space,
    left: int | None,
    size: int,
    table: dict[str, Any],
) -> Step:
    baseline = run.baseline_units * record.epoch / run.epochs
    cell = rows.cell(space, record.genotype)
    free = rows.magnitude_share(record.magnitudes, space.parameter_free)

    def per_cent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    return Step(
        epoch=record.epoch,
        cost=record.cost_units,
        seconds=record.seconds_search,
        supernet=per_cent(record.valid_accuracy),
        inherited=per_cent(record.inherited_accuracy),
        remaining=100 * left / size if left is not None and size else None,
        cost_share=record.cost_units / baseline if baseline else None,
        skips=record.skips,
        genotype=record.genotype,
        edges=len(cell),
        parameter_free=sum(choice[-1] in space.parameter_free for choice in cell),
        free_magnitude=per_cent(free),
        table=table.get(record.genotype, {}),
    )


def _member(run: Run, steps: Sequence[Step], table: Mapping[str, Any]) -> Member:
    space = benchmark.space_named(rows.space_name(run))
    given = _given(run, steps, space, table) if steps else None
    last = given or (steps[-1] if steps else None)
    return Member(
        uuid=str(run.uuid),
        seed=run.seed,
        state=run.job.state,
        cell=rows.cell(space, last.genotype) if last else [],
        steps=steps,
        given=given,
    )


def _given(
    run: Run, steps: Sequence[Step], space: Space, table: Mapping[str, Any]
) -> Step | None:
    """Return the last step with the architecture that the run gave, None if it gave
    that of the last step or has not ended."""
    if run.job.state not in TERMINAL or not run.architectures or not run.architecture:
        return None
    encoding, last = run.architecture.encoding, steps[-1]
    if encoding == last.genotype or run.plan.get("table"):
        return None
    cell = rows.cell(space, encoding)
    taken = run.architectures[0]["epoch"]
    own = {step.genotype: step.inherited for step in steps if step.epoch == taken}
    return replace(
        last,
        genotype=encoding,
        inherited=own.get(encoding),  # measured of the genotypes of epochs only
        skips=sum(choice[-1] == SKIP for choice in cell),
        parameter_free=sum(choice[-1] in space.parameter_free for choice in cell),
        table=table.get(encoding, {}),
    )


def _comparison(
    request: HttpRequest, runs: Sequence[Run], groups: Sequence[Group]
) -> dict[str, Any]:
    """Return charts, tables and links of a comparison."""
    space = benchmark.space_named(rows.space_name(runs[0]))
    loaded = benchmark.table_loaded(space.name)
    axis = _one_of(request, "x", AXES, "epoch")
    measure = _one_of(request, "measure", MEASURES, "table" if loaded else "inherited")
    dataset = _one_of(request, "dataset", benchmark.DATASETS, "cifar10")
    budget = cheapest(groups)
    value = value_of(measure, dataset)
    at_end = [summary(group, lambda member: member.last) for group in groups]
    return {
        "groups": [_with_columns(row) for row in at_end],
        "at_cost": [
            _with_columns(summary(group, lambda member: at_cost(member, budget or 0.0)))
            for group in groups
        ],
        "budget": budget,
        "figures": _charts(groups, at_end, axis, measure, value, space.operations),
        "differences": differences([group.spec for group in groups]),
        "columns": benchmark.DATASETS if loaded else {},
        "loaded": loaded,
        "measure_label": f"{MEASURES[measure][0]}: {MEASURES[measure][1]}"
        + (f", {benchmark.DATASETS[dataset]} test" if measure == "table" else ""),
        "together": request.GET.get("group", "seedless") == "seedless",
        "links": _links(request, axis, measure, loaded=loaded),
        "here": request.get_full_path(),
        "asked": ",".join(_asked(request)),
    }


def _with_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Put the table's values in the order of the page's columns."""
    nothing = spread([])
    row["by_column"] = [
        row["table"].get(name, {}).get(split, nothing)
        for name in benchmark.DATASETS
        for split in ("valid", "test")
    ]
    return row


def _charts(
    groups: Sequence[Group],
    at_end: Sequence[dict[str, Any]],
    axis: str,
    measure: str,
    value: Any,
    operations: Sequence[str],
) -> dict[str, Any]:
    title = AXES[axis][0]
    missing = (
        "The table does not hold the genotypes of these runs, or none is imported."
    )

    def bands(of: Any) -> list[tuple[str, Any]]:
        return [(group.label, band(group.members, axis, of)) for group in groups]

    results = [
        spread(value(member.last) for member in group.members if member.last)
        for group in groups
    ]
    return {
        "accuracy": figures.curves(
            bands(value),
            title,
            suffix=" %",
            empty=missing if measure == "table" else figures.NOTHING,
        ),
        "remaining": figures.curves(
            bands(lambda step: step.remaining), title, suffix=" %", from_zero=True
        ),
        "skips": figures.curves(
            bands(lambda step: float(step.skips)), title, named=False
        ),
        "parameter-free": figures.curves(
            bands(lambda step: float(step.parameter_free)), title, named=False
        ),
        "free-magnitude": figures.curves(
            bands(lambda step: step.free_magnitude), title, suffix=" %", named=False
        ),
        "cost": figures.cost_against_result(
            [
                (row["label"], row["cost"].mean, result.mean, row["n"])
                for row, result in zip(at_end, results, strict=True)
            ],
            AXES["cost"][0],
            MEASURES[measure][0],
        ),
        "operations": figures.operations_per_edge(
            [(group.label, operation_shares(group, operations)) for group in groups],
            operations,
        ),
    }


def _one_of(request: HttpRequest, name: str, choices: Any, default: str) -> str:
    given = request.GET.get(name, default)
    return given if given in choices else default


def _links(
    request: HttpRequest, axis: str, measure: str, *, loaded: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the switches of the page: addresses that differ in one parameter."""

    def link(name: str, value: str, label: str, *, current: bool) -> dict[str, Any]:
        query = request.GET.copy()
        query[name] = value
        return {
            "href": "?" + query.urlencode(safe=","),
            "label": label,
            "current": current,
        }

    return {
        "x": [
            link("x", name, label, current=name == axis)
            for name, (_, label) in AXES.items()
        ],
        "measure": [
            link("measure", name, label, current=name == measure)
            for name, (label, _) in MEASURES.items()
            if loaded or name != "table"
        ],
        "export": [
            link("format", "csv", "CSV", current=False),
            link("format", "json", "JSON", current=False),
        ],
    }


def _csv(groups: Sequence[Group]) -> HttpResponse:
    """One row a run, at its last epoch."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="comparison.csv"'
    writer = csv.writer(response)
    columns = [(d, split) for d in benchmark.DATASETS for split in ("valid", "test")]
    writer.writerow([*_CSV_COLUMNS, *(f"{name}_{split}" for name, split in columns)])
    for group in groups:
        for member in group.members:
            step = member.last
            values: list[Any] = [
                _safe(group.label),
                member.uuid,
                member.seed,
                member.state,
            ]
            if step is not None:
                values += [step.epoch, step.cost, step.cost_share, step.seconds]
                values += [step.supernet, step.inherited, step.remaining, step.skips]
                values += [step.parameter_free, step.genotype]
                values += [step.table.get(d, {}).get(split) for d, split in columns]
            writer.writerow(values)
    return response


def _safe(text: str) -> str:
    """Keep a spreadsheet from reading a name as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _json(groups: Sequence[Group]) -> JsonResponse:
    """Everything: summaries, specs, and every epoch of every run."""
    budget = cheapest(groups)
    content = {
        "equal_cost_units": budget,
        "groups": [
            {
                "spec": group.spec,
                "last": _plain(summary(group, lambda member: member.last)),
                "at_equal_cost": _plain(
                    summary(group, lambda member: at_cost(member, budget or 0.0))
                ),
                "runs": [asdict(member) for member in group.members],
            }
            for group in groups
        ],
    }
    response = JsonResponse(content)
    response["Content-Disposition"] = 'attachment; filename="comparison.json"'
    return response


def _plain(value: Any) -> Any:
    """Turn the Spreads of a summary into dictionaries."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


app_name = "compare"
urlpatterns = [path("", index, name="index")]
