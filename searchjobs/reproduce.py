"""Run a paper's table again: what runs there are for it, what is missing, launch that.

A run belongs to a recipe at a scale if its experiment says so, and if what the recipe
sets at that scale still stands in its spec: a recipe that was mended since starts anew.
Recipes that come to the same search at a scale share their runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db import transaction

from .engine.data.source import sources
from .engine.plan import plan
from .engine.problems import Problem, SpecError
from .engine.recipes import Recipe, all_recipes
from .engine.scales import PAPER, Scale, cannot, effective, scale_named, scaled, seeds
from .engine.spec import SearchSpec
from .engine.tables import Paper, Table, all_tables, find_recipe
from .engine.validation import validate
from .launch import launch
from .models import Dataset, Experiment, Job, Run, Team
from .permissions import User, require_launch
from .states import State

#: What of a data set's section says which images are taken; the rest says from where.
_IMAGES = ("classes", "per_class", "image_size")
TAG = "reproduction"
_ENDED_BADLY = (State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Lacking:
    """What has to be launched of one recipe, or why it cannot be.

    Attributes:
        spec: complete; None if something is wrong with it here.
        seeds: those without a run that succeeded or is under way.
        again: how many of them ended badly before.
        cost_units: of one run, as planned.
        why_not: a sentence if ``spec`` is None.
    """

    recipe: Recipe
    label: str
    scale: Scale
    seeds: list[int]
    again: int
    spec: SearchSpec | None = None
    plan: Any = None
    why_not: str = ""


Runs = dict[str, dict[int, Run]]
"""By recipe and seed."""


def runs_of(team: Team, names: Iterable[str], scale: Scale) -> Runs:
    """Return the run of each recipe and seed that counts: one that succeeded, the
    newest; else one under way; else the newest that ended badly.  One query.

    Runs come with experiment, job (without its long columns) and architecture.
    """
    recipes = [recipe for name in names if (recipe := find_recipe(name)) is not None]
    places = {
        recipe.name: (effective(recipe, scale), twins(scale.name)[recipe.name])
        for recipe in recipes
        if not cannot(recipe, scale)
    }
    known = {name for _, alike in places.values() for name in alike}
    rows = (
        Run.objects.filter(
            experiment__team=team,
            experiment__recipe__in=known,
            experiment__scale__in={at.name for at, _ in places.values()},
        )
        .select_related("job", "experiment", "architecture")
        .defer(*(f"job__{column}" for column in Job.LONG), "plan", "structure")
        .order_by("pk")
    )
    by_place: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in rows:
        by_place[run.experiment.recipe, run.experiment.scale].append(run)
    found: Runs = {}
    for recipe in recipes:
        chosen: dict[int, Run] = {}
        if recipe.name in places:
            at, alike = places[recipe.name]
            given = scaled(recipe, at)
            for name in alike:
                for run in by_place.get((name, at.name), ()):
                    if not carries(run.experiment.spec, given):
                        continue
                    present = chosen.get(run.seed)
                    if present is None or _rank(run) >= _rank(present):
                        chosen[run.seed] = run
        found[recipe.name] = dict(sorted(chosen.items()))
    return found


def _rank(run: Run) -> tuple[int, int]:
    state = run.job.state
    worth = 2 if state == State.SUCCEEDED else 0 if state in _ENDED_BADLY else 1
    return worth, run.pk


def carries(stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Say whether a stored spec still holds all that a recipe sets; of the data set,
    which images are taken, and not from which file."""
    for section, wanted in given.items():
        present = stored.get(section)
        if section == "dataset":
            present, wanted = (_images(part or {}) for part in (present, wanted))
        if not _holds(present, wanted):
            return False
    return True


def _images(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section.get(name) or None for name in _IMAGES}


