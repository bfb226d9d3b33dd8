from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from searchjobs.engine.problems import SpecError
from searchjobs.engine.seeds import MAX_SEEDS, parse_seeds
from searchjobs.engine.spec import SearchSpec
from searchjobs.launch import clone, launch
from searchjobs.models import (
    AuditEvent,
    Experiment,
    Job,
    Membership,
    Queue,
    Run,
    Team,
)
from searchjobs.states import State
from tests.factories import make_queue
from tests.jobs.conftest import Launch, make_slot, tiny

pytestmark = pytest.mark.django_db


def sentences(error: SpecError) -> dict[str, str]:
    return {problem.field: problem.sentence for problem in error.problems}


def test_a_launch_makes_a_run_and_a_queued_job_for_each_seed(
    launched: Launch, user: User, cpu_queue: Queue
) -> None:
    jobs = launched(seeds=(3, 1, 2), tags=["digits "], notes="why not")
    assert [job.spec["seed"] for job in jobs] == [3, 1, 2]
    assert {job.state for job in jobs} == {State.QUEUED}
    assert {job.queue for job in jobs} == {cpu_queue}
    assert [job.run.seed for job in jobs] == [3, 1, 2]
    experiment = jobs[0].run.experiment
    assert experiment.spec["training"]["epochs"] == 3
    assert experiment.tags == ["digits"]
    run = jobs[0].run
    assert (run.epochs, run.epoch) == (3, 0)
    assert run.plan["remaining"]["T"] == [100, 100, 90, 90]
    assert run.baseline_units == run.plan["baseline_units"] > 0
    event = AuditEvent.objects.get(verb="launch")
    assert (event.actor, event.object_id) == (user, str(experiment.uuid))


def test_the_fingerprint_leaves_the_seed_out(launched: Launch) -> None:
    first, second = launched(seeds=(1,))[0], launched(seeds=(2,))[0]
    assert first.run.experiment.fingerprint == second.run.experiment.fingerprint
    assert first.spec != second.spec


def test_a_launch_of_many_seeds_takes_no_more_queries(
    user: User,
    team: Team,
    cpu_queue: Queue,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_max_num_queries(9):
        launch(user, team, "many", tiny(), list(range(50)))
    assert Run.objects.count() == 50


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1, 2, 3", [1, 2, 3]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("7 3", [7, 3]),
        ("1 - 3, 9", [1, 2, 3, 9]),
        ("0", [0]),
    ],
)
def test_seeds_are_read_as_people_write_them(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a,b",
            "Seeds are whole numbers such as 1, 2, 3 or a range such as 1-5; "
            "'a' is none.",
        ),
        ("", "you gave none."),
        ("-1", "'-1' is none."),
        ("1.5", "'1.5' is none."),
        ("5-1", "The range 5-1 runs backwards; write 1-5."),
        ("1-101", "101 seeds are more than the 100"),
        ("1, 2, 1", "Seed 1 stands there twice"),
        ("4294967296", "A seed lies between 0 and 4294967295; 4294967296 does not."),
    ],
)
def test_wrong_seeds_are_told_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as said:
        parse_seeds(text)
    assert sentence in sentences(said.value)["seeds"]


def test_all_that_is_wrong_is_told_at_once_and_no_row_is_made(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = tiny(weight_lr=-1)
    with pytest.raises(SpecError) as said:
        launch(user, team, "  ", spec, list(range(MAX_SEEDS + 1)))
    found = sentences(said.value)
    assert set(found) == {"name", "seeds", "training.weight_lr"}
    with pytest.raises(SpecError) as alone:
        launch(user, team, "named", spec, [1])
    assert sentences(alone.value)["training.weight_lr"] == found["training.weight_lr"]
    assert not Experiment.objects.exists()
    assert not Job.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_clone_launches_the_same_again(
    launched: Launch, user: User, team: Team
) -> None:
    (job,) = launched(tags=["a"], notes="n")
    draft = clone(user, job.run.experiment)
    again = launch(user, team, draft.name, draft.spec, draft.seeds, tags=draft.tags)
    assert again.fingerprint == job.run.experiment.fingerprint
    assert again.runs.get().job.spec == job.spec


def test_a_spec_for_a_gpu_does_not_go_to_a_queue_of_cpus(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = {**tiny(), "compute": {"device": "cuda"}}
    with pytest.raises(SpecError) as said:
        launch(user, team, "gpu", spec, [1], queue=cpu_queue)
    assert "change one of them" in sentences(said.value)["queue"]
    assert launch(user, team, "gpu", spec, [1]).runs.get().job.queue.device == "cuda"


def test_auto_takes_a_gpu_that_a_living_worker_offers(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = SearchSpec.model_validate({**tiny(), "compute": {"device": "auto"}})
    gpu = make_queue("gpu", Queue.Device.GPU)
    without = launch(user, team, "auto", spec, [1])
    assert without.runs.get().job.queue == cpu_queue
    make_slot(device=Queue.Device.GPU)
    assert launch(user, team, "auto", spec, [1]).runs.get().job.queue == gpu


@pytest.mark.parametrize("who", ["maintainer", "admin_user"])
def test_a_maintainer_and_an_administrator_launch_at_high_priority(
    launched: Launch, who: str, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(who)
    (job,) = launched(actor=actor, priority=Job.Priority.HIGH)
    assert job.priority == Job.Priority.HIGH


def test_a_member_launches_at_low_and_normal_priority_only(
    launched: Launch, user: User
) -> None:
    (job,) = launched(priority=Job.Priority.LOW)
    assert job.priority == Job.Priority.LOW
    with pytest.raises(SpecError) as refused:
        launched(priority=Job.Priority.HIGH)
    assert "Only maintainers of the team" in sentences(refused.value)["priority"]
    assert Job.objects.count() == 1


def test_a_maintainer_of_another_team_has_no_high_priority_here(
    launched: Launch, team: Team, other_team_user: User
) -> None:
    Membership.objects.create(team=team, user=other_team_user)
    with pytest.raises(SpecError, match="Only maintainers of the team"):
        launched(actor=other_team_user, priority=Job.Priority.HIGH)
