"""The control runs of an experiment: which there are, which are missing, launch them.

A run is a control if its spec is that of the claim with another selection (see
``engine.controls``) and its seed is one of the claim's: whoever launched it, and for
whatever reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from pydantic import ValidationError

from . import audit
from .engine.controls import Kind
from .engine.controls import controls as control_specs
from .engine.spec import SearchSpec
from .launch import launch
from .models import Experiment, Job, Run
from .permissions import User, require_launch
from .states import State

#: What people call the control experiments that a click makes.
NAMES: dict[Kind, str] = {"random": "random control", "all": "all samples"}
TAG = "control"
#: Columns of a run and its job that may be long, and that nobody needs here.
LONG = (
    *(f"job__{column}" for column in Job.LONG),
    *("plan", "structure", "architectures", "repeats"),
)
#: A run that ended so is no control: another one has to take its place.
NO_RESULT = (State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Control:
    """One control of an experiment; ``fingerprint`` is that of its runs."""

    kind: Kind
    spec: SearchSpec
    fingerprint: str


def controls_of(experiment: Experiment) -> list[Control]:
    """Return the controls that an experiment needs; none for a search on all samples,
    and none where this version cannot read its spec any more."""
    try:
        specs = control_specs(SearchSpec.model_validate(experiment.spec))
    except (ValidationError, KeyError):
        return []
    return [
        Control(kind, spec, spec.fingerprint(with_seed=False))
        for kind, spec in specs.items()
    ]


def control_runs(team_ids: Iterable[int], fingerprints: Collection[str]) -> QuerySet:
    """Return the runs of these teams that can serve as controls, the oldest first;
    without the long columns of their jobs."""
    return (
        Run.objects.filter(
            experiment__team_id__in=set(team_ids),
            experiment__fingerprint__in=set(fingerprints),
        )
        .exclude(job__state__in=NO_RESULT)
        .select_related("job", "experiment", "architecture")
        .defer(*LONG)
        .order_by("pk")
    )


def missing_seeds(experiment: Experiment, runs: Iterable[Run]) -> list[int]:
    """Return the seeds of the experiment that none of the control runs has."""
    there = {run.seed for run in runs}
    return [seed for seed in experiment.seeds if seed not in there]


@transaction.atomic
def launch_missing(actor: User, experiment: Experiment) -> list[Experiment]:
    """Launch every control run that the experiment lacks, on the queue of its own runs;
    return the new experiments, none if all were there.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: the spec is not one that can be launched now.
    """
    require_launch(actor, experiment.team)
    # Locked: a second click waits here, and finds what the first has launched.
    Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    needed = controls_of(experiment)
    found = list(
        control_runs([experiment.team_id], {each.fingerprint for each in needed})
    )
    newest = experiment.runs.select_related("job__queue").order_by("-pk").first()
    made = []
    for control in needed:
        own = [r for r in found if r.experiment.fingerprint == control.fingerprint]
        seeds = missing_seeds(experiment, own)
        if not seeds:
            continue
        launched = launch(
            actor,
            experiment.team,
            control_name(experiment.name, control.kind),
            control.spec,
            seeds,
            queue=newest.job.queue if newest else None,
            tags=list(dict.fromkeys([*experiment.tags, TAG])),
            notes=f"Control of {experiment.name}: the same search, "
            f"{NAMES[control.kind]}.",
        )
        made.append(launched)
    if made:
        audit.record(
            actor,
            "add-controls",
            experiment,
            after={"experiments": [str(each.uuid) for each in made]},
        )
    return made


def control_name(name: str, kind: Kind) -> str:
    """Return the name of a control experiment, as long as a name may be."""
    longest = Experiment._meta.get_field("name").max_length or 0
    ending = f" · {NAMES[kind]}"
    return f"{name[: longest - len(ending)]}{ending}"
