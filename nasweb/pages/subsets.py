"""Subsets: the list, one of them, and the making of one from the launch form."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from nasweb import access, spec_form
from nasweb.datasets.named import Named, name_of, names
from nasweb.explorer import gallery as galleries
from nasweb.explorer.chosen import chosen, images_of
from nasweb.explorer.events import MissingArraysError
from nasweb.explorer.gallery import Asked
from nasweb.figures import samples, scores
from nasweb.pages import sheets
from nasweb.pages.galleries import Addresses, Kind, answer, context
from nasweb.parts import label_of, settings_of
from nasweb.work import work
from searchjobs import placing, subsets
from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeds import parse_seeds
from searchjobs.engine.spec import PARTS
from searchjobs.engine.validation import validate
from searchjobs.models import Experiment, Job, Subset, Team
from searchjobs.permissions import can_act, can_launch, visible

app_name = "subsets"

NORMAL = str(int(Job.Priority.NORMAL))
#: Subsets that the list shows.
MOST = 200
#: What the gallery of one may show: what was left out, and what stays.
SHOWS = ("pruned", "kept")
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
    rows = list(found) if team is not None else []
    datasets = names(team, [each.spec["dataset"] for each in rows]) if team else []
    shown = {
        "rows": [
            {"subset": each, **_told(each, dataset)}
            for each, dataset in zip(rows, datasets, strict=True)
        ],
        "may_launch": team is not None and can_launch(request.user, team),
    }
    return render(request, "subsets/list.html", shown)


@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One subset: how it came about, what it holds, who uses it."""
    subset = access.subset_or_404(request, uuid)
    return render(request, "subsets/detail.html", _context(request, subset))


@require_safe
def status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The state of the job, drawn anew; once it is over, the page loads again."""
    subset = access.subset_or_404(request, uuid)
    now = work(subset.job, may_act=can_act(request.user, subset.job))
    response = render(request, "subsets/_status.html", {"work": now, "subset": subset})
    if now.is_over:
        response["HX-Refresh"] = "true"
    return response


@require_safe
def gallery(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The gallery alone: another page, class or kind, or once images are read."""
    subset = access.subset_or_404(request, uuid)
    shown = _gallery(subset, galleries.asked(request.GET))
    if not shown:
        raise Http404("This subset has not chosen its samples yet.")
    return answer(request, shown)


@require_safe
def sheet(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The images of ``?ids=`` in one picture, kept by the browser for good."""
    subset = access.subset_or_404(request, uuid)
    return sheets.asked_for(request, partial(images_of, subset))


@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """Make a subset of what the launch form says; back to the form if it cannot be."""
    from nasweb.pages.launch import refused

    team = access.launching_team(request, "make subsets")
    values = spec_form.from_browser(request.POST)
    try:
        name, spec = _asked(team, values, request.POST)
        queue, priority = placing.asked(
            request.POST.get("queue", ""), request.POST.get("priority", NORMAL)
        )
        subset = subsets.launch_subset(
            request.user, team, name, spec, queue=queue, priority=priority
        )
    except SpecError as error:
        return refused(request, team, error.problems)
    messages.success(request, "The samples are being chosen.")
    return redirect("subsets:detail", subset.uuid)


def _asked(
    team: Team, values: spec_form.Values, post: Any
) -> tuple[str, dict[str, Any]]:
    """Return name and spec of what a browser sent.  Raises SpecError."""
    try:
        spec = _spec(values, post)
        return _name(values, name_of(team, spec["dataset"]).label), spec
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


def _name(values: spec_form.Values, dataset: str) -> str:
    selection = PARTS["selection"].get(values["selection.name"])
    shares = "/".join(
        values.get(f"selection.{name}", "1") for name in ("keep_train", "keep_valid")
    )
    return f"{selection.label}, {shares} of {dataset}"[:120]


def _context(request: HttpRequest, subset: Subset) -> dict[str, Any]:
    used = visible(Experiment, request.user).filter(subset=subset)
    return {
        "subset": subset,
        **_told(subset, name_of(subset.job.team_id, subset.spec["dataset"])),
        **_gallery(subset, galleries.asked(request.GET)),
        "work": work(subset.job, may_act=can_act(request.user, subset.job)),
        "experiments": used.defer("spec").order_by("-created")[:MOST_EXPERIMENTS],
        "used": used.count(),
        "settings": [
            *settings_of(subset.spec, ("selection", "dataset", "split")),
            ("Seed", str(subset.spec["seed"])),
        ],
        "figures": _figures(subset.sets),
        "may_launch": can_launch(request.user, subset.job.team),
    }


def _told(subset: Subset, dataset: Named) -> dict[str, Any]:
    """Return what of a subset is said in words: how it was chosen, from what."""
    return {
        "selection": label_of("selection", subset.spec["selection"]["name"]),
        "dataset": dataset,
        "sets": subset.sets,
    }


def _gallery(subset: Subset, asked: Asked) -> dict[str, Any]:
    """Return what ``runs/data/_gallery.html`` shows; nothing before the choice."""
    if not subset.sets:
        return {}
    name = asked.set if asked.set in subset.sets else next(iter(subset.sets))
    asked = replace(
        asked, set=name, show=asked.show if asked.show in SHOWS else SHOWS[0]
    )
    seen, listed, trouble = chosen(subset), None, ""
    try:
        listed = galleries.of_event(seen.step(name), asked.show)
    except MissingArraysError as error:
        trouble = str(error)
    kinds = []
    for each, told in subset.sets.items():
        gone = told["before"] - told["after"]
        kinds.append(Kind(each, "pruned", f"Left out of {each}", gone))
        kinds.append(Kind(each, "kept", f"Stay in {each}", told["after"]))
    at = Addresses(
        reverse("subsets:detail", args=[subset.uuid]),
        reverse("subsets:gallery", args=[subset.uuid]),
        reverse("subsets:sheet", args=[subset.uuid]),
    )
    return context(seen, asked, kinds, listed, seen.event(name), at, trouble)


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
    path("<uuid:uuid>/gallery/", gallery, name="gallery"),
    path("<uuid:uuid>/sheet.png", sheet, name="sheet"),
]