def _holds(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(present, Mapping) and all(
            name in present and _holds(present[name], value)
            for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(present, list | tuple)
            and len(present) == len(wanted)
            and all(map(_holds, present, wanted))
        )
    return bool(present == wanted)


@cache
def twins(scale_name: str) -> dict[str, frozenset[str]]:
    """Return, for each recipe of a table, those that are the same search at a scale,
    itself among them."""
    scale = scale_named(scale_name)
    names = dict.fromkeys(name for _, table in all_tables() for name in table.recipes)
    alike: dict[str, set[str]] = defaultdict(set)
    prints: dict[str, str] = {}
    for name in names:
        recipe = find_recipe(name)
        if recipe is None or scale is None:
            continue
        try:
            spec = validate(scaled(recipe, scale), check_data=False)
            prints[name] = spec.fingerprint()
        except SpecError:
            prints[name] = name  # of a part that is not installed: only itself
        if not cannot(recipe, scale):
            alike[prints[name]].add(name)
    return {name: frozenset({name, *alike[prints[name]]}) for name in prints}


@cache
def _own() -> dict[str, tuple[str, str]]:
    """Return recipe and scale by what is searched: those of tables at the paper's
    scale, and the other presets without any."""
    paper = scale_named(PAPER)
    in_tables = [find_recipe(name) for name in twins(PAPER)]
    places = [(recipe, PAPER) for recipe in in_tables if recipe is not None]
    places += [(recipe, "") for recipe in all_recipes()]
    found: dict[str, tuple[str, str]] = {}
    for recipe, place in places:
        try:
            given = scaled(recipe, paper) if place and paper else recipe.spec
            spec = validate(given, check_data=False)
        except SpecError:
            continue  # a part of it is not installed
        found.setdefault(_identity(spec), (recipe.name, place))
    return found


def _identity(spec: SearchSpec) -> str:
    """Return what is equal for specs that differ only in where they are computed."""
    compute = SearchSpec.model_fields["compute"].get_default(call_default_factory=True)
    return spec.model_copy(update={"compute": compute}).fingerprint(with_seed=False)


def recipe_of(spec: SearchSpec) -> tuple[str, str]:
    """Return the recipe that a spec is, unchanged but for its seed and where it is
    computed, and its scale if it is one of a table; two empty strings for any other."""
    return _own().get(_identity(spec), ("", ""))


def seeds_of(recipe: Recipe, scale: Scale) -> list[int]:
    """Return the seeds with which a recipe is wanted at a scale: of recipes that are
    the same search those of the one that asks for most, or nothing would be shared."""
    alike = twins(scale.name).get(recipe.name, frozenset())
    found = (find_recipe(name) for name in twins(scale.name) if name in alike)
    each = [seeds(other, scale) for other in found if other is not None]
    return max(each, key=len, default=seeds(recipe, scale))


def stand_ins(team: Team, table: Table, scale: Scale) -> list[Dataset]:
    """Return the team's checked data sets that hold what some data set holds that the
    table's recipes ask for at a scale; one query."""
    sections = [
        scaled(recipe, effective(recipe, scale))["dataset"]
        for name in table.recipes
        if (recipe := find_recipe(name)) and "dataset" in recipe.spec
    ]
    return [
        dataset
        for dataset in Dataset.objects.filter(team=team)
        if any(_replaces(dataset, section) for section in sections)
    ]


def _replaces(dataset: Dataset, section: Mapping[str, Any]) -> bool:
    """Say whether a data set holds what a section takes of a published one: its classes
    (all of them, and no others, where the section names none), as many images of each,
    and none that are smaller."""
    source = sources.get(section["name"])
    wanted = source.published_summary(source.Options(**section))
    if wanted is None:
        return False
    there = dict(zip(dataset.classes, dataset.class_counts, strict=False))
    asked = dict(zip(wanted.classes, wanted.class_counts, strict=True))
    if not section.get("classes") and there.keys() != asked.keys():
        return False
    cut = bool(section.get("per_class"))
    return (dataset.image_size or wanted.image_size) >= wanted.image_size and all(
        there.get(name, 0) >= count if cut else there.get(name) == count
        for name, count in asked.items()
    )


def lacking(
    table: Table, scale: Scale, found: Runs, images: Dataset | None = None
) -> list[Lacking]:
    """Return what is missing of a table, recipe by recipe, with its planned cost; of
    recipes that are the same search one."""
    labels: dict[str, str] = {}
    for row in table.rows:
        for name in (name for column in table.columns for name in row.of(column)):
            labels.setdefault(name, row.titled(name))
    wanted = []
    done: set[str] = set()
    for name in table.recipes:
        recipe = find_recipe(name)
        if recipe is None or name in done or cannot(recipe, scale):
            continue
        done |= twins(scale.name)[name]
        held = found.get(name, {})
        bad = {seed for seed, run in held.items() if run.job.state in _ENDED_BADLY}
        open_seeds = [
            seed for seed in seeds_of(recipe, scale) if seed not in held or seed in bad
        ]
        if open_seeds:
            label = labels.get(name, recipe.title)
            at = effective(recipe, scale)
            again = len(bad.intersection(open_seeds))
            wanted.append(
                _planned(Lacking(recipe, label, at, open_seeds, again), images)
            )
    return wanted


def _planned(each: Lacking, images: Dataset | None) -> Lacking:
    given = scaled(each.recipe, each.scale)
    if (
        images is not None
        and "dataset" in given
        and _replaces(images, given["dataset"])
    ):
        own = {k: v for k, v in given["dataset"].items() if k in _IMAGES}
        given = {**given, "dataset": {**images.source, **own}}
    fields = {**each.__dict__}
    try:
        spec = validate(given)
        return Lacking(**{**fields, "spec": spec, "plan": plan(spec)})
    except SpecError as error:
        why = " ".join(problem.sentence for problem in error.problems)
        return Lacking(**{**fields, "why_not": why})


def launch_lacking(
    actor: User,
    team: Team,
    paper: Paper,
    table: Table,
    scale: Scale,
    *,
    images: Dataset | None = None,
) -> list[Experiment]:
    """Launch what is missing of a table, an experiment a recipe.  A second click at the
    same time finds nothing missing.

    Raises:
        PermissionDenied: the actor may not launch for this team.
        SpecError: nothing can be launched here, with the reasons.
    """
    require_launch(actor, team)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        missing = lacking(table, scale, runs_of(team, table.recipes, scale), images)
        able = [each for each in missing if each.spec is not None]
        if missing and not able:
            reasons = dict.fromkeys(each.why_not for each in missing)
            raise SpecError([Problem("", sentence) for sentence in reasons])
        return [_launch(actor, team, paper, table, each) for each in able]


def _launch(
    actor: User, team: Team, paper: Paper, table: Table, each: Lacking
) -> Experiment:
    assert each.spec is not None
    longest = Experiment._meta.get_field("name").max_length or 120
    name = f"{paper.short} {table.number}: {each.label} · {each.scale.label}"
    return launch(
        actor,
        team,
        name[:longest],
        each.spec,
        each.seeds,
        tags=[TAG, table.name],
        notes=f"{each.recipe.title}. Scale: {each.scale.label}. {each.scale.summary}",
        recipe=each.recipe.name,
        scale=each.scale.name,
    )


@dataclass
class Progress:
    """How far a table is: runs by what became of them.

    Attributes:
        wanted: runs that the recipes ask for at the scale.
        blocked: rows that cannot be run here or at this scale.
    """

    wanted: int = 0
    done: int = 0
    active: int = 0
    failed: int = 0
    blocked: int = field(default=0)

    @property
    def missing(self) -> int:
        return max(self.wanted - self.done - self.active - self.failed, 0)

    @property
    def share(self) -> float:
        return self.done / self.wanted if self.wanted else 0.0


def progress(table: Table, scale: Scale, found: Runs) -> Progress:
    """Count the runs of a table; each recipe once, of the same searches one."""
    counted = Progress()
    seen: set[str] = set()
    for name in table.recipes:
        recipe = find_recipe(name)
        if recipe is None or name in seen or cannot(recipe, scale):
            continue
        seen |= twins(scale.name)[name]
        add(counted, recipe, scale, found.get(name, {}))
    counted.blocked = sum(
        bool(row.cannot) or all(not able(row_name, scale) for row_name in names)
        for row in table.rows
        for names in [{n for c in table.columns for n in row.of(c)}]
    )
    return counted


def able(name: str, scale: Scale) -> bool:
    """Say whether a recipe of this name has a form at a scale."""
    recipe = find_recipe(name)
    return recipe is not None and not cannot(recipe, scale)


def add(counted: Progress, recipe: Recipe, scale: Scale, held: dict[int, Run]) -> None:
    """Count one recipe's runs in."""
    wanted = seeds_of(recipe, scale)
    states = [held[seed].job.state for seed in wanted if seed in held]
    counted.wanted += len(wanted)
    done = sum(state == State.SUCCEEDED for state in states)
    failed = sum(state in _ENDED_BADLY for state in states)
    counted.done += done
    counted.failed += failed
    counted.active += len(states) - done - failed
