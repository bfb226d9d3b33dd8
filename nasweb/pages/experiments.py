"""Experiments: the list, one with its seeds side by side, edit, cancel all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from nasweb import access, controls, summaries, tables
from nasweb.pages import launch
from nasweb.pages.launch import read_tags
from nasweb.runs.found import across
from nasweb.runs.status import share_done
from searchjobs import benchmark, lifecycle
from searchjobs import launch as launching
from searchjobs.controls import launch_missing
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spec import SearchSpec
from searchjobs.models import Experiment, Run, Team
from searchjobs.permissions import can_act, can_launch, require_act
from searchjobs.states import HELD, TERMINAL, State

app_name = "experiments"

PAGE = 25
MOST_TAGS = 40


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The team's experiments; text, tag, state and page stand in the address."""
    team = access.current_team(request)
    wanted = {name: request.GET.get(name, "").strip() for name in ("q", "tag", "state")}
    found = _filtered(Experiment.objects.filter(team=team), wanted)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    experiments = [
        {"experiment": each, **_digest(each)}
        for each in page.object_list  # one query for these, one for all their runs
    ]
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "team": team,
        "page": page,
        "experiments": experiments,
        "wanted": wanted,
        "filtered": any(wanted.values()),
        "query": query.urlencode(),
        "states": State.choices,
        "tags": _tags_of(team),
        "can_launch": team is not None and can_launch(request.user, team),
    }
    return render(request, "experiments/list.html", context)


def _filtered(
    found: QuerySet[Experiment], wanted: dict[str, str]
) -> QuerySet[Experiment]:
    if wanted["q"]:
        text = wanted["q"]
        found = found.filter(Q(name__icontains=text) | Q(notes__icontains=text))
    if wanted["tag"]:
        found = found.filter(tags__contains=[wanted["tag"]])
    if wanted["state"] in State.values:
        found = found.filter(
            pk__in=Run.objects.filter(job__state=wanted["state"]).values("experiment")
        )
    runs = Run.objects.select_related("job", "architecture").order_by("seed")
    return (
        found.select_related("author")
        .prefetch_related(Prefetch("runs", queryset=runs))
        .order_by("-created", "-pk")
    )


def _digest(experiment: Experiment) -> dict[str, Any]:
    """What a list shows of an experiment: its states, how far it is, its cost."""
    runs = list(experiment.runs.all())
    counts = dict.fromkeys(State.values, 0)
    for run in runs:
        counts[run.job.state] += 1
    shares = [share_done(run) for run in runs]
    over = all(run.job.state in TERMINAL for run in runs)
    return {
        "n": len(runs),
        "states": [(state, count) for state, count in counts.items() if count],
        "share": sum(shares) / len(shares) if shares else 0.0,
        "over": over,
        "selection": experiment.spec.get("selection", {}).get("name", ""),
        "method": experiment.spec.get("method", {}).get("name", ""),
        "dataset": experiment.spec.get("dataset", {}).get("name", ""),
    }


def _tags_of(team: Team | None) -> list[str]:
    tagged = Experiment.objects.filter(team=team).exclude(tags=[])
    rows = tagged.values_list("tags", flat=True).order_by("-pk")[:500]
    return sorted({tag for tags in rows for tag in tags})[:MOST_TAGS]


@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One experiment, its seeds side by side."""
    experiment = access.experiment_or_404(request, uuid)
    claims = controls.claims([experiment])
    if (form := request.GET.get("controls", "")) in tables.FORMS and claims:
        return tables.respond(claims[0].table, form)
    context = {
        **_runs_context(experiment),
        "claims": claims,
        "forms": tables.FORMS,
        "spec_yaml": _spec_yaml(experiment),
        "can_act": can_act(request.user, experiment),
        "can_launch": can_launch(request.user, experiment.team),
    }
    return render(request, "experiments/detail.html", context)


@require_safe
def runs(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The table of seeds, asked for again while any of them is under way."""
    experiment = access.experiment_or_404(request, uuid)
    return render(request, "experiments/_runs.html", _runs_context(experiment))


def _runs_context(experiment: Experiment) -> dict[str, Any]:
    found = experiment.runs.select_related("job", "architecture").order_by("seed")
    rows = summaries.rows(found)
    space = experiment.spec.get("space", {}).get("name", "")
    return {
        "experiment": experiment,
        "rows": rows,
        "summary": summaries.summary(rows),
        "across": across(
            space, [row.run for row in rows if row.state == State.SUCCEEDED]
        ),
        "datasets": benchmark.DATASETS.values(),
        "table_loaded": benchmark.table_loaded(space),
        "why_no_table": benchmark.why_no_table(space),
        "live": any(not row.over for row in rows),
        "held": any(row.state in HELD for row in rows),
        "compare": ",".join(str(row.run.uuid) for row in rows),
    }


def _spec_yaml(experiment: Experiment) -> str:
    return SearchSpec.model_validate(experiment.spec).to_yaml()


@require_POST
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change name, tags and notes; the spec of an experiment never changes."""
    experiment = access.experiment_or_404(request, uuid)
    given = request.POST
    try:
        changed = launching.edit(
            request.user,
            experiment,
            name=given.get("name", ""),
            tags=read_tags(given.get("tags", "")),
            notes=given.get("notes", ""),
        )
    except SpecError as error:
        found = " ".join(problem.sentence for problem in error.problems)
        messages.error(request, f"Nothing was saved. {found}")
    else:
        if changed:
            messages.success(request, "Saved.")
    return redirect("experiments:detail", uuid)


@require_POST
def cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Cancel every run of the experiment that is not over."""
    experiment = access.experiment_or_404(request, uuid)
    require_act(request.user, experiment)
    cancelled = 0
    for run in experiment.runs.select_related("job__queue").exclude(
        job__state__in=TERMINAL
    ):
        try:
            lifecycle.cancel(request.user, run.job)
        except lifecycle.NotAllowedError:
            continue  # it ended while the button was on its way
        cancelled += 1
    if cancelled:
        noun = "run is" if cancelled == 1 else "runs are"
        messages.success(request, f"{cancelled} {noun} being cancelled.")
    else:
        messages.info(request, "Every run has ended already: nothing to cancel.")
    return redirect("experiments:detail", uuid)


@require_POST
def add_controls(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Launch the control runs that this experiment lacks."""
    experiment = access.experiment_or_404(request, uuid)
    try:
        made = launch_missing(request.user, experiment)
    except SpecError as error:
        found = " ".join(problem.sentence for problem in error.problems)
        messages.error(request, f"No control was launched. {found}")
    else:
        count = sum(len(each.seeds) for each in made)
        if made:
            noun = "run was" if count == 1 else "runs were"
            messages.success(request, f"{count} control {noun} launched.")
        else:
            messages.info(request, "Every control run is there already.")
    return redirect("experiments:detail", uuid)


urlpatterns = [
    path("", index, name="list"),
    path("new/", launch.new, name="new"),
    path("new/form/", launch.fields, name="new-form"),
    path("new/preview/", launch.preview, name="new-preview"),
    path("new/spec.yaml", launch.spec_yaml, name="new-yaml"),
    path("<uuid:uuid>/", detail, name="detail"),
    path("<uuid:uuid>/runs/", runs, name="runs"),
    path("<uuid:uuid>/edit/", edit, name="edit"),
    path("<uuid:uuid>/cancel/", cancel, name="cancel"),
    path("<uuid:uuid>/controls/", add_controls, name="controls"),
]
