"""What is missing of a paper's table, and that one click launches just that."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from searchjobs import reproduce
from searchjobs.engine.data.sources.cifar10 import Cifar10
from searchjobs.engine.problems import SpecError
from searchjobs.engine.scales import scaled
from searchjobs.engine.tables import find_recipe
from searchjobs.engine.validation import validate
from searchjobs.launch import launch
from searchjobs.models import Dataset, Experiment, Job, Queue, Run, Team
from searchjobs.states import State
from tests.reproductions import CLASSES, end, scale, stand_in, table

pytestmark = pytest.mark.django_db
NAME = "bdp-1"


@pytest.fixture
def images(user: User, team: Team, tmp_path: Path) -> Dataset:
    return stand_in(user, team, tmp_path)


@pytest.fixture
def launched(
    user: User, team: Team, cpu_queue: Queue, images: Dataset
) -> list[Experiment]:
    return reproduce.launch_lacking(user, team, *table(NAME), scale(), images=images)


def missing(team: Team, images: Dataset | None = None) -> list[reproduce.Lacking]:
    _, whole = table(NAME)
    found = reproduce.runs_of(team, whole.recipes, scale())
    return reproduce.lacking(whole, scale(), found, images)


def test_an_empty_table_lacks_every_recipe_with_all_seeds(
    team: Team, images: Dataset
) -> None:
    found = missing(team, images)
    assert [each.recipe.name for each in found] == list(table(NAME)[1].recipes)
    assert {tuple(each.seeds) for each in found} == {(1, 2, 3)}
    assert all(each.plan.cost_units > 0 for each in found)


def test_a_launch_says_which_recipe_and_scale_it_is(
    launched: list[Experiment],
) -> None:
    assert len(launched) == 5
    first = launched[0]
    assert (first.recipe, first.scale) == ("bdp-t1-1-9", "cpu-small")
    assert first.name == "BDP 1: T:V = 1:9 · CPU-small"
    assert first.tags == ["reproduction", NAME]
    assert first.spec["split"]["train_share"] == pytest.approx(0.1)
    assert first.spec["dataset"]["name"] == "npz"
    assert first.spec["dataset"]["classes"] == list(CLASSES)
    assert Run.objects.count() == Job.objects.filter(state=State.QUEUED).count() == 15


def test_a_second_click_launches_nothing(
    launched: list[Experiment], user: User, team: Team, images: Dataset
) -> None:
    again = reproduce.launch_lacking(user, team, *table(NAME), scale(), images=images)
    assert again == []
    assert Experiment.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_one_moment_launch_once(
    user: User, team: Team, cpu_queue: Queue, images: Dataset
) -> None:
    """The second waits until it can see what the first has launched."""
    found: list[list[Experiment]] = []

    def click() -> None:
        try:
            made = reproduce.launch_lacking(
                user, team, *table(NAME), scale(), images=images
            )
            found.append(made)
        finally:
            connection.close()

    second = threading.Thread(target=click)
    with transaction.atomic():
        click_of_mine = reproduce.launch_lacking(
            user, team, *table(NAME), scale(), images=images
        )
        second.start()
        _until_it_waits(second)
    second.join(30)
    assert len(click_of_mine) == Experiment.objects.count() == 5
    assert found == [[]]


def _until_it_waits(thread: threading.Thread) -> None:
    """Return when another connection waits for a lock, or the thread has ended."""
    until = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_stat_activity "
                "where wait_event_type = 'Lock' and datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)


@pytest.mark.parametrize("state", [State.PAUSED, State.PAUSING, State.STARTING])
def test_what_is_under_way_in_any_way_is_not_missing(
    launched: list[Experiment], team: Team, images: Dataset, state: str
) -> None:
    Job.objects.update(state=state)
    assert missing(team, images) == []


def test_recipes_that_are_the_same_search_want_the_same_seeds(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    """GDAS of two papers, whose presets differ in seeds, is not searched twice."""
    for name in ("bdp-t4-gdas", "ex-t1-gdas"):
        recipe = find_recipe(name)
        assert recipe is not None
        assert name in reproduce.twins("paper")["ex-t1-gdas"]
        assert reproduce.seeds_of(recipe, scale("paper")) == [1, 2, 3]
        assert reproduce.seeds_of(recipe, scale()) == [1, 2, 3]
    control = find_recipe("bdp-4-no-pruning-beta")
    assert control is not None
    assert reproduce.seeds_of(control, scale("paper")) == [1, 2, 3, 4, 5]


def test_what_failed_or_was_cancelled_is_missing_again(
    launched: list[Experiment], user: User, team: Team, images: Dataset
) -> None:
    runs = list(launched[0].runs.all())
    end(runs[0], state=State.FAILED)
    end(runs[1], state=State.CANCELLED)
    (found,) = missing(team, images)
    assert (found.recipe.name, found.seeds, found.again) == ("bdp-t1-1-9", [1, 2], 2)
    (more,) = reproduce.launch_lacking(user, team, *table(NAME), scale(), images=images)
    assert more.seeds == [1, 2]


def test_of_several_runs_with_a_seed_the_one_that_succeeded_counts(
    launched: list[Experiment], user: User, team: Team, images: Dataset
) -> None:
    first = launched[0].runs.get(seed=1)
    end(first)
    spec = validate(launched[0].spec)
    later = launch(
        user, team, "once more", spec, [1], recipe="bdp-t1-1-9", scale="cpu-small"
    )
    found = reproduce.runs_of(team, ["bdp-t1-1-9"], scale())
    assert found["bdp-t1-1-9"][1] == first
    end(later.runs.get())
    found = reproduce.runs_of(team, ["bdp-t1-1-9"], scale())
    assert found["bdp-t1-1-9"][1] == later.runs.get()


def test_a_run_of_a_recipe_that_was_mended_since_counts_no_more(
    launched: list[Experiment], team: Team
) -> None:
    changed = dict(launched[0].spec)
    changed["training"] = {**changed["training"], "weight_lr": 0.2}
    Experiment.objects.filter(pk=launched[0].pk).update(spec=changed)
    assert reproduce.runs_of(team, ["bdp-t1-1-9"], scale())["bdp-t1-1-9"] == {}


def test_a_run_at_another_scale_or_of_another_team_counts_not(
    launched: list[Experiment], other_team_user: User, team: Team
) -> None:
    _, whole = table(NAME)
    elsewhere = reproduce.runs_of(team, whole.recipes, scale("gpu-small"))
    assert not any(elsewhere.values())
    others = Team.objects.exclude(pk=team.pk).get()
    assert not any(reproduce.runs_of(others, whole.recipes, scale()).values())


def test_recipes_that_are_the_same_search_share_their_runs(
    user: User, team: Team, cpu_queue: Queue, images: Dataset
) -> None:
    """At small scales DARTS of two papers is one search."""
    names = reproduce.twins("cpu-small")["darts-cifar10-paper"]
    assert "bdp-4-no-pruning" in names
    assert "bdp-4-no-pruning" not in reproduce.twins("paper")["darts-cifar10-paper"]
    _, whole = table("bdp-4")
    found = reproduce.lacking(whole, scale(), {}, images)
    launchable = [each.recipe.name for each in found]
    assert ("darts-cifar10-paper" in launchable) != ("bdp-4-no-pruning" in launchable)
    darts = find_recipe("darts-cifar10-paper")
    assert darts is not None
    spec = {**scaled(darts, scale())}
    spec["dataset"] = {**spec["dataset"], **images.source}
    launch(user, team, "x", spec, [1], recipe="darts-cifar10-paper", scale="cpu-small")
    runs = reproduce.runs_of(team, ["bdp-4-no-pruning"], scale())
    assert list(runs["bdp-4-no-pruning"]) == [1]


def test_a_row_without_a_form_at_the_scale_is_not_launched(
    team: Team, images: Dataset
) -> None:
    _, whole = table("bdp-7")
    found = {each.recipe.name for each in reproduce.lacking(whole, scale(), {}, images)}
    assert "bdp-t7-darts-cifar10" in found
    assert "bdp-t7-darts-cifar100" not in found
    at_paper = reproduce.lacking(whole, scale("paper"), {})
    assert "bdp-t7-darts-cifar100" in {each.recipe.name for each in at_paper}


def test_without_its_images_nothing_is_launched_and_a_sentence_says_why(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    with pytest.raises(SpecError) as caught:
        reproduce.launch_lacking(user, team, *table(NAME), scale())
    (problem,) = caught.value.problems
    assert "There is no CIFAR-10" in problem.sentence
    assert Experiment.objects.count() == 0


def test_only_data_sets_with_the_classes_may_stand_in(
    user: User, team: Team, images: Dataset
) -> None:
    _, whole = table(NAME)
    Dataset.objects.create(
        team=team,
        name="digits",
        source={"name": "digits"},
        classes=[str(digit) for digit in range(10)],
        author=user,
    )
    Dataset.objects.create(
        team=team, name="unchecked", source={"name": "digits"}, author=user
    )
    assert reproduce.stand_ins(team, whole, scale()) == [images]
    assert reproduce.stand_ins(team, whole, scale("paper")) == []


@pytest.mark.parametrize(
    ("scale_name", "changed", "fits"),
    [
        ("cpu-small", {}, True),
        ("cpu-small", {"class_counts": [1249, *[5000] * 9]}, False),
        ("cpu-small", {"image_size": 4}, False),
        ("paper", {}, True),
        ("paper", {"class_counts": [4999, *[5000] * 9]}, False),
        ("paper", {"class_counts": [6000] * 10}, False),
        ("paper", {"image_size": 16}, False),
        ("paper", {"image_size": None}, True),
    ],
)
def test_a_stand_in_holds_as_many_images_as_the_scale_says(
    user: User, team: Team, scale_name: str, changed: dict[str, Any], fits: bool
) -> None:
    """The label of a scale names a number of images, so it must be that of the run."""
    given = {"class_counts": [5000] * 10, "image_size": 32, **changed}
    Dataset.objects.create(
        team=team,
        name="a copy",
        source={"name": "npz", "path": "copy.npz"},
        classes=list(Cifar10.class_names),
        author=user,
        **given,
    )
    found = reproduce.stand_ins(team, table(NAME)[1], scale(scale_name))
    assert bool(found) == fits


def test_a_viewer_launches_nothing(viewer: User, team: Team, images: Dataset) -> None:
    with pytest.raises(PermissionDenied):
        reproduce.launch_lacking(viewer, team, *table(NAME), scale(), images=images)


def test_progress_counts_runs_once(launched: list[Experiment], team: Team) -> None:
    runs = list(launched[0].runs.all())
    end(runs[0])
    end(runs[1], state=State.FAILED)
    _, whole = table(NAME)
    found = reproduce.progress(
        whole, scale(), reproduce.runs_of(team, whole.recipes, scale())
    )
    assert (found.wanted, found.done, found.active, found.failed) == (15, 1, 13, 1)
    assert found.missing == 0
    empty = reproduce.progress(whole, scale(), {})
    assert (empty.wanted, empty.missing, empty.share) == (15, 15, 0.0)


def test_rows_that_cannot_be_run_are_counted() -> None:
    _, whole = table("bdp-4")
    at_paper = reproduce.progress(whole, scale("paper"), {})
    small = reproduce.progress(whole, scale(), {})
    assert at_paper.blocked == 1, "the optimum"
    assert small.blocked == 3, "and the two rows searched on CIFAR-100"


def test_runs_of_a_large_table_take_one_query(
    launched: list[Experiment],
    team: Team,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    reproduce.twins("cpu-small")
    with django_assert_num_queries(1):
        found = reproduce.runs_of(team, table(NAME)[1].recipes, scale())
        assert sum(map(len, found.values())) == 15
        assert {run.job.state for held in found.values() for run in held.values()} == {
            State.QUEUED
        }


def test_a_spec_is_known_as_the_recipe_that_it_is() -> None:
    recipe = find_recipe("bdp-t1-7-3")
    assert recipe is not None
    spec = validate(recipe.spec, check_data=False)
    assert reproduce.recipe_of(spec.with_seed(9)) == ("bdp-t1-7-3", "paper")
    elsewhere = {**recipe.spec, "compute": {"device": "cpu", "threads": 3}}
    same = validate(elsewhere, check_data=False)
    assert reproduce.recipe_of(same) == ("bdp-t1-7-3", "paper")
    other = {**recipe.spec, "method": {"name": "gdas"}}
    assert reproduce.recipe_of(validate(other, check_data=False)) == ("", "")
    digits = find_recipe("bdp-digits")
    assert digits is not None
    spec = validate(digits.spec, check_data=False)
    assert reproduce.recipe_of(spec) == ("bdp-digits", "")


def test_a_stored_spec_carries_what_was_given_and_may_hold_more() -> None:
    given = {
        "dataset": {"name": "cifar10", "classes": ["a"]},
        "stopping": [{"name": "x"}],
    }
    stored = {
        "dataset": {"name": "npz", "path": "p", "classes": ["a"], "per_class": None},
        "stopping": [{"name": "x", "more": 1}],
        "seed": 4,
    }
    assert reproduce.carries(stored, given)
    assert not reproduce.carries({**stored, "stopping": []}, given)
    assert not reproduce.carries({**stored, "dataset": {"classes": ["b"]}}, given)
    assert not reproduce.carries({"seed": 4}, given)
