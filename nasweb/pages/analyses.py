"""What groups of runs say together, two searches side by side, and the tables as
files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from nasweb import access, analyses, members, tables
from nasweb.comparison import Group
from nasweb.figures import alpha, edges, pair, shares
from nasweb.pages.compare import (
    LONG,
    Measure,
    asked,
    chosen,
    difference_table,
    edge_shares,
    measure_of,
    one_of,
)
from nasweb.runs import points as rows
from nasweb.runs.setting import setting_of
from searchjobs import benchmark
from searchjobs.models import Run
from searchjobs.permissions import visible

#: How runs are put together: by what the edges are counted.
TOGETHER = {
    "group": "all but seed",
    "selection": "method and samples",
    "method": "method",
}
MOST_PIES = 12


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Edges, data shares and transfer of ``?runs=``; a choice of two of them."""
    runs = chosen(request)
    together = one_of(request, "by", TOGETHER, "group")
    context: dict[str, Any] = {"runs": runs, "asked": ",".join(asked(request))}
    if runs:
        space = benchmark.space_named(rows.space_name(runs[0]))
        read = benchmark.Tables()
        loaded = read.loaded(space.name)
        measure = measure_of(request, runs[0].job.spec, loaded=loaded)
        groups = members.groups(runs, tables=read, epochs=False)
        counted = analyses.merged(groups, together)
        context |= {
            "figures": _figures(groups, counted, measure, space.operations),
            "tables": [
                made
                for name in ("shares", "transfer", "best-cells", "edges")
                if (made := _TABLES[name](request, groups, measure)) and made.rows
            ],
            "loaded": loaded,
            "why_no_table": benchmark.why_no_table(space.name),
            "measure": measure,
            "forms": tables.FORMS,
            "query": request.GET.urlencode(safe=","),
            "links": _links(request, together),
            "counted": counted,
            "most_pies": MOST_PIES,
        }
    return render(request, "analyses/index.html", context)


def _figures(
    groups: Sequence[Group],
    counted: Sequence[Group],
    measure: Measure,
    operations: Sequence[str],
) -> dict[str, Any]:
    found = edge_shares(counted[:MOST_PIES], operations)
    points = analyses.share_points(groups, measure.value)
    return {
        "pies": edges.pies(found, operations),
        "bars": edges.bars(found, operations),
        "share-cost": shares.against_share(
            points, lambda point: point.cost, "cost units", from_zero=True
        ),
        "share-seconds": shares.against_share(
            points, lambda point: point.seconds, "seconds of search", from_zero=True
        ),
        "share-accuracy": shares.against_share(
            points, lambda point: point.value, "", suffix=" %"
        ),
    }


def _links(request: HttpRequest, together: str) -> list[dict[str, Any]]:
    links = []
    for name, label in TOGETHER.items():
        query = request.GET.copy()
        query["by"] = name
        href = "?" + query.urlencode(safe=",")
        links.append({"href": href, "label": label, "current": name == together})
    return links


@require_safe
def table(request: HttpRequest, name: str) -> HttpResponse:
    """One of the tables of ``?runs=`` as a file: ``?format=csv``, ``json``, ``tex``."""
    if name not in _TABLES:
        raise Http404("There is no such table.")
    runs = chosen(request)
    if not runs:
        raise Http404("Say which runs: ?runs=uuid,uuid")
    together = request.GET.get("group", "seedless") == "seedless"
    read = benchmark.Tables()
    loaded = read.loaded(rows.space_name(runs[0]))
    measure = measure_of(request, runs[0].job.spec, loaded=loaded)
    groups = members.groups(
        runs,
        together=together,
        tables=read,
        column=measure.column,
        epochs=name == "differences",
    )
    made = _TABLES[name](request, groups, measure)
    if made is None:
        raise Http404("One group alone has no differences; name runs of another one.")
    return tables.respond(made, one_of(request, "format", tables.FORMS, "csv"))


def _edges(
    request: HttpRequest, groups: Sequence[Group], measure: Measure
) -> tables.Table:
    together = one_of(request, "by", TOGETHER, "group")
    space = benchmark.space_named(rows.space_of(groups[0].spec))
    return analyses.edges(analyses.merged(groups, together), space.operations)


def _shares(
    request: HttpRequest, groups: Sequence[Group], measure: Measure
) -> tables.Table:
    points = analyses.share_points(groups, measure.value)
    return analyses.shares(points, measure.words)


