"""Cells that are trained from scratch: the list, one training, and the form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe

from nasweb import access, training_form
from nasweb.comparison import spread
from nasweb.datasets.named import name_of, names
from nasweb.figures import training as curves
from nasweb.live import epoch_number
from nasweb.parts import settings_of
from nasweb.work import work
from searchjobs.engine.problems import SpecError
from searchjobs.engine.training_spec import TrainingSpec
from searchjobs.evaluations import launch_training
from searchjobs.models import Evaluation, Job
from searchjobs.permissions import can_act, require_launch, visible
from searchjobs.states import TERMINAL

app_name = "evaluations"

#: Trainings that the list shows.
MOST = 500
#: Sections of a spec of which the page of a training tells.
SECTIONS = ("training", "dataset", "augmentation")


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The trainings of the present team, seeds together."""
    team = access.current_team(request)
    found = (
        visible(Evaluation, request.user)
        .filter(job__team=team)
        .select_related("architecture", "job")
        .defer("curve", *(f"job__{name}" for name in Job.LONG))
        .order_by("-created", "seed")[:MOST]
    )
    groups: dict[tuple[int, str], list[Evaluation]] = {}
    for each in found:
        groups.setdefault((each.architecture_id, each.fingerprint), []).append(each)
    rows = [_group(members) for members in groups.values()]
    sections = [row["first"].spec["dataset"] for row in rows]
    for row, name in zip(rows, names(team, sections) if team else [], strict=True):
        row["dataset"] = name
    return render(request, "evaluations/list.html", {"rows": rows})


def _group(members: list[Evaluation]) -> dict[str, Any]:
    members = sorted(members, key=lambda row: (row.seed, row.pk))
    done: dict[int, float] = {}  # the same seed again is no other observation
    for row in members:
        if row.accuracy is not None:
            done.setdefault(row.seed, row.accuracy)
    return {
        "first": members[0],
        "split": next((row.get_split_display() for row in members if row.split), ""),
        "members": members,
        "accuracy": spread(done.values()) if done else None,
        "seeds": len({row.seed for row in members}),
    }


@require_safe
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One training: its curve as it goes on, its settings, its siblings."""
    evaluation = access.evaluation_or_404(request, uuid)
    siblings = (
        visible(Evaluation, request.user)
        .filter(
            architecture=evaluation.architecture,
            fingerprint=evaluation.fingerprint,
            job__team=evaluation.job.team,
        )
        .select_related("job")
        .defer("curve")
        .order_by("seed", "pk")
    )
    epochs, split = evaluation.epochs, evaluation.split
    context = {
        "evaluation": evaluation,
        **_group(list(siblings)),
        "dataset": name_of(evaluation.job.team_id, evaluation.spec["dataset"]),
        "split": curves.SPLITS[split] if split else "",
        "work": work(evaluation.job, may_act=can_act(request.user, evaluation.job)),
        "settings": settings_of(evaluation.spec, SECTIONS, TrainingSpec),
        "figures": {
            "accuracy": curves.accuracy(evaluation.curve, epochs, split),
            "loss": curves.loss(evaluation.curve, epochs, split),
        },
        "page_data": {
            "points": reverse("evaluations:points", args=[uuid]),
            "epoch": evaluation.epoch,
            "over": evaluation.job.state in TERMINAL,
        },
    }
    return render(request, "evaluations/detail.html", context)


@require_safe
def points(request: HttpRequest, uuid: UUID) -> JsonResponse:
    """The epochs after ``?after=``, and whether more will come."""
    evaluation = access.evaluation_or_404(request, uuid)
    after = epoch_number(request.GET.get("after", ""))
    news = [point for point in evaluation.curve if point["epoch"] > after]
    over = evaluation.job.state in TERMINAL
    response = JsonResponse({"points": news, "over": over})
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def status(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The state of the job, drawn anew; once it is over, the page loads again."""
    evaluation = access.evaluation_or_404(request, uuid)
    now = work(evaluation.job, may_act=can_act(request.user, evaluation.job))
    context = {"work": now, "evaluation": evaluation}
    response = render(request, "evaluations/_status.html", context)
    if now.is_over:
        response["HX-Refresh"] = "true"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Train an architecture of a run: the form, and what it starts."""
    run = access.run_or_404(request, uuid)
    team = run.experiment.team
    require_launch(request.user, team)
    given = request.POST if request.method == "POST" else request.GET
    architecture = given.get("architecture", "") or _result(run)
    draft = training_form.read(run, architecture, request.POST)
    if request.method == "POST" and "refresh" not in request.POST:
        try:
            made = _launch(request, draft)
        except SpecError as error:
            draft.problems = error.problems
        else:
            messages.success(request, f"{len(made)} trainings wait for a slot.")
            return redirect("evaluations:detail", made[0].uuid)
    fields = training_form.fields(draft, team)
    placed = {each.name for group in fields.values() for each in group}
    context = {
        "draft": draft,
        "run": run,
        "fields": fields,
        "unplaced": [
            problem.sentence
            for problem in draft.problems
            if problem.field.rpartition(".")[2] not in placed
        ],
    }
    return render(request, "evaluations/new.html", context)


def _launch(request: HttpRequest, draft: training_form.Draft) -> list[Evaluation]:
    """Start the trainings of every width, or none.  Raises SpecError."""
    team = draft.run.experiment.team
    made: list[Evaluation] = []
    with transaction.atomic():
        for channels in draft.channels:
            spec = draft.spec(team, channels)
            made += launch_training(
                request.user, team, spec, draft.seeds, run=draft.run
            )
    return made


def _result(run: Any) -> str:
    """Return the architecture that a run gave, the newest one while it goes on."""
    if run.architectures:
        return str(run.architectures[0]["architecture"])
    if run.architecture is None:
        raise Http404("This run has no architecture yet.")
    return str(run.architecture.encoding)


urlpatterns = [
    path("", index, name="list"),
    path("of-run/<uuid:uuid>/", new, name="new"),
    path("<uuid:uuid>/", detail, name="detail"),
    path("<uuid:uuid>/points/", points, name="points"),
    path("<uuid:uuid>/status/", status, name="status"),
]
