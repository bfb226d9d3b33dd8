"""Launch an experiment: one spec, its seeds, and a queued job for each of them; clone
it, and change what people call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now

from . import audit, bell, belongings
from .engine.plan import plan
from .engine.problems import Problem, SpecError
from .engine.seeds import seeds_problem
from .engine.spec import SearchSpec
from .engine.validation import validate
from .job_control import end_of_line
from .models import Experiment, Job, Queue, Run, Subset, Team
from .permissions import User, can_view, require_act, require_launch
from .placing import queue_of, require_priority
from .states import State
from .subset_files import subset_of


@dataclass(frozen=True)
class Draft:
    """What the launch form starts from when an experiment is cloned."""

    name: str
    spec: dict[str, Any]
    seeds: list[int]
    tags: list[str]
    notes: str


def launch(
    actor: User,
    team: Team,
    name: str,
    spec: SearchSpec | Mapping[str, Any],
    seeds: Sequence[int],
    *,
    queue: Queue | None = None,
    priority: int = Job.Priority.NORMAL,
    tags: Sequence[str] = (),
    notes: str = "",
    recipe: str = "",
    scale: str = "",
) -> Experiment:
    """Store an experiment with a run and a queued job for each seed, and wake slots.

    Args:
        actor: a member of the team.
        team: to whom all rows belong.
        name: what people call it.
        spec: settings; the rest is filled with defaults.  Its seed is ignored.
        seeds: one run each.
        queue: None: the queue that fits the spec's device.
        priority: of the jobs in their queue; more than normal is for maintainers.
        tags: to find it again.
        notes: for people.
        recipe: the preset whose spec this is, unchanged but for its scale.
        scale: paper, gpu-small or cpu-small, if it is one of a paper's table.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: something is wrong; every problem as a sentence, and no row made.
    """
    require_launch(actor, team)
    author = int(actor.pk)  # type: ignore[arg-type]
    data = spec.model_dump(mode="json") if isinstance(spec, SearchSpec) else dict(spec)
    belongings.require_own(actor, team, data)
    checked = _check(name, data, seeds, tags)
    require_priority(actor, team, priority)
    chosen = queue_of(checked.compute.device, queue)
    planned = plan(checked)
    content = checked.model_dump(mode="json")
    with transaction.atomic():
        belongings.hold(team, content)
        experiment = Experiment.objects.create(
            team=team,
            name=name.strip(),
            spec=content,
            fingerprint=checked.fingerprint(with_seed=False),
            seeds=list(seeds),
            tags=[tag.strip() for tag in tags],
            notes=notes,
            recipe=recipe,
            scale=scale,
            subset=_subset(team, data),
            author_id=author,
        )
        position = end_of_line()
        jobs = Job.objects.bulk_create(
            Job(
                team=team,
                author_id=author,
                spec=checked.with_seed(seed).model_dump(mode="json"),
                state=State.QUEUED,
                queue=chosen,
                priority=priority,
                devices=checked.compute.devices,
                position=position,
                queued=Now(),
            )
            for seed in seeds
        )
        Run.objects.bulk_create(
            Run(
                job=job,
                experiment=experiment,
                seed=seed,
                epochs=planned.epochs,
                plan=planned.model_dump(mode="json"),
                baseline_units=planned.baseline_units,
            )
            for job, seed in zip(jobs, seeds, strict=True)
        )
        audit.record(
            actor,
            "launch",
            experiment,
            after={"name": experiment.name, "seeds": list(seeds)},
        )
        bell.wake(chosen.name, len(jobs))
    return experiment


def clone(actor: User, experiment: Experiment) -> Draft:
    """Return what the launch form needs to launch the same again."""
    if not can_view(actor, experiment):
        raise PermissionDenied("This experiment belongs to a team that is not yours.")
    return Draft(
        name=experiment.name,
        spec=dict(experiment.spec),
        seeds=list(experiment.seeds),
        tags=list(experiment.tags),
        notes=experiment.notes,
    )


@transaction.atomic
def edit(
    actor: User, experiment: Experiment, *, name: str, tags: Sequence[str], notes: str
) -> bool:
    """Change name, tags and notes; the spec of an experiment never changes.

    Returns:
        False if all was so already.

    Raises:
        PermissionDenied: the actor may not act on it.
        SpecError: name or tags are wrong; nothing was changed.
    """
    require_act(actor, experiment)
    if problems := _label_problems(name, tags):
        raise SpecError(problems)
    # Locked, so that the audit event tells what really stood there before.
    row = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    before = {"name": row.name, "tags": row.tags, "notes": row.notes}
    after = {
        "name": name.strip(),
        "tags": [tag.strip() for tag in tags],
        "notes": notes.strip(),
    }
    if after == before:
        return False
    Experiment.objects.filter(pk=row.pk).update(**after)
    audit.record(actor, "edit", row, before, after)
    return True


def _check(
    name: str,
    data: dict[str, Any],
    seeds: Sequence[int],
    tags: Sequence[str],
) -> SearchSpec:
    """Return the valid spec, or raise one SpecError with all that is wrong."""
    problems = _label_problems(name, tags)
    if problem := seeds_problem(seeds):
        problems.append(problem)
    try:
        checked = validate(data)
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from None
    if problems:
        raise SpecError(problems)
    return checked


def _subset(team: Team, spec: Mapping[str, Any]) -> Subset | None:
    """Return the team's subset that a spec names by its id, if it does."""
    identity = subset_of(spec)
    if identity is None:
        return None
    return Subset.objects.filter(uuid=identity, job__team=team).first()


def _label_problems(name: str, tags: Sequence[str]) -> list[Problem]:
    problems = []
    longest = Experiment._meta.get_field("name").max_length or 0
    if not name.strip():
        problems.append(Problem("name", "Give the experiment a name."))
    elif len(name.strip()) > longest:
        problems.append(Problem("name", f"Use at most {longest} characters in a name."))
    if any(not tag.strip() or len(tag.strip()) > 40 for tag in tags):
        problems.append(Problem("tags", "A tag has between 1 and 40 characters."))
    return problems
