"""The page of one run: its tabs, what one may do to it, and its epochs as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import yaml
from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
)
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from nasweb import access
from nasweb.figures.theme import operation_style, thin
from nasweb.live import epoch_number
from nasweb.pages import outlook, run_data
from nasweb.pages.run_tabs import render_plain_tab, render_tab
from nasweb.parts import label_of, part_of
from nasweb.runs import found as architectures
from nasweb.runs import points as rows
from nasweb.runs import table_search
from nasweb.runs.charts import (
    at_the_end,
    charts,
    drawing,
    epoch_messages,
    method_charts,
)
from nasweb.runs.files import attachment, groups
from nasweb.runs.opening import opening
from nasweb.runs.setting import Setting, setting_of
from nasweb.runs.spec_view import sections
from nasweb.runs.status import status
from nasweb.runs.words import compact, per_cent
from searchjobs import benchmark, lifecycle, stored_specs
from searchjobs.artefacts import StorageAwayError
from searchjobs.models import Job, Run
from searchjobs.permissions import can_act, require_act
from searchjobs.restart import UNCONFIRMED
from searchjobs.restart import restart as start_again

MOST_EPOCHS = 200
"""Epochs that one answer of the polling fallback holds."""

_IN_HISTORY = (
    "epoch",
    "strengths",
    "cell",
    "cell_without_none",
    "genotype",
    "genotype_without_none",
    "connected",
    "parameters",
    "flops",
    "index",
)


@require_safe
def live(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What happens in the search now: tiles and charts that grow."""
    run = access.run_or_404(request, uuid)
    points, setting = rows.read(run), setting_of(run)
    if setting.plan.get("table"):
        return _table_search(request, run, setting, points)
    figures = charts(setting, points)
    of_method = method_charts(setting, points)
    opened = opening(run, points)
    context = {
        "figures": figures | of_method,
        "method_charts": [{"name": n, **f["card"]} for n, f in of_method.items()],
        "history": _history(setting, points, opened.point),
        "opened": opened,
        "selection_note": _selection_note(run),
        **_found_context(run, setting, points),
    }
    return render_tab(
        request, run, setting, points[-1] if points else None, "detail", context
    )


