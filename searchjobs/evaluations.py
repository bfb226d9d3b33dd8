"""Launch trainings of architectures from scratch (see ``evaluation_recording``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from . import audit, bell, belongings
from .engine.problems import SpecError
from .engine.seeds import seeds_problem
from .job_control import end_of_line
from .models import Evaluation, Job, Queue, Run, Team
from .permissions import User, require_launch
from .placing import queue_of
from .states import State


def launch_training(
    actor: User,
    team: Team,
    spec: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    run: Run | None = None,
    queue: Queue | None = None,
) -> list[Evaluation]:
    """Store an evaluation with a queued job for each seed, and wake slots.

    Args:
        actor: a member of the team.
        team: to whom the rows belong.
        spec: settings of a TrainingSpec; the rest is filled with defaults.  Its seed
            is ignored.
        seeds: one training each.
        run: the search that gave the architecture, of the same team.
        queue: None: the queue that fits the spec's device.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: something is wrong; every problem as a sentence, and no row made.
    """
    from .benchmark import resolve_one  # brings PyTorch: only when needed
    from .engine.training_spec import validate_training

    require_launch(actor, team)
    belongings.require_own(actor, team, spec)
    problems = [problem] if (problem := seeds_problem(seeds)) else []
    try:
        checked = validate_training(dict(spec))
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from None
    if problems:
        raise SpecError(problems)
    content = checked.model_dump(mode="json")
    author = int(actor.pk)  # type: ignore[arg-type]
    chosen = queue_of(checked.compute.device, queue)
    architecture = resolve_one(checked.space.name, checked.architecture)
    label = f"training of {architecture.index or architecture.encoding}"
    with transaction.atomic():
        belongings.hold(team, content)
        position = end_of_line()
        jobs = Job.objects.bulk_create(
            Job(
                kind=Job.Kind.TRAINING,
                subject=f"{label} · C={checked.space.channels} · seed {seed}"[:160],
                team=team,
                author_id=author,
                spec={**content, "seed": seed},
                state=State.QUEUED,
                queue=chosen,
                position=position,
                queued=Now(),
            )
            for seed in seeds
        )
        made = Evaluation.objects.bulk_create(
            Evaluation(
                job=job,
                architecture=architecture,
                run=run,
                spec=job.spec,
                fingerprint=checked.fingerprint(with_seed=False),
                seed=seed,
                dataset=checked.dataset.name,
                channels=checked.space.channels,
                cells=checked.space.cells,
                epochs=checked.training.epochs,
            )
            for job, seed in zip(jobs, seeds, strict=True)
        )
        for job in jobs:
            audit.record(actor, "train cell", job, after={"subject": job.subject})
        bell.wake(chosen.name, len(jobs))
    return made
