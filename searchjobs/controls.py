"""The control runs of an experiment: which there are, which are missing, launch them.

A run is a control if its spec is that of the claim with another selection (see
``engine.controls``) and its seed is one of the claim's: whoever launched it, and for
whatever reason.  Specs are compared as this version reads them, so that a control of
before some setting was there is still one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from pydantic import ValidationError

from . import audit, stored_specs
from .engine.contracts import selections
from .engine.controls import Kind, chance_for, controls_with
from .engine.registry import Options
from .engine.spec import SearchSpec
from .launch import launch
from .models import Experiment, Job, Run, Subset
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
#: Settings that no two searches may have different that are the same but for their
#: samples; every version has stored them, so the database can ask for them.
_TELLING = (
    ("space", "name"),
    ("dataset", "name"),
    ("method", "name"),
    ("selection", "name"),
    ("training", "epochs"),
)


@dataclass(frozen=True)
class Control:
    """One control of an experiment; ``fingerprint`` is that of its spec today."""

    kind: Kind
    spec: SearchSpec
    fingerprint: str


Needed = Mapping[Experiment, Sequence[Control]]


def controls_of(experiments: Iterable[Experiment]) -> dict[Experiment, list[Control]]:
    """Return the controls that each experiment needs; none for a search on all samples,
    and none where this version cannot read its spec any more.

    One query if any of them names a subset of this site; of one that is named by its
    path, the file is read once.
    """
    wanted = list(experiments)
    makers = Subset.objects.in_bulk({each.subset_id for each in wanted} - {None})
    files: dict[str, Options | None] = {}
    found: dict[Experiment, list[Control]] = {}
    for each in wanted:
        text = stored_specs.text_of(each.spec)
        spec = stored_specs.read(text)
        if spec is None:
            found[each] = []
            continue
        maker = makers.get(each.subset_id) if each.subset_id else None
        chance = _by_row(maker) if maker else _by_file(spec.selection, files)
        found[each] = list(_controls(text, _written(chance)))
    return found


def _by_row(subset: Subset) -> Options | None:
    """Return the control of the reduction that made a subset, as its row tells it."""
    made_by = subset.spec.get("selection") or {}
    try:
        part = selections.get(str(made_by.get("name")))
        return part.control(part.Options.model_validate(made_by))
    except (ValidationError, KeyError):
        return None


def _by_file(selection: Options, known: dict[str, Options | None]) -> Options | None:
    """Return the control of a selection, which a subset's file has to tell: once."""
    key = selection.model_dump_json()
    if key not in known:
        known[key] = chance_for(selection)
    return known[key]


def _written(chance: Options | None) -> str:
    return "" if chance is None else chance.model_dump_json()


@lru_cache(maxsize=stored_specs.KEPT)
def _controls(text: str, chance: str) -> tuple[Control, ...]:
    """Return the controls of a spec that can be read, its control by chance known."""
    spec = stored_specs.read(text)
    assert spec is not None
    options = None
    if chance:
        given = json.loads(chance)
        options = selections.get(given["name"]).Options.model_validate(given)
    return tuple(
        Control(kind, control, control.fingerprint(with_seed=False))
        for kind, control in controls_with(spec, options).items()
    )


def control_experiments(needed: Needed) -> dict[tuple[int, str], list[int]]:
    """Return the experiments that are these controls: by team and by the fingerprint
    of the control, keys of experiments, the oldest first.  One query."""
    controls = [control for its in needed.values() for control in its]
    prints = {control.fingerprint for control in controls}
    if not prints:
        return {}
    candidates = Experiment.objects.filter(
        team__in={each.team_id for each in needed},
        **_telling([control.spec for control in controls]),
    )
    found: dict[tuple[int, str], list[int]] = {}
    for key, team, stored, spec in candidates.order_by("pk").values_list(
        "pk", "team", "fingerprint", "spec"
    ):
        today = stored if stored in prints else stored_specs.identity(spec)
        if today in prints:
            found.setdefault((team, today), []).append(key)
    return found


def _telling(specs: Iterable[SearchSpec]) -> dict[str, Any]:
    """Return a filter that stored specs pass which can be one of these."""
    contents = [spec.model_dump(mode="json") for spec in specs]
    return {
        f"spec__{section}__{name}__in": {each[section][name] for each in contents}
        for section, name in _TELLING
    }


def runs_of(experiments: Iterable[int]) -> QuerySet[Run]:
    """Return the runs of these experiments, the oldest first, without their long
    columns."""
    return (
        Run.objects.filter(experiment__in=set(experiments))
        .select_related("job", "architecture")
        .defer(*LONG)
        .order_by("pk")
    )


def can_serve(run: Run) -> bool:
    """Say whether a run is a control or may still become one."""
    return run.job.state not in NO_RESULT


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
    needed = controls_of([experiment])
    there = control_experiments(needed)
    runs = runs_of(key for keys in there.values() for key in keys)
    newest = experiment.runs.select_related("job__queue").order_by("-pk").first()
    made = []
    for control in needed[experiment]:
        keys = there.get((experiment.team_id, control.fingerprint), ())
        own = [run for run in runs if run.experiment_id in keys and can_serve(run)]
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