@require_safe
def found(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The architectures so far and the chart that marks them: asked for when a rule
    has spoken."""
    run = access.run_or_404(request, uuid)
    points, setting = rows.read(run), setting_of(run)
    context = {
        **_found_context(run, setting, points),
        "run": run,
        "setting": setting,
        "status": status(run),
        "may_act": can_act(request.user, run.job),
        "figure": charts(setting, points)["magnitudes"],
    }
    return render(request, "runs/_found.html", context)


def _found_context(
    run: Run, setting: Setting, points: list[rows.Point]
) -> dict[str, Any]:
    """Return what ``runs/_found.html`` shows."""
    return {
        "found": architectures.found(run, rows.suggestions(points)),
        "more": max(0, len(run.architectures) - architectures.MOST),
        "rules": run.job.spec.get("stopping"),
        "datasets": list(benchmark.DATASETS.values()),
    }


def _table_search(
    request: HttpRequest, run: Run, setting: Setting, points: list[rows.Point]
) -> HttpResponse:
    """The live tab of a search on a benchmark table."""
    last = points[-1] if points else None
    table = setting.plan["table"]
    of_method = method_charts(setting, points)
    context = {
        "figures": table_search.table_charts(setting, points) | of_method,
        "method_charts": [{"name": n, **f["card"]} for n, f in of_method.items()],
        "history": _history(setting, points),
        "table": table,
        "repeats_note": f"mean ± std over n = {table['repeats']:,} repeats; the search "
        f"sees {table['signal']}, a table look-up",
        "accuracies": table_search.accuracy_rows(last),
        "top": table_search.top_rows(rows.space_name(run), last),
        "datasets": list(benchmark.DATASETS.values()),
    }
    return render_tab(request, run, setting, last, "detail", context, "table_search")


@require_safe
def architecture(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The cell of the newest epoch, or of the result: graph, table values, edges."""
    run = access.run_or_404(request, uuid)
    points, setting = rows.read(run), setting_of(run)
    last = points[-1] if points else None
    figures = charts(setting, points)
    opened = opening(run, points)
    shown = opened.point
    context = {
        "figures": {name: figures[name] for name in ("margins", "table")},
        "history": _history(setting, [shown] if shown else []),
        "opened": opened,
        "edges": _edges(setting, shown) if shown else [],
        "values": _table_rows(setting, shown) if shown else [],
        "parameters": compact(shown["parameters"])
        if shown and shown["parameters"]
        else "",
        "flops": compact(shown["flops"]) if shown and shown["flops"] else "",
        "inherited": per_cent((shown or {}).get("inherited_accuracy")),
        "changes": _changes(points),
        **_found_context(run, setting, points),
    }
    return render_tab(request, run, setting, last, "architecture", context)


@require_safe
def log(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The last lines that the search wrote, and its attempts."""
    run = access.run_or_404(request, uuid)
    context = {"attempts": run.job.attempts.all()}
    return render_plain_tab(request, run, "log", context)


@require_safe
def files(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What the run has left in the shared storage, to be taken away."""
    run = access.run_or_404(request, uuid)
    return render_plain_tab(request, run, "files", {"groups": groups(run)})


@require_safe
def file(request: HttpRequest, uuid: UUID, name: str) -> HttpResponseBase:
    """Send one of these files."""
    run = access.run_or_404(request, uuid)
    row = run.job.artefacts.filter(name=name).first()
    if row is None:
        raise Http404("This run has no such file now.")
    try:
        return attachment(request, run, row)
    except StorageAwayError as error:
        messages.error(request, f"{error} Try again later, or tell an administrator.")
        return redirect("runs:files", uuid=uuid)


@require_safe
def spec(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The complete spec, as a table and as YAML."""
    run = access.run_or_404(request, uuid)
    complete = stored_specs.filled(run.job.spec)
    if request.GET.get("format") == "yaml":
        text = yaml.safe_dump(complete, sort_keys=False)
        response = HttpResponse(text, content_type="application/yaml")
        response["Content-Disposition"] = f'attachment; filename="run-{run.uuid}.yaml"'
        return response
    context = {
        "sections": sections(complete),
        "yaml": yaml.safe_dump(complete, sort_keys=False),
    }
    return render_plain_tab(request, run, "spec", context)


@require_safe
def environment(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Where and with what the search ran."""
    run = access.run_or_404(request, uuid)
    context = {"environment": sorted(run.job.environment.items())}
    return render_plain_tab(request, run, "environment", context)


@require_safe
def epochs(request: HttpRequest, uuid: UUID) -> JsonResponse:
    """The epochs after ``?after=`` and the state: the fallback of the stream."""
    run = access.run_or_404(request, uuid)
    state = status(run) | at_the_end(run)
    after = epoch_number(request.GET.get("after", ""))
    found = epoch_messages(run, after, MOST_EPOCHS)
    response = JsonResponse({"epochs": found, "state": state})
    response["Cache-Control"] = "no-store"
    return response


def _action(verb: Callable[[Any, Job], bool], done: str) -> Any:
    """Make the view of a verb: post, act, say what happened, go back to the run."""

    @require_POST
    def act(request: HttpRequest, uuid: UUID) -> HttpResponse:
        run = access.run_or_404(request, uuid)
        try:
            verb(request.user, run.job)
        except lifecycle.NotAllowedError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, done)
        return redirect("runs:detail", uuid=uuid)

    return act


cancel = _action(lifecycle.cancel, "The run is being cancelled; what it found stays.")
pause = _action(lifecycle.request_pause, "The run pauses at its next checkpoint.")
resume = _action(lifecycle.resume, "The run is in its queue again.")
requeue = _action(lifecycle.requeue, "The run gets another try from its checkpoint.")
again = _action(start_again, "The run starts again from the beginning.")


@require_POST
def restart(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Queue a run again from the start, once its person has said that they mean it."""
    if request.POST.get("confirm") == "yes":
        return again(request, uuid)  # type: ignore[no-any-return]
    run = access.run_or_404(request, uuid)
    require_act(request.user, run.job)
    messages.error(request, UNCONFIRMED)
    return redirect("runs:detail", uuid=uuid)


def _history(
    setting: Setting, points: list[rows.Point], opened: rows.Point | None = None
) -> list[dict[str, Any]]:
    """Return what the epoch slider shows of each epoch; that at which it opens is
    there however long the run."""
    kept = thin(points)
    if opened and opened["epoch"] not in {each["epoch"] for each in kept}:
        at = [each for each in points if each["epoch"] == opened["epoch"]]
        kept = sorted([*kept, *at], key=lambda each: int(each["epoch"]))
    return [
        {
            **{name: each[name] for name in _IN_HISTORY},
            **drawing(setting, each),
            "method": {
                name: each["method"][name]
                for name in ("stage", "importance")
                if each["method"].get(name)
            },
        }
        for each in kept
    ]


def _selection_note(run: Run) -> str:
    """Say in one line how samples are chosen."""
    name = run.job.spec["selection"]["name"]
    part = part_of("selection", name)
    note = part.summary.rstrip(".") if part else label_of("selection", name)
    if (run.plan or {}).get("lower_bound"):
        note += "; the plan is a lower bound: classes may keep more"
    return note


def _edges(setting: Setting, point: rows.Point) -> list[dict[str, Any]]:
    """Return, per edge, what it takes, how strongly, and what came second."""
    found = []
    margins, entropy = point["margins"] or {}, point["entropy"] or {}
    places: dict[str, int] = {}
    for table, row, operation in point["cell"]:
        place = places.setdefault(table, 0)
        places[table] += 1
        strengths = dict(
            zip(setting.operations, point["strengths"][table][place], strict=False)
        )
        order = sorted(strengths, key=lambda name: -strengths[name])
        second = next(name for name in order if name != operation)
        found.append(
            {
                "row": row,
                "operation": operation,
                "label": operation_style(operation).label,
                "strength": f"{strengths.get(operation, 0):.3f}",
                "second": operation_style(second).label,
                "second_strength": f"{strengths[second]:.3f}",
                "margin": _number(margins.get(table, []), place),
                "entropy": _number(entropy.get(table, []), place),
            }
        )
    return found


def _number(values: list[float], place: int) -> str:
    return f"{values[place]:.4f}" if place < len(values) else "–"


def _table_rows(setting: Setting, point: rows.Point) -> list[dict[str, Any]]:
    """Return the table's values of the genotype per data set."""
    return [
        {
            "label": benchmark.DATASETS[name],
            "optimum": setting.optimum.get(name),
            **values,
        }
        for name, values in (point["table"] or {}).items()
    ]


def _changes(points: list[rows.Point]) -> list[dict[str, Any]]:
    """Return the epochs at which the genotype became another one, newest first."""
    found: list[dict[str, Any]] = []
    previous = None
    for point in points:
        if point["genotype"] != previous:
            found.append(
                {
                    "epoch": point["epoch"],
                    "genotype": point["genotype"],
                    "skips": point["skips"],
                    "valid": per_cent(point["inherited_accuracy"]),
                    "table": (point["table"] or {}).get("cifar10"),
                }
            )
        previous = point["genotype"]
    return found[::-1][:100]


app_name = "runs"
urlpatterns = [
    path("<uuid:uuid>/", live, name="detail"),
    path("<uuid:uuid>/outlook/", outlook.part, name="outlook"),
    *run_data.urlpatterns,
    path("<uuid:uuid>/architecture/", architecture, name="architecture"),
    path("<uuid:uuid>/found/", found, name="found"),
    path("<uuid:uuid>/log/", log, name="log"),
    path("<uuid:uuid>/files/", files, name="files"),
    path("<uuid:uuid>/files/<path:name>", file, name="file"),
    path("<uuid:uuid>/spec/", spec, name="spec"),
    path("<uuid:uuid>/environment/", environment, name="environment"),
    path("<uuid:uuid>/epochs/", epochs, name="epochs"),
    path("<uuid:uuid>/cancel/", cancel, name="cancel"),
    path("<uuid:uuid>/pause/", pause, name="pause"),
    path("<uuid:uuid>/resume/", resume, name="resume"),
    path("<uuid:uuid>/requeue/", requeue, name="requeue"),
    path("<uuid:uuid>/restart/", restart, name="restart"),
]
