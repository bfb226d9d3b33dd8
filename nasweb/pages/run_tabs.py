"""The head that all tabs of a run share, and the tabs themselves."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from nasweb.datasets.named import Named, name_of
from nasweb.figures.theme import operation_style
from nasweb.pages import outlook
from nasweb.parts import label_of
from nasweb.runs import local_optimum
from nasweb.runs import points as rows
from nasweb.runs.charts import tiles_of
from nasweb.runs.setting import Setting, setting_of
from nasweb.runs.status import status
from searchjobs import benchmark
from searchjobs.models import Run
from searchjobs.permissions import can_act
from searchjobs.states import HELD, TERMINAL, State

TABS = {
    "detail": "Live",
    "data": "Data",
    "architecture": "Architecture",
    "log": "Log",
    "files": "Files",
    "spec": "Spec",
    "environment": "Environment",
}


def render_plain_tab(
    request: HttpRequest,
    run: Run,
    tab: str,
    context: dict[str, Any],
    template: str = "",
) -> HttpResponse:
    """Render a tab that shows no epochs; the tiles need the newest one only."""
    point = rows.newest(run)
    return render_tab(request, run, setting_of(run), point, tab, context, template)


def render_tab(
    request: HttpRequest,
    run: Run,
    setting: Setting,
    point: rows.Point | None,
    tab: str,
    context: dict[str, Any],
    template: str = "",
) -> HttpResponse:
    """Render a tab under the head that all tabs share; ``template`` if it is not that
    of its name."""
    state = status(run)
    context |= {
        "run": run,
        "status": state,
        "outlook": outlook.outlook(run),
        "tiles": tiles_of(run, setting, point),
        "alert": local_optimum.alert(run),
        "tabs": [
            {
                "href": reverse(f"runs:{name}", args=[run.uuid]),
                "label": label,
                "current": name == tab,
            }
            for name, label in TABS.items()
            if name != "data" or not setting.plan.get("table")  # nothing is trained
        ],
        "subtitle": _subtitle(run),
        "setting": setting,
        "table_dataset": benchmark.DATASETS[setting.dataset],
        "may_act": can_act(request.user, run.job),
        "ACTIVE": " ".join(sorted({*HELD, State.QUEUED, State.PAUSED})),
        "ENDED_EARLY": " ".join(sorted(TERMINAL - {State.SUCCEEDED})),
        "point": point,
        "page_data": {
            "stream": reverse("live:run", args=[run.uuid]),
            "epochs": reverse("runs:epochs", args=[run.uuid]),
            "after": point["epoch"] if point else 0,
            "terminal": state["terminal"],
            "waiting": state["waiting"],
            "found": state["found"],
            "chosen": state["chosen"],
            "operations": {
                name: vars(operation_style(name, place))
                for place, name in enumerate(setting.operations)
            },
            "columns": list(setting.operations),
            "word": "point" if setting.plan.get("table") else "epoch",
            "stage": (point or {}).get("method", {}).get("stage"),
        },
    }
    return render(request, f"runs/{template or tab}.html", context)


def _subtitle(run: Run) -> list[Named]:
    """Say what was searched, on what, with which samples."""
    given = run.job.spec
    method = Named(label_of("method", given["method"]["name"]))
    if table := (run.plan or {}).get("table"):
        return [
            method,
            Named(f"benchmark table, {benchmark.DATASETS[table['dataset']]}"),
            Named(f"{table['repeats']:,} repeats"),
            Named(f"{table['budget']:,.0f} simulated seconds each"),
            Named("nothing is trained"),
        ]
    parts = [
        method,
        Named(label_of("selection", given["selection"]["name"])),
        name_of(run.experiment.team_id, given["dataset"]),
    ]
    if sizes := (run.plan or {}).get("sizes", {}):
        held = " and ".join(f"{name} {n:,}" for name, n in sizes.items())
        parts.append(Named(f"{held} images"))
    return parts
