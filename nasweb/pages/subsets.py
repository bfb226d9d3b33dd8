"""Subsets: the list, one of them, and the making of one from the launch form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from nasweb import access, spec_form
from nasweb.figures import samples, scores
from nasweb.work import work
from searchjobs import subsets
from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeds import parse_seeds
from searchjobs.engine.spec import PARTS, SearchSpec
from searchjobs.engine.validation import validate
from searchjobs.models import Experiment, Job, Subset
from searchjobs.permissions import can_act, can_launch, visible

app_name = "subsets"

#: Subsets that the list shows.
MOST = 200
#: Experiments that the page of one lists.
MOST_EXPERIMENTS = 50


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The subsets of the present team."""
    team = access.current_team(request)
    found = (
        visible(Subset, request.user)
        .filter(job__team=team)
        .select_related("job", "job__author")
        .defer(*(f"job__{name}" for name in Job.LONG))[:MOST]
    )
    context = {
        "rows": [{"subset": each, **_told(each)} for each in found],
        "may_launch": team is not None and can_launch(request.user, team),
    }
    return render(request, "subsets/list.html", context)


@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One subset: how it came about, what it holds, who uses it."""
    subset = _subset_or_404(request, uuid)
    return render(request, "subsets/detail.html", _context(request, subset))


@require_safe
def status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The state of the job, drawn anew; once it is over, the page loads again."""
    subset = _subset_or_404(request, uuid)
    now = work(subset.job, may_act=can_act(request.user, subset.job))
    response = render(request, "subsets/_status.html", {"work": now, "subset": subset})
    if now.is_over:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """Make a subset of what the launch form says; back to the form if it cannot be."""
    from nasweb.pages.launch import refused

    team = access.current_team(request)
    if team is None or not can_launch(request.user, team):
        raise PermissionDenied("You may not make subsets for this team.")
    values = spec_form.from_browser(request.POST)
    try:
        name, spec = _asked(values, request.POST)
        subset = subsets.launch_subset(request.user, team, name, spec)
    except SpecError as error:
        return refused(request, team, error.problems)
    messages.success(request, "The samples are being chosen.")
    return redirect("subsets:detail", subset.uuid)


def _asked(values: spec_form.Values, post: Any) -> tuple[str, dict[str, Any]]:
    """Return name and spec of what a browser sent.  Raises SpecError."""
    try:
        return _name(values), _spec(values, post)
    except (KeyError, ValidationError):
        # of a part or a setting that the form does not offer: in sentences
        validate(spec_form.to_data(values), check_data=False)
        raise


def _spec(values: spec_form.Values, post: Any) -> dict[str, Any]:
    """Return the part of the form that decides which samples are chosen."""
    data = spec_form.to_data(values)
    shared = ("dataset", "selection", "split", "augmentation", "compute")
    method = PARTS["method"].get(values["method.name"])
    options = method.Options.model_validate(data["method"])
    return {
        **{name: data[name] for name in shared},
        "whole": method.streams(options) != "split",
        "seed": parse_seeds(post.get("seeds", "") or "1")[0],
    }


def _name(values: spec_form.Values) -> str:
    selection = PARTS["selection"].get(values["selection.name"])
    dataset = PARTS["dataset"].get(values["dataset.name"])
    shares = "/".join(
        values.get(f"selection.{name}", "1") for name in ("keep_train", "keep_valid")
    )
    return f"{selection.label}, {shares} of {dataset.label}"[:120]


def _subset_or_404(request: HttpRequest, uuid: UUID) -> Subset:
    found = (
        visible(Subset, request.user)
        .select_related("job", "job__team", "job__author", "job__queue", "job__worker")
        .filter(uuid=uuid)
        .first()
    )
    if found is None:
        raise Http404("There is no such subset in your teams.")
    return found


def _context(request: HttpRequest, subset: Subset) -> dict[str, Any]:
    used = visible(Experiment, request.user).filter(subset=subset)
    return {
        "subset": subset,
        **_told(subset),
        "work": work(subset.job, may_act=can_act(request.user, subset.job)),
        "experiments": used.defer("spec").order_by("-created")[:MOST_EXPERIMENTS],
        "used": used.count(),
        "settings": _settings(subset.spec),
        "figures": _figures(subset.sets),
        "may_launch": can_launch(request.user, subset.job.team),
    }


def _told(subset: Subset) -> dict[str, Any]:
    """Return what of a subset is said in words: how it was chosen, from what."""
    spec = subset.spec
    labels = {
        section: PARTS[section].get(spec[section]["name"]).label
        for section in ("selection", "dataset")
    }
    return {**labels, "sets": subset.sets}


def _settings(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the settings that decided the choice, each with its label."""
    found = [
        (SearchSpec.title_of([section, name]) or name, spec_form.as_text(value))
        for section in ("selection", "dataset", "split")
        for name, value in spec[section].items()
        if name != "name" and value not in (None, "", [], ())
    ]
    return [*found, ("Seed", str(spec["seed"]))]


def _figures(sets: dict[str, Any]) -> dict[str, Any]:
    figures = {}
    for name, told in sets.items():
        event = told["event"]
        figures[f"scores-{name}"] = scores.histogram(name, event, waiting="")
        figures[f"classes-{name}"] = samples.class_counts(
            name, told["classes"], None, event, waiting=""
        )
    return figures


urlpatterns = [
    path("", index, name="list"),
    path("new/", new, name="new"),
    path("<uuid:uuid>/", detail, name="detail"),
    path("<uuid:uuid>/status/", status, name="status"),
]
