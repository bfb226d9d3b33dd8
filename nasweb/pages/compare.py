"""Any runs side by side: curves, tables, what differs between them, export."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, Q, Window
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from nasweb import access, analyses, controls, members, tables
from nasweb.comparison import (
    AXES,
    MEASURES,
    Group,
    Step,
    at_cost,
    band,
    cheapest,
    operation_shares,
    spread,
    summary,
    value_of,
)
from nasweb.comparison_tables import at_end, at_equal_cost, latex
from nasweb.figures import arrows, edges
from nasweb.figures import compare as figures
from nasweb.runs import points as rows
from nasweb.runs.spec_view import differences
from searchjobs import benchmark
from searchjobs.models import Run
from searchjobs.permissions import can_launch, visible

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
#: Columns that may be long, and that nothing here reads.
LONG = (
    *("job__log_tail", "job__environment", "job__progress"),
    *("structure", "repeats", "experiment__notes"),
)
#: What the choice of runs shows of one.
_OFFERED = (
    *("uuid", "seed", "epoch", "epochs", "inherited_accuracy"),
    *("job__state", "job__held", "experiment__name", "experiment__tags"),
)
#: What the axis of the curves makes of the axis of the costs.
_COSTS = {"epoch": "cost", "cost": "cost", "seconds": "seconds"}


@dataclass(frozen=True)
class Measure:
    """An accuracy: its name, the table's data set, how to read it, in words."""

    name: str
    dataset: str
    value: Callable[[Step], float | None]
    words: str

    @property
    def column(self) -> tuple[str, str]:
        """Data set and split of the table."""
        return self.dataset, "test"


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The comparison of ``?runs=uuid,uuid``, or the choice of runs without any."""
    ticked = request.GET.getlist("run")
    if ticked:  # the form's tick boxes become the stable address
        given = dict.fromkeys([*asked(request), *ticked])
        kept = {"x", "group", "measure", "dataset"}
        keep = {n: v for n, v in request.GET.items() if n in kept}
        query = urlencode({"runs": ",".join(given), **keep}, safe=",")
        return redirect(f"{reverse('compare:index')}?{query}")
    runs = chosen(request)
    export = {"csv": _csv, "json": _json, "tex": _tex}.get(
        request.GET.get("format", "")
    )
    if export is not None:
        return export(members.groups(runs, together=_together(request)))
    context = {**_choice(request, runs), "runs": runs, "most": MOST_RUNS}
    if runs:
        context |= _comparison(request, runs)
    return render(request, "compare/index.html", context)


def _together(request: HttpRequest) -> bool:
    """Say whether runs that differ by their seed alone are one group."""
    return request.GET.get("group", "seedless") == "seedless"


def asked(request: HttpRequest) -> list[str]:
    return [part for part in request.GET.get("runs", "").split(",") if part]


def chosen(request: HttpRequest) -> list[Run]:
    """Return the runs asked for, in that order; 404 if one is not the user's."""
    try:
        wanted = [UUID(part) for part in dict.fromkeys(asked(request))]
    except ValueError:
        raise Http404("A run's address in ?runs= is malformed.") from None
    if len(wanted) > MOST_RUNS:
        raise Http404(f"At most {MOST_RUNS} runs can be compared; leave some out.")
    found = {
        run.uuid: run
        for run in visible(Run, request.user)
        .filter(uuid__in=wanted)
        .select_related("job", "experiment__team", "architecture")
        .defer(*LONG)
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
        .only(*_OFFERED)
        .annotate(total=Window(Count("pk")))
        .order_by("-created", "seed")
    )
    if text:
        offered = offered.filter(
            Q(experiment__name__icontains=text) | Q(experiment__tags__contains=[text])
        )
    shown = list(offered[:MOST_OFFERED])
    return {
        "q": text,
        "offered": shown,
        "offered_total": shown[0].total if shown else 0,
        "offered_most": MOST_OFFERED,
    }


def _comparison(request: HttpRequest, runs: Sequence[Run]) -> dict[str, Any]:
    """Return charts, tables and links of a comparison."""
    space = benchmark.space_named(rows.space_name(runs[0]))
    read = benchmark.Tables()
    loaded = read.loaded(space.name)
    axis = one_of(request, "x", AXES, "epoch")
    measure = measure_of(request, runs[0].job.spec, loaded=loaded)
    together = _together(request)
    groups = members.groups(runs, together=together, tables=read, column=measure.column)
    budget = cheapest(groups)
    return {
        "groups": groups,
        "at_end": at_end(groups, loaded=loaded),
        "at_cost": at_equal_cost(groups, loaded=loaded),
        "budget": budget,
        "figures": _charts(groups, axis, measure, space.operations),
        **_claims(request, runs, read),
        "difference_table": difference_table(request, groups, measure),
        "differences": differences([group.spec for group in groups]),
        "loaded": loaded,
        "why_no_table": benchmark.why_no_table(space.name),
        "measure_label": measure.words,
        "forms": tables.FORMS,
        "table_query": _without(request, "format", "x"),
        "together": together,
        "links": _links(request, axis, measure, groups, loaded=loaded),
        "here": request.get_full_path(),
        "asked": ",".join(asked(request)),
    }


