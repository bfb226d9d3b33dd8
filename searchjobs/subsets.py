"""Launch the job that chooses a subset (see ``subset_recording``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from . import audit, bell, belongings
from .engine.problems import Problem, SpecError
from .job_control import end_of_line
from .models import Job, Queue, Subset, Team
from .permissions import User, require_launch
from .placing import queue_of, require_priority
from .states import State


def launch_subset(
    actor: User,
    team: Team,
    name: str,
    spec: Mapping[str, Any],
    *,
    queue: Queue | None = None,
    priority: int = Job.Priority.NORMAL,
) -> Subset:
    """Store a subset with a queued job that chooses its samples, and wake slots.

    Args:
        actor: a member of the team.
        team: to whom the rows belong.
        name: what people call it.
        spec: settings of a SubsetSpec; the rest is filled with defaults.
        queue: None: the queue that fits the spec's device.
        priority: of the job in its queue; more than normal is for maintainers.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: something is wrong; every problem as a sentence, and no row made.
    """
    from .engine.subset_spec import validate_subset  # brings PyTorch

    require_launch(actor, team)
    belongings.require_own(actor, team, spec)
    problems = _name_problems(name)
    try:
        checked = validate_subset(dict(spec))
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from None
    if problems:
        raise SpecError(problems)
    require_priority(actor, team, priority)
    content = checked.model_dump(mode="json")
    author = int(actor.pk)  # type: ignore[arg-type]
    chosen = queue_of(checked.compute.device, queue)
    with transaction.atomic():
        belongings.hold(team, content)
        job = Job.objects.create(
            kind=Job.Kind.SUBSET,
            subject=name.strip(),
            team=team,
            author_id=author,
            spec=content,
            state=State.QUEUED,
            queue=chosen,
            priority=priority,
            position=end_of_line(),
            queued=Now(),
        )
        subset = Subset.objects.create(
            job=job, name=name.strip(), spec=content, fingerprint=checked.fingerprint()
        )
        audit.record(actor, "make subset", job, after={"name": subset.name})
        bell.wake(chosen.name, 1)
    return subset


def _name_problems(name: str) -> list[Problem]:
    longest = Subset._meta.get_field("name").max_length or 0
    if not name.strip():
        return [Problem("name", "Give the subset a name.")]
    if len(name.strip()) > longest:
        return [Problem("name", f"Use at most {longest} characters in a name.")]
    return []
