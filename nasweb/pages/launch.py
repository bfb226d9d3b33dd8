"""Launch a search: the form, its parts that are drawn anew, and the preview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from nasweb import access, estimates, spec_fields, spec_form
from nasweb.plan_chart import chart
from nasweb.search_names import suggested_name
from nasweb.spec_fields import Field, Option
from nasweb.spec_form import Values
from searchjobs import belongings, placing, reproduce
from searchjobs import launch as launching
from searchjobs.benchmark import DATASETS
from searchjobs.datasets import searched_source
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.recipes import Recipe, all_recipes
from searchjobs.engine.seeds import parse_seeds
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.tables import find_recipe
from searchjobs.engine.validation import validate
from searchjobs.models import Dataset, Experiment, Job, Queue, Subset, Team
from searchjobs.permissions import can_hurry, visible
from searchjobs.states import State

#: Fields of the form that are no part of the spec.
ABOUT = ("name", "seeds", "queue", "priority", "tags", "notes")
#: Presets that stand beside the heading; the others are folded away.
FIRST_PRESETS = 5
#: Subsets that the form offers, the newest.
MOST_SUBSETS = 100


@dataclass
class Draft:
    """What stands in the form: the spec's values, and what is about them."""

    values: Values
    about: dict[str, str]
    unfolded: bool = False
    problems: list[Problem] = field(default_factory=list)
    spec: SearchSpec | None = None

    @property
    def seeds(self) -> list[int]:
        try:
            return parse_seeds(self.about["seeds"])
        except SpecError:
            return []


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form; on POST launch, or show it again with what is wrong."""
    team = _team(request)
    if request.method != "POST":
        return _page(request, team, _first_draft(request))
    draft = _read(request.POST)
    if "refresh" in request.POST or spec_form.REMOVE in request.POST:
        return _page(request, team, draft)
    if spec_form.choices_differ(request.POST):
        messages.warning(
            request,
            "A choice changed the settings that follow from it. Look at them, then "
            "launch.",
        )
        return _page(request, team, draft)
    _judge(request, draft, team)
    if draft.problems or draft.spec is None:
        return _page(request, team, draft)
    try:
        experiment = _launch(request, team, draft)
    except SpecError as error:
        draft.problems = error.problems
        return _page(request, team, draft)
    runs = list(experiment.runs.values_list("uuid", flat=True))
    if len(runs) == 1:
        return redirect("runs:detail", runs[0])
    return redirect("experiments:detail", experiment.uuid)


@require_POST
def fields(request: HttpRequest) -> HttpResponse:
    """Draw the fields anew after a choice; nothing is judged yet."""
    team = _team(request)
    context = _form_context(request, team, _read(request.POST))
    return render(request, "launch/_fields.html", context)


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """Draw what the search would do; wrong values say that it must wait."""
    team = _team(request)
    draft = _read(request.POST)
    context = {**_preview_context(request, team, draft), "with_label": True}
    return render(request, "launch/_preview.html", context)


@require_POST
def spec_yaml(request: HttpRequest) -> HttpResponse:
    """Give the spec as a file, complete, as the engine's command line reads it."""
    team = _team(request)
    draft = _read(request.POST)
    _judge(request, draft, team, check_data=False)
    if draft.spec is None:
        return _page(request, team, draft)
    seeds = draft.seeds
    spec = draft.spec.with_seed(seeds[0]) if seeds else draft.spec
    response = HttpResponse(spec.to_yaml(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = 'inline; filename="spec.yaml"'
    return response


def read_tags(text: str) -> list[str]:
    """Read words with commas between them, each once, in the order given."""
    return list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def _team(request: HttpRequest) -> Team:
    return access.launching_team(request, "launch searches")


def _first_draft(request: HttpRequest) -> Draft:
    """Start from an experiment, a preset, or the first preset."""
    if "from" in request.GET:
        try:
            experiment = visible(Experiment, request.user).get(uuid=request.GET["from"])
        except (Experiment.DoesNotExist, ValidationError):
            raise Http404("There is no such experiment in your teams.") from None
        cloned = launching.clone(request.user, experiment)
        spec = validate(cloned.spec, check_data=False)
        about = {
            "name": cloned.name,
            "seeds": ", ".join(str(seed) for seed in cloned.seeds),
            "tags": ", ".join(cloned.tags),
            "notes": cloned.notes,
        }
        return Draft(spec_form.from_spec(spec), _about(about))
    if "subset" in request.GET:
        spec = validate(_on_subset(request), check_data=False)
        return Draft(spec_form.from_spec(spec), _about({}))
    if "dataset" in request.GET:
        return _on_dataset(request)
    preset = _preset(request)
    spec = validate(preset.spec, check_data=False)
    seeds = ", ".join(str(seed) for seed in preset.seeds)
    return Draft(spec_form.from_spec(spec), _about({"seeds": seeds}))


def _on_subset(request: HttpRequest) -> dict[str, Any]:
    """Return the spec of a search on the subset that the address names."""
    try:
        subset = visible(Subset, request.user).get(uuid=request.GET["subset"])
    except (Subset.DoesNotExist, ValidationError):
        raise Http404("There is no such subset in your teams.") from None
    shared = {name: subset.spec[name] for name in ("dataset", "split", "augmentation")}
    return {**shared, "selection": {"name": "subset", "subset": str(subset.uuid)}}


def refused(
    request: HttpRequest, team: Team, problems: Sequence[Problem]
) -> HttpResponse:
    """Show the form that was sent again, with what keeps it from what was asked."""
    draft = _read(request.POST)
    draft.problems = list(problems)
    return _page(request, team, draft)


def _on_dataset(request: HttpRequest) -> Draft:
    """Start from the defaults, on a registered data set."""
    try:
        dataset = visible(Dataset, request.user).get(uuid=request.GET["dataset"])
    except (Dataset.DoesNotExist, ValidationError):
        raise Http404("There is no such data set in your teams.") from None
    spec = validate({"dataset": searched_source(dataset)}, check_data=False)
    return Draft(spec_form.from_spec(spec), _about({}))


def _preset(request: HttpRequest) -> Recipe:
    """Return the preset that the address names, the first one if it names none."""
    preset = find_recipe(request.GET.get("preset", all_recipes()[0].name))
    if preset is None:
        raise Http404("There is no preset of this name.")
    return preset


def by_group(presets: Iterable[Recipe]) -> dict[str, list[Recipe]]:
    """Return the presets under their headings, in the order given."""
    found: dict[str, list[Recipe]] = {}
    for preset in presets:
        found.setdefault(preset.group, []).append(preset)
    return found


def _about(given: Mapping[str, str]) -> dict[str, str]:
    start = {"seeds": "1", "priority": str(int(Job.Priority.NORMAL))}
    return {name: given.get(name, start.get(name, "")) for name in ABOUT}


def _read(post: Mapping[str, str]) -> Draft:
    unfolded = post.get("unfolded") == "1"
    about = {name: post.get(name, "") for name in ABOUT}
    return Draft(spec_form.from_browser(post), about, unfolded)


def _judge(
    request: HttpRequest, draft: Draft, team: Team, *, check_data: bool = True
) -> None:
    """Validate the spec and the seeds; keep every problem and the spec if sound."""
    draft.problems = []
    try:
        parse_seeds(draft.about["seeds"])
    except SpecError as error:
        draft.problems += error.problems
    try:
        data = spec_form.to_data(draft.values)
        belongings.require_own(request.user, team, data)
        draft.spec = validate(data, check_data=check_data)
    except SpecError as error:
        draft.problems += error.problems


def _launch(request: HttpRequest, team: Team, draft: Draft) -> Experiment:
    assert draft.spec is not None
    about = draft.about
    queue, priority = placing.asked(about["queue"], about["priority"])
    name, scale = reproduce.recipe_of(draft.spec)
    return launching.launch(
        request.user,
        team,
        about["name"].strip() or suggested_name(team, draft.values),
        draft.spec,
        draft.seeds,
        queue=queue,
        priority=priority,
        tags=read_tags(about["tags"]),
        notes=about["notes"].strip(),
        recipe=name,
        scale=scale,
    )


def _page(request: HttpRequest, team: Team, draft: Draft) -> HttpResponse:
    cloned = bool({"from", "subset"} & request.GET.keys())
    on_dataset = "dataset" in request.GET
    context = {
        **_form_context(request, team, draft),
        **_preview_context(request, team, draft),
        "team": team,
        "presets": all_recipes(),
        "first_presets": FIRST_PRESETS,
        "groups": by_group(all_recipes()),
        "preset": None if cloned or on_dataset else _preset(request),
        "cloned": cloned,
    }
    return render(request, "launch/new.html", context)


def _priorities(request: HttpRequest, team: Team) -> tuple[Option, ...]:
    """Return the priorities at which the user may launch."""
    hurry = can_hurry(request.user, team)
    return tuple(
        Option(str(value), label)
        for value, label in Job.Priority.choices
        if hurry or value <= Job.Priority.NORMAL
    )


def _form_context(request: HttpRequest, team: Team, draft: Draft) -> dict[str, Any]:
    own = [problem for problem in draft.problems if problem.field in ABOUT]
    others = [problem for problem in draft.problems if problem.field not in ABOUT]
    form = spec_fields.form(draft.values, others, _subsets(team))
    return {
        "form": form,
        "about": _about_fields(draft, own, _priorities(request, team)),
        "wrong": len(draft.problems),
        "unfolded": draft.unfolded or form.advanced_wrong,
        "suggested_name": suggested_name(team, draft.values),
    }


def _subsets(team: Team) -> tuple[Option, ...]:
    """Return the subsets of the team that are made, the newest first."""
    made = Subset.objects.filter(job__team=team, job__state=State.SUCCEEDED)
    newest = made.values_list("uuid", "name")[:MOST_SUBSETS]
    return tuple(Option(str(uuid), name) for uuid, name in newest)


def _about_fields(
    draft: Draft, problems: list[Problem], priorities: tuple[Option, ...]
) -> dict[str, Field]:
    def made(name: str, label: str, kind: spec_fields.Kind, **more: Any) -> Field:
        errors = tuple(p.sentence for p in problems if p.field == name)
        value = draft.about[name]
        return Field(name, label, kind, value, errors=errors, **more)

    queues = [Option("", "automatic")]
    queues += [
        Option(queue.name, f"{queue.name}{' (paused)' if queue.paused else ''}")
        for queue in Queue.objects.all()
    ]
    return {
        "name": made(
            "name", "Name", "text", help="left empty, it is made from the choices"
        ),
        "seeds": made(
            "seeds", "Seeds", "text", help="one run each; shown as mean ± std"
        ),
        "queue": made(
            "queue",
            "Queue",
            "select",
            help="automatic: a GPU queue whose worker answers, else the CPU's",
            options=tuple(queues),
        ),
        "priority": made(
            "priority",
            "Priority",
            "select",
            help="inside the queue; high is for maintainers of the team",
            options=priorities,
        ),
        "tags": made("tags", "Tags", "text", help="words with commas between them"),
        "notes": made("notes", "Notes", "area", help="for your team", wide=True),
    }


def _preview_context(request: HttpRequest, team: Team, draft: Draft) -> dict[str, Any]:
    """What the search would do and cost, or why that cannot be said yet."""
    seeds = draft.seeds
    try:
        data = spec_form.to_data(draft.values)
        belongings.require_own(request.user, team, data)
        spec = validate(data)
        planned = plan(spec)
    except SpecError as error:
        return {
            "faults": [problem.sentence for problem in error.problems],
            "seed_count": len(seeds),
        }
    if planned.table is not None:
        dataset = DATASETS[planned.table.dataset]
        return {"plan": planned, "table_dataset": dataset, "seed_count": len(seeds)}
    frozen = _frozen(planned.architecture_steps)
    return {
        "plan": planned,
        "chart": chart(planned),
        "final": {name: counts[-1] for name, counts in planned.remaining.items()},
        "final_share": _share_left(planned.remaining, planned.sizes),
        "steps": sum(planned.weight_steps) + sum(planned.architecture_steps),
        "weight_steps": sum(planned.weight_steps),
        "architecture_steps": sum(planned.architecture_steps),
        "frozen": ", ".join(frozen),
        "frozen_epochs": planned.architecture_steps.count(0),
        "expected": estimates.seconds(request.user, spec, planned),
        "seed_count": len(seeds),
    }


def _frozen(steps: Sequence[int]) -> list[str]:
    """Return the epochs without architecture steps as ranges: ``1 to 10``; none of
    them if the method never makes such steps."""
    if not any(steps):
        return []
    found = []
    for idle, members in groupby(enumerate(steps, start=1), lambda each: not each[1]):
        epochs = [epoch for epoch, _ in members]
        if idle:
            single = len(epochs) == 1
            found.append(str(epochs[0]) if single else f"{epochs[0]} to {epochs[-1]}")
    return found


def _share_left(remaining: Mapping[Any, list[int]], sizes: Mapping[Any, int]) -> float:
    return sum(counts[-1] for counts in remaining.values()) / sum(sizes.values())
