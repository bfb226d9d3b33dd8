"""The data sets of a team: the list, one of them, registering, uploading, removing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.cache import get_conditional_response
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from nasweb import access, spec_form
from nasweb.datasets import form as forms
from nasweb.datasets import samples as shots
from nasweb.explorer import sheet as sheets
from nasweb.figures.datasets import class_counts
from nasweb.spec_fields import Field
from nasweb.work import work
from searchjobs import datasets, uploads
from searchjobs.artefacts import StorageAwayError
from searchjobs.engine.data.source import Source, sources
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.selection.class_limit import balance
from searchjobs.engine.spec import SearchSpec
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import Dataset, Job, Team
from searchjobs.permissions import can_act, can_launch, visible

app_name = "datasets"

#: Data sets of the list, and experiments of the page of one.
MOST, MOST_USES = 200, 50
#: What a sheet shows never changes, but it is for the team alone.
FOREVER = "private, max-age=31536000, immutable"
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
                "source": _label(each),
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
    team = _team(request)
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
    _team(request)
    context = {"form": forms.form(request.POST.dict())}
    return render(request, "datasets/_fields.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """Show the form for a zip file; on POST unpack it, or show what is wrong."""
    team = _team(request)
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
    dataset = _dataset_or_404(request, uuid)
    uses = datasets.uses(dataset)
    experiments = uses.experiments.select_related("author").defer("notes")
    context = {
        "dataset": dataset,
        "source": _label(dataset),
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
    dataset = _dataset_or_404(request, uuid)
    context = {"dataset": dataset, "work": _work(request, dataset)}
    response = render(request, "datasets/_status.html", context)
    if context["work"] is None or context["work"].is_over:
        response["HX-Refresh"] = "true"
    return response


@require_safe
def sheet(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The samples of a page in one picture, kept by the browser for good."""
    dataset = _dataset_or_404(request, uuid)
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
    etag = sheets.etag(version, ids.tolist())
    answer = get_conditional_response(request, etag=etag)
    if answer is None:
        content = sheets.sheet(samples.pixels[ids])
        answer = HttpResponse(content, content_type="image/png")
    answer["ETag"] = etag
    answer["Cache-Control"] = FOREVER
    return answer


@require_POST
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change name and licence."""
    dataset = _dataset_or_404(request, uuid)
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
    dataset = _dataset_or_404(request, uuid)
    try:
        datasets.check(request.user, dataset)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "Its images are being read again.")
    return redirect("datasets:detail", uuid)


@require_POST
def remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Remove a data set that nothing uses, and the files of an upload."""
    dataset = _dataset_or_404(request, uuid)
    try:
        datasets.remove(request.user, dataset)
    except NotAllowedError as refusal:
        messages.error(request, str(refusal))
        return redirect("datasets:detail", uuid)
    messages.success(request, f"{dataset.name} is removed.")
    return redirect("datasets:list")


def _team(request: HttpRequest) -> Team:
    team = access.current_team(request)
    if team is None or not can_launch(request.user, team):
        raise PermissionDenied(
            "You may not register data sets for this team. Ask one of its maintainers "
            "to make you a member."
        )
    return team


def _dataset_or_404(request: HttpRequest, uuid: UUID) -> Dataset:
    found = (
        visible(Dataset, request.user)
        .select_related("team", "author", "check_job__queue", "check_job__worker")
        .filter(uuid=uuid)
        .first()
    )
    if found is None:
        raise Http404("There is no such data set in your teams.")
    return found


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


def _source(dataset: Dataset) -> type[Source] | None:
    try:
        return sources.get(str(dataset.source.get("name")))
    except KeyError:  # of a package that is no longer installed
        return None


def _label(dataset: Dataset) -> str:
    source = _source(dataset)
    return source.label if source else str(dataset.source.get("name"))


def _settings(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the options that were given, each with its label; of the constants the
    page tells more."""
    return [
        (SearchSpec.title_of(["dataset", name]) or name, spec_form.as_text(value))
        for name, value in dataset.source.items()
        if name not in {"name", "normalise"} and value not in (None, "", [], False)
    ]


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
    published = getattr(_source(dataset), "published", None)
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