def _claims(
    request: HttpRequest, runs: Sequence[Run], read: benchmark.Tables
) -> dict[str, Any]:
    """Return the claims among the runs, and whether the user may add their controls."""
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    claims = controls.claims(experiments, read)
    teams = {claim.experiment.team for claim in claims}
    may = all(can_launch(request.user, team) for team in teams)
    return {"claims": claims, "can_launch": may}


def _charts(
    groups: Sequence[Group],
    axis: str,
    measure: Measure,
    operations: Sequence[str],
) -> dict[str, Any]:
    title, value = AXES[axis][0], measure.value
    missing = (
        "The table does not hold the genotypes of these runs, or none is imported."
    )

    def bands(of: Any) -> list[tuple[str, Any]]:
        return [(group.label, band(group.members, axis, of)) for group in groups]

    ends = [[m.last for m in group.members if m.last] for group in groups]
    markers = [
        arrows.Marker(
            group.label,
            spread(step.at(_COSTS[axis]) for step in steps),
            spread(map(value, steps)),
        )
        for group, steps in zip(groups, ends, strict=True)
    ]
    return {
        "accuracy": figures.curves(
            bands(value),
            title,
            suffix=" %",
            empty=missing if measure.name == "table" else figures.NOTHING,
        ),
        "remaining": figures.curves(
            bands(lambda step: step.remaining),
            title,
            suffix=" %",
            from_zero=True,
            named=False,
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
        "cost": arrows.cost_against_result(
            markers,
            analyses.arrows(groups),
            AXES[_COSTS[axis]][0],
            measure.words,
        ),
        "operations": edges.pies(edge_shares(groups, operations), operations),
    }


def edge_shares(groups: Sequence[Group], operations: Sequence[str]) -> edges.Shares:
    """Return label, n and operations per edge of each group, as the figures want it."""
    return [
        (
            group.label,
            sum(bool(member.cell) for member in group.members),
            operation_shares(group, operations),
        )
        for group in groups
    ]


def measure_of(
    request: HttpRequest, spec: Mapping[str, Any], *, loaded: bool
) -> Measure:
    """Return the accuracy that the address asks for: by table of the data set that the
    first run's ``spec`` searches on, if nothing else is said."""
    name = one_of(request, "measure", MEASURES, "table" if loaded else "inherited")
    own = rows.table_column(spec) or "cifar10"
    dataset = one_of(request, "dataset", benchmark.DATASETS, own)
    words = f"{MEASURES[name][0]}: {MEASURES[name][1]}"
    if name == "table":
        words += f", {benchmark.DATASETS[dataset]} test"
    return Measure(name, dataset, value_of(name, dataset), words)


def difference_table(
    request: HttpRequest, groups: Sequence[Group], measure: Measure
) -> tables.Table | None:
    """Return the groups against one of them, None for a single group."""
    if len(groups) < 2:
        return None
    reference = analyses.reference_of(groups, request.GET.get("reference", ""))
    return analyses.differences(
        groups, reference, measure.value, measure.words, cheapest(groups)
    )


def one_of(request: HttpRequest, name: str, choices: Any, default: str) -> str:
    given = request.GET.get(name, default)
    return given if given in choices else default


def _without(request: HttpRequest, *names: str) -> str:
    """Return the query of the address without some parameters."""
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    return query.urlencode(safe=",")


def _links(
    request: HttpRequest,
    axis: str,
    measure: Measure,
    groups: Sequence[Group],
    *,
    loaded: bool,
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

    reference = analyses.reference_of(groups, request.GET.get("reference", ""))
    return {
        "x": [
            link("x", name, label, current=name == axis)
            for name, (_, label) in AXES.items()
        ],
        "measure": [
            link("measure", name, label, current=name == measure.name)
            for name, (label, _) in MEASURES.items()
            if loaded or name != "table"
        ],
        "dataset": [
            link("dataset", name, label, current=name == measure.dataset)
            for name, label in benchmark.DATASETS.items()
            if measure.name == "table"
        ],
        "reference": [
            link("reference", str(place), group.label, current=place == reference)
            for place, group in enumerate(groups)
        ],
        "export": [
            link("format", "csv", "CSV", current=False),
            link("format", "json", "JSON", current=False),
            link("format", "tex", "LaTeX", current=False),
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


def _tex(groups: Sequence[Group]) -> HttpResponse:
    """The page's tables."""
    return latex(groups, loaded=benchmark.table_loaded("nas-bench-201"))


def _plain(value: Any) -> Any:
    """Turn the Spreads of a summary into dictionaries."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


app_name = "compare"
urlpatterns = [path("", index, name="index")]