def _transfer(
    request: HttpRequest, groups: Sequence[Group], measure: Measure
) -> tables.Table:
    return analyses.transfer(groups)


def _best_cells(
    request: HttpRequest, groups: Sequence[Group], measure: Measure
) -> tables.Table:
    return analyses.best_cells(groups)


#: By name: request, groups and measure -> the table, None where there is none.
_TABLES: Mapping[str, Callable[..., tables.Table | None]] = {
    "differences": difference_table,
    "edges": _edges,
    "shares": _shares,
    "transfer": _transfer,
    "best-cells": _best_cells,
}


@require_safe
def two(request: HttpRequest) -> HttpResponse:
    """Two runs, ``?a=`` and ``?b=``, as BDP shows DARTS and DARTS + BDP in Fig. 3 and
    4; ``seeds=all`` (the default) takes their siblings into the curves."""
    if not request.GET.keys() & {"a", "b"}:
        return render(request, "analyses/pair.html", {})
    pair_of_runs = [_run(request, name) for name in ("a", "b")]
    seeds = one_of(request, "seeds", ("all", "one"), "all")
    read = benchmark.Tables()
    loaded = read.loaded(rows.space_name(pair_of_runs[0]))
    measure = measure_of(request, pair_of_runs[0].job.spec, loaded=loaded)
    siblings, together = _siblings(request, pair_of_runs, alone=seeds == "one")
    groups = members.groups(
        siblings, together=together, tables=read, column=measure.column
    )
    logarithmic = request.GET.get("scale") == "log"
    figures = {
        "accuracy": pair.accuracy(
            groups,
            measure.value,
            empty="The table does not hold the genotypes of these runs.",
        ),
        "remaining": pair.remaining(groups, logarithmic=logarithmic),
        "eigenvalue": pair.eigenvalue(groups),
    }
    maps, sides = _sides(pair_of_runs)
    context = {
        "figures": figures | maps,
        "sides": sides,
        "measure": measure,
        "switches": _switches(request, seeds, logarithmic=logarithmic),
        "runs": ",".join(str(run.uuid) for run in pair_of_runs),
        "groups": groups,
    }
    return render(request, "analyses/pair.html", context)


def _sides(runs: Sequence[Run]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the architecture parameters of both runs as maps, and what stands with
    them."""
    maps: dict[str, Any] = {}
    sides = []
    for side, run in zip(("alpha-a", "alpha-b"), runs, strict=True):
        setting, point = setting_of(run), rows.newest(run)
        maps[side] = alpha.heatmap(
            point, setting.edges, setting.operations, waiting=setting.waiting
        )
        sides.append({"name": side, "run": run, "strengths": setting})
    return maps, sides


def _run(request: HttpRequest, name: str) -> Run:
    try:
        uuid = UUID(request.GET.get(name, ""))
    except ValueError:
        raise Http404(f"Name two runs: ?a= and ?b=; {name} is missing.") from None
    return access.run_or_404(request, uuid)


def _siblings(
    request: HttpRequest, runs: Sequence[Run], *, alone: bool
) -> tuple[list[Run], bool]:
    """Return the runs of the curves, and whether they go together by all but the seed:
    the two runs alone, or with their siblings."""
    first, second = runs
    if alone or first.experiment_id == second.experiment_id:
        return list(runs), False
    siblings = (
        visible(Run, request.user)
        .filter(experiment__in=[run.experiment_id for run in runs])
        .select_related("job", "experiment", "architecture")
        .defer(*LONG)
        .order_by("seed")
    )
    own = {run.experiment_id: place for place, run in enumerate(runs)}
    return sorted(siblings, key=lambda run: own[run.experiment_id]), True


def _switches(
    request: HttpRequest, seeds: str, *, logarithmic: bool
) -> list[list[dict[str, Any]]]:
    def link(name: str, value: str, label: str, *, current: bool) -> dict[str, Any]:
        query = request.GET.copy()
        query[name] = value
        href = f"{reverse('analyses:pair')}?{query.urlencode()}"
        return {"href": href, "label": label, "current": current}

    return [
        [
            link("seeds", "all", "all seeds", current=seeds == "all"),
            link("seeds", "one", "these two runs", current=seeds == "one"),
        ],
        [
            link("scale", "linear", "linear", current=not logarithmic),
            link("scale", "log", "logarithmic samples", current=logarithmic),
        ],
    ]


app_name = "analyses"
urlpatterns = [
    path("", index, name="index"),
    path("pair/", two, name="pair"),
    path("tables/<slug:name>/", table, name="table"),
]
