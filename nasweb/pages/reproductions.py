"""The papers' tables beside ours: the list, one table, what is missing launched."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe

from nasweb import access, estimates
from nasweb.reproductions.export import FORMS, measure, respond
from nasweb.reproductions.values import Filled, fill
from searchjobs import benchmark, reproduce
from searchjobs.engine.problems import SpecError
from searchjobs.engine.scales import Scale, all_scales, scale_named
from searchjobs.engine.tables import (
    Paper,
    Table,
    all_papers,
    all_tables,
    table_named,
)
from searchjobs.models import Dataset, Team
from searchjobs.permissions import can_launch
from searchjobs.reproduce import Lacking

app_name = "reproductions"

FIRST_SCALE = "cpu-small"


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Papers and tables, with how far each is at the chosen scale."""
    team, scale = access.current_team(request), _scale(request)
    found: reproduce.Runs = {}
    if team is not None:
        names = {name for _, table in all_tables() for name in table.recipes}
        found = reproduce.runs_of(team, sorted(names), scale)
    papers = [
        {
            "paper": paper,
            "tables": [
                (table, reproduce.progress(table, scale, found))
                for table in paper.tables
            ],
        }
        for paper in all_papers()
    ]
    context = {"team": team, "papers": papers, **_scales(scale)}
    return render(request, "reproductions/index.html", context)


@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One table: printed values beside ours; ``?format=`` gives it as a file."""
    paper, table = _table(name)
    team, scale = _team(request), _scale(request)
    filled = fill(team, table, scale)
    form = request.GET.get("format", "")
    if form in FORMS:
        return respond(paper, filled, form)
    counted = reproduce.progress(table, scale, filled.found)
    context = {
        "team": team,
        "paper": paper,
        "table": table,
        "filled": filled,
        "measure": measure(filled),
        "groups": _groups(filled),
        "heads": _heads(table),
        "progress": counted,
        "lacks": counted.missing + counted.failed,
        "loaded": benchmark.table_loaded("nas-bench-201"),
        "can_launch": can_launch(request.user, team),
        "forms": FORMS,
        "controls": any(row.control for row in table.rows),
        **_scales(scale),
    }
    return render(request, "reproductions/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def launch(request: HttpRequest, name: str) -> HttpResponse:
    """Say what is missing of a table and what it will cost; on POST launch it."""
    paper, table = _table(name)
    team, scale = _team(request), _scale(request)
    if not can_launch(request.user, team):
        raise PermissionDenied(
            "You may not launch searches for this team. Ask one of its maintainers to "
            "make you a member."
        )
    offered = reproduce.stand_ins(team, table, scale)
    images = _images(request, offered)
    if request.method == "POST":
        return _launch(request, team, paper, table, scale, images)
    found = reproduce.runs_of(team, table.recipes, scale)
    missing = reproduce.lacking(table, scale, found, images)
    chosen = "images" in request.GET
    if offered and not chosen and not any(each.spec for each in missing):
        images = offered[0]  # the recipes' own images are not here
        missing = reproduce.lacking(table, scale, found, images)
    context = {
        "team": team,
        "paper": paper,
        "table": table,
        "images": images,
        "offered": offered,
        **_costs(request, missing),
        **_scales(scale),
    }
    return render(request, "reproductions/launch.html", context)


def _launch(
    request: HttpRequest,
    team: Team,
    paper: Paper,
    table: Table,
    scale: Scale,
    images: Dataset | None,
) -> HttpResponse:
    try:
        launched = reproduce.launch_lacking(
            request.user, team, paper, table, scale, images=images
        )
    except SpecError as error:
        found = " ".join(problem.sentence for problem in error.problems)
        messages.error(request, f"Nothing was launched. {found}")
        return redirect(_address("launch", table, scale))
    runs = sum(len(experiment.seeds) for experiment in launched)
    if runs:
        noun = "run is" if runs == 1 else "runs are"
        messages.success(request, f"{runs} {noun} queued.")
    else:
        messages.info(request, "Nothing is missing: every run is there or under way.")
    return redirect(_address("detail", table, scale))


def _costs(request: HttpRequest, missing: list[Lacking]) -> dict[str, Any]:
    """Return what would be launched, with planned units and expected seconds."""
    able = [each for each in missing if each.spec is not None]
    planned = [(each.spec, each.plan) for each in able if each.spec is not None]
    expected = estimates.seconds_of_each(request.user, planned)
    rows = [
        {
            "lacking": each,
            "seconds": estimate.seconds if estimate else None,
            "units": each.plan.cost_units * len(each.seeds),
        }
        for each, estimate in zip(able, expected, strict=True)
    ]
    trained = [row for row in rows if row["units"]]
    known = all(row["seconds"] is not None for row in trained) and bool(trained)
    return {
        "rows": rows,
        "blocked": _by_reason(missing),
        "runs": sum(len(each.seeds) for each in able),
        "again": sum(each.again for each in able),
        "units": sum(row["units"] for row in rows),
        "seconds": sum(row["seconds"] * len(row["lacking"].seeds) for row in trained)
        if known
        else None,
    }


def _by_reason(missing: list[Lacking]) -> list[tuple[str, list[str]]]:
    """Return each sentence that keeps recipes from running, with their labels."""
    found: dict[str, list[str]] = {}
    for each in missing:
        if each.spec is None:
            found.setdefault(each.why_not, []).append(each.label)
    return list(found.items())


def _images(request: HttpRequest, offered: list[Dataset]) -> Dataset | None:
    """Return the data set that the address or the form chooses; None: the recipe's."""
    given = request.POST if request.method == "POST" else request.GET
    wanted = given.get("images", "")
    if not wanted:
        return None
    for dataset in offered:
        if str(dataset.uuid) == wanted:
            return dataset
    raise Http404("There is no such data set in your team that fits this table.")


def _team(request: HttpRequest) -> Team:
    team = access.current_team(request)
    if team is None:
        raise PermissionDenied(
            "You are in no team yet, and runs belong to teams. Ask an administrator to "
            "add you to one."
        )
    return team


def _table(name: str) -> tuple[Paper, Table]:
    found = table_named(name)
    if found is None:
        raise Http404("There is no table of this name.")
    return found


def _scale(request: HttpRequest) -> Scale:
    given = request.POST if request.method == "POST" else request.GET
    scale = scale_named(given.get("scale", FIRST_SCALE))
    if scale is None:
        raise Http404("There is no scale of this name.")
    return scale


def _scales(scale: Scale) -> dict[str, Any]:
    return {"scale": scale, "scales": all_scales()}


def _address(view: str, table: Table, scale: Scale) -> str:
    address = reverse(f"reproductions:{view}", args=[table.name])
    return f"{address}?{urlencode({'scale': scale.name})}"


def _groups(filled: Filled) -> list[tuple[str, list[Any]]]:
    return [
        (title, list(members))
        for title, members in groupby(filled.lines, lambda line: line.row.group)
    ]


def _heads(table: Table) -> list[tuple[str, int]]:
    """Return the headings over the columns, and how many each spans."""
    return [
        (title, len(list(members)))
        for title, members in groupby(table.columns, lambda column: column.group)
    ]


urlpatterns = [
    path("", index, name="list"),
    path("<slug:name>/", detail, name="detail"),
    path("<slug:name>/launch/", launch, name="launch"),
]
