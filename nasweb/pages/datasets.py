"""The data sets of a team: the list, one of them, registering, uploading, removing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from nasweb import access
from nasweb.datasets import form as forms
from nasweb.datasets import samples as shots
from nasweb.figures.datasets import class_counts
from nasweb.pages import sheets
from nasweb.parts import label_of, part_of, settings_of
from nasweb.spec_fields import Field
from nasweb.work import work
from searchjobs import datasets, uploads
from searchjobs.artefacts import StorageAwayError
from searchjobs.engine.data.source import sources
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.selection.class_limit import balance
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import Dataset, Job, Team
from searchjobs.permissions import can_act, can_launch, visible

app_name = "datasets"

#: Data sets of the list, and experiments of the page of one.
MOST, MOST_USES = 200, 50
#: What one may not do who may not launch for the team.
REGISTER = "register data sets"
CHANNELS = ("red", "green", "blue")


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The data sets of the present team, and what the site brings."""
    team = access.current_team(request)
    found = (
        visible(Dataset, request.user)
        .filter(team=team)
        .select_related("check_job", "author")
        .defer("unreadable", "classes", *(f"check_job__{name}" for name in Job.LONG))
    )
    context = {
        "rows": [
            {
                "dataset": each,
                "source": label_of("dataset", each.source.get("name")),
                "images": sum(each.class_counts),
            }
            for each in found[:MOST]
        ],
        "sources": [each for each in sources.all() if each.name != forms.UPLOADED],
        "may_launch": team is not None and can_launch(request.user, team),
        "team": team,
    }
    return render(request, "datasets/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form of a source; on POST register, or show what is wrong."""
    team = access.launching_team(request, REGISTER)
    given = request.POST.dict() if request.method == "POST" else request.GET.dict()
    problems: list[Problem] = []
    if request.method == "POST" and "refresh" not in request.POST:
        try:
            dataset = datasets.register(
                request.user,
                team,
                given.get("name", ""),
                forms.section(given),
                licence=given.get("licence", ""),
            )
        except SpecError as error:
            problems = error.problems
        else:
            messages.success(request, "It is registered; its images are being read.")
            return redirect("datasets:detail", dataset.uuid)
    context = {"form": forms.form(given, problems), "team": team}
    return render(request, "datasets/new.html", context)


@require_POST
def fields(request: HttpRequest) -> HttpResponse:
    """Draw the fields anew for another source; nothing is judged yet."""
    access.launching_team(request, REGISTER)
    context = {"form": forms.form(request.POST.dict())}
    return render(request, "datasets/_fields.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """Show the form for a zip file; on POST unpack it, or show what is wrong."""
    team = access.launching_team(request, REGISTER)
    given, problems = request.POST.dict(), list[Problem]()
    if request.method == "POST":
        try:
            dataset = _uploaded(request, team)
        except SpecError as error:
            problems = error.problems
        else:
            messages.success(
                request, "The images are here; each of them is being read."
            )
            return redirect("datasets:detail", dataset.uuid)
    about = forms.about(given, problems)
    size = given.get("image_size", "32")
    context = {
        "about": about,
        "file_errors": _at(problems, "file"),
        "size": _size_field(size, _at(problems, "dataset.image_size")),
        "problems": _elsewhere(problems, {"name", "file", "dataset.image_size"}),
        "limits": uploads.limits(),
        "most_mb": settings.NASWEB_UPLOAD_MB,
        "quota_mb": settings.NASWEB_TEAM_UPLOADS_MB,
        "used": uploads.used(team),
        "team": team,
    }
    return render(request, "datasets/upload.html", context)


@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One data set: what is in it, what is broken, who uses it."""
    dataset = access.dataset_or_404(request, uuid)
    uses = datasets.uses(dataset)
    experiments = uses.experiments.select_related("author").defer("notes")
    context = {
        "dataset": dataset,
        "source": label_of("dataset", dataset.source.get("name")),
        "settings": _settings(dataset),
        "images": sum(dataset.class_counts),
        "balance": _balance(dataset),
        "constants": _constants(dataset),
        "constants_are": _origin(dataset),
        "figures": {
            "classes": class_counts(dataset.classes, dataset.class_counts),
        },
        "work": _work(request, dataset),
        "experiments": experiments[:MOST_USES],
        "uses": {
            "experiments": uses.experiments.count(),
            "subsets": uses.subsets.count(),
            "evaluations": uses.evaluations.count(),
        },
        "may_launch": can_launch(request.user, dataset.team),
        "may_act": can_act(request.user, dataset),
        **_gallery(request, dataset),
    }
    return render(request, "datasets/detail.html", context)


@require_safe
def status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The state of the check, drawn anew; once it is over, the page loads again."""
    dataset = access.dataset_or_404(request, uuid)
    context = {"dataset": dataset, "work": _work(request, dataset)}
    response = render(request, "datasets/_status.html", context)
    if context["work"] is None or context["work"].is_over:
        response["HX-Refresh"] = "true"
    return response


@require_safe
def sheet(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The samples of a page in one picture, kept by the browser for good."""
    dataset = access.dataset_or_404(request, uuid)
    try:
        found = shots.samples_of(dataset)
    except StorageAwayError as error:
        return HttpResponse(str(error), status=503, content_type="text/plain")
    if found is None:
        raise Http404("No check has left samples of this data set yet.")
    samples, version = found
    ids = shots.chosen(samples, _class_asked(request, dataset), _page_asked(request))
    if not len(ids):
        raise Http404("There is no such page of samples.")
    return sheets.answer(request, version, ids.tolist(), lambda: samples.pixels[ids])


@require_POST
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change name and licence."""
    dataset = access.dataset_or_404(request, uuid)
    name, licence = request.POST.get("name", ""), request.POST.get("licence", "")
    try:
        datasets.edit(request.user, dataset, name=name, licence=licence)
    except SpecError as error:
        messages.error(request, error.problems[0].sentence)
    else:
        messages.success(request, "Saved.")
    return redirect("datasets:detail", uuid)


@require_POST
def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Read all images anew."""
    dataset = access.dataset_or_404(request, uuid)
    done = "Its images are being read again."
    return _act(request, dataset, datasets.check, done, ("datasets:detail", uuid))


@require_POST
def remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Remove a data set that nothing uses, and the files of an upload."""
    dataset = access.dataset_or_404(request, uuid)
    done = f"{dataset.name} is removed."
    return _act(request, dataset, datasets.remove, done, ("datasets:list",))


def _act(
    request: HttpRequest,
    dataset: Dataset,
    do: Callable[[Any, Dataset], object],
    done: str,
    then: tuple[Any, ...],
) -> HttpResponse:
    """Act, say what happened and go on to a page; back to its own after a refusal."""
    try:
        do(request.user, dataset)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
        return redirect("datasets:detail", dataset.uuid)
    messages.success(request, done)
    return redirect(*then)


def _uploaded(request: HttpRequest, team: Team) -> Dataset:
    file = request.FILES.get("file")
    most = settings.NASWEB_UPLOAD_MB
    sentence = ""
    if file is None:
        sentence = "Choose the zip file that holds the images."
    elif (file.size or 0) > most * uploads.MB:
        sentence = (
            f"The file has {(file.size or 0) / uploads.MB:,.0f} MB, and {most:,} MB "
            "are allowed; send fewer images, or put the folder on the server and "
            "register it there."
        )
    if sentence:
        others = datasets.name_problems(team, request.POST.get("name", ""))
        raise SpecError([*others, Problem("file", sentence)])
    return datasets.register_upload(
        request.user,
        team,
        request.POST.get("name", ""),
        file,
        image_size=request.POST.get("image_size", "").strip(),
        licence=request.POST.get("licence", ""),
    )


def _size_field(value: str, errors: tuple[str, ...]) -> Field:
    info = sources.get(forms.UPLOADED).Options.model_fields["image_size"]
    return Field(
        name="image_size",
        label=info.title or "",
        kind="number",
        value=value,
        help=info.description or "",
        unit="pixels",
        errors=errors,
    )


def _at(problems: list[Problem], field: str) -> tuple[str, ...]:
    return tuple(each.sentence for each in problems if each.field == field)


def _elsewhere(problems: list[Problem], placed: set[str]) -> tuple[str, ...]:
    return tuple(each.sentence for each in problems if each.field not in placed)


def _settings(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the options that were given, each with its label; of the constants the
    page tells more."""
    given = {
        name: value
        for name, value in dataset.source.items()
        if name != "normalise" and value is not False
    }
    return settings_of({"dataset": given}, ("dataset",))


def _balance(dataset: Dataset) -> float | None:
    """Return b of BDP Eq. 5 of the whole set."""
    import torch

    counts = dataset.class_counts
    return float(balance(torch.tensor(counts))) if counts else None


def _constants(dataset: Dataset) -> list[dict[str, Any]]:
    """Return mean and deviation of each channel, in both units."""
    return [
        {"channel": channel, "mean": mean, "std": std}
        for channel, mean, std in zip(CHANNELS, dataset.mean, dataset.std, strict=False)
    ]


def _origin(dataset: Dataset) -> str:
    """Say where the constants come from."""
    if dataset.source.get("normalise") == "given":
        return "given by whoever registered it"
    source = part_of("dataset", dataset.source.get("name"))
    published = getattr(source, "published", None)
    if published is not None and list(published.mean) == list(dataset.mean):
        return "published with the data set"
    return "measured on these images"


def _work(request: HttpRequest, dataset: Dataset) -> Any:
    job = dataset.check_job
    if job is None:
        return None
    return work(job, may_act=can_act(request.user, job))


def _gallery(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    """Return a page of samples, or why there is none."""
    try:
        found = shots.samples_of(dataset) if dataset.classes else None
    except StorageAwayError as error:
        return {"gallery": None, "gallery_trouble": str(error)}
    if found is None:
        return {"gallery": None, "gallery_trouble": ""}
    label = _class_asked(request, dataset)
    page = shots.gallery(dataset, *found, label, _page_asked(request))
    return {"gallery": page, "label": label, "gallery_trouble": ""}


def _class_asked(request: HttpRequest, dataset: Dataset) -> int | None:
    text = request.GET.get("class", "")
    if not (text.isascii() and text.isdecimal()):
        return None
    number = int(text[:9])
    return number if number < len(dataset.classes) else None


def _page_asked(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    return int(text[:9]) if text.isascii() and text.isdecimal() else 1


urlpatterns = [
    path("", index, name="list"),
    path("new/", new, name="new"),
    path("new/fields/", fields, name="new-fields"),
    path("upload/", upload, name="upload"),
    path("<uuid:uuid>/", detail, name="detail"),
    path("<uuid:uuid>/status/", status, name="status"),
    path("<uuid:uuid>/samples.png", sheet, name="sheet"),
    path("<uuid:uuid>/edit/", edit, name="edit"),
    path("<uuid:uuid>/check/", check, name="check"),
    path("<uuid:uuid>/remove/", remove, name="remove"),
]
