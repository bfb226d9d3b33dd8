"""The list of experiments and the page of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from searchjobs.models import AuditEvent, Experiment, Job, Queue, Run, Team
from tests.factories import make_team
from tests.site.factories import digits_spec, import_table, make_run

pytestmark = pytest.mark.django_db
LIST = "/experiments/"


@pytest.fixture
def member(user: User, client_for: Callable[[User], Client]) -> Client:
    return client_for(user)


@pytest.fixture
def make(user: User, team: Team, cpu_queue: Queue) -> Callable[..., Run]:
    spec = digits_spec(epochs=3)

    def made(name: str, state: str = "running", **more: Any) -> Run:
        run = make_run(user, team, cpu_queue, name=name, spec=spec, state=state)
        if more:
            Experiment.objects.filter(pk=run.experiment_id).update(**more)
        return run

    return made


def names(client: Client, **query: Any) -> list[str]:
    page = client.get(LIST, query).context["experiments"]
    return [each["experiment"].name for each in page]


def test_the_newest_experiment_comes_first(member: Client, make: Any) -> None:
    for name in ("one", "two"):
        make(name)
    assert names(member) == ["two", "one"]


def test_text_tag_and_state_narrow_the_list(member: Client, make: Any) -> None:
    make("BDP on digits", "succeeded", tags=["bdp", "table-4"])
    make("DARTS alone", "failed", notes="collapsed as the paper says")
    assert names(member, q="bdp") == ["BDP on digits"]
    assert names(member, q="collapsed") == ["DARTS alone"]
    assert names(member, tag="table-4") == ["BDP on digits"]
    assert names(member, state="failed") == ["DARTS alone"]
    assert names(member, state="failed", q="bdp") == []
    assert len(names(member, state="nonsense")) == 2


def test_pages_keep_the_filter_in_the_address(
    member: Client, user: User, team: Team
) -> None:
    spec = digits_spec(epochs=3)
    Experiment.objects.bulk_create(
        Experiment(
            team=team,
            name=f"number {n}",
            spec=spec.model_dump(mode="json"),
            fingerprint="f" * 16,
            seeds=[1],
            author=user,
        )
        for n in range(30)
    )
    first = member.get(LIST, {"q": "number"})
    assert len(first.context["experiments"]) == 25
    assert "?q=number&amp;page=2" in first.content.decode()
    assert len(names(member, q="number", page=2)) == 5
    assert len(names(member, page="beyond")) == 25


def test_the_list_needs_as_many_queries_for_many_as_for_one(
    member: Client, make: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        make(f"number {number}")
    with django_assert_max_num_queries(12):
        member.get(LIST)


def test_the_list_is_of_the_team_that_is_chosen(
    member: Client, user: User, make: Any, cpu_queue: Queue
) -> None:
    second = make_team("Zeta")
    second.memberships.create(user=user)
    make("ours")
    make_run(user, second, cpu_queue, name="theirs")
    assert names(member) == ["ours"]
    member.post(reverse("team-switch"), {"team": second.pk})
    assert names(member) == ["theirs"]
    member.post(reverse("team-switch"), {"team": "99999"})
    assert names(member) == ["theirs"]


def test_an_empty_list_says_why(member: Client, make: Any) -> None:
    html = member.get(LIST).content.decode()
    assert "Nobody in Digits has launched a search." in html
    make("one")
    html = member.get(LIST, {"q": "zzz"}).content.decode()
    assert "No experiment fits the filter" in html


def page_of(run: Run) -> str:
    return reverse("experiments:detail", args=[run.experiment.uuid])


def test_seeds_stand_side_by_side_with_mean_deviation_and_n(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    first = make_run(user, team, cpu_queue, finished=2, state="succeeded")
    experiment = first.experiment
    values = {first.architecture.encoding: 90.0} if first.architecture else {}
    for seed in (2, 3):
        run = make_run(
            user,
            team,
            cpu_queue,
            seed=seed,
            finished=2,
            state="succeeded",
            experiment=experiment,
        )
        assert run.architecture is not None
        values.setdefault(run.architecture.encoding, 90.0 + seed)
    import_table(values)
    answer = member.get(page_of(first))
    summary = answer.context["summary"]
    assert summary.n == 3
    html = answer.content.decode()
    assert "mean ± std, n = 3" in html
    assert "CIFAR-10" in html
    assert "ImageNet16-120" in html
    assert "Compare seeds" in html


def test_without_a_table_the_page_says_how_to_import_one(
    member: Client, make: Any
) -> None:
    html = member.get(page_of(make("one"))).content.decode()
    assert "manage.py import_nasbench201 PATH" in html
    assert "inherited weights" in html


def test_a_failed_run_shows_its_sentence(member: Client, make: Any) -> None:
    run = make("one", "failed")
    Job.objects.filter(pk=run.job_id).update(error="The disk is full; free some space.")
    assert (
        "The disk is full; free some space."
        in member.get(page_of(run)).content.decode()
    )


def test_the_table_asks_again_only_while_a_run_is_under_way(
    member: Client, make: Any
) -> None:
    running, over = make("one"), make("two", "succeeded")
    where = reverse("experiments:runs", args=[running.experiment.uuid])
    assert "every 5s" in member.get(where).content.decode()
    where = reverse("experiments:runs", args=[over.experiment.uuid])
    assert "every 5s" not in member.get(where).content.decode()


def test_name_tags_and_notes_can_be_changed_and_the_change_is_written_down(
    member: Client, make: Any
) -> None:
    run = make("old name")
    where = reverse("experiments:edit", args=[run.experiment.uuid])
    member.post(where, {"name": "new name", "tags": "a, b,, a", "notes": " seen "})
    run.experiment.refresh_from_db()
    experiment = run.experiment
    found = (experiment.name, experiment.tags, experiment.notes)
    assert found == ("new name", ["a", "b"], "seen")
    event = AuditEvent.objects.get(verb="edit")
    assert event.before["name"] == "old name"
    assert event.after["name"] == "new name"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": " "}, "Give the experiment a name."),
        ({"name": "n" * 121}, "Use at most 120 characters in a name."),
        ({"name": "fine", "tags": "t" * 41}, "between 1 and 40 characters"),
    ],
)
def test_a_wrong_name_or_tag_changes_nothing(
    member: Client, make: Any, given: dict[str, str], sentence: str
) -> None:
    run = make("old name")
    where = reverse("experiments:edit", args=[run.experiment.uuid])
    html = member.post(where, given, follow=True).content.decode()
    assert sentence in html
    run.experiment.refresh_from_db()
    assert run.experiment.name == "old name"


def test_cancel_all_ends_what_waits_and_asks_what_runs(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = digits_spec(epochs=3)
    first = make_run(user, team, cpu_queue, spec=spec, state="queued")
    for seed, state in ((2, "running"), (3, "succeeded")):
        make_run(
            user,
            team,
            cpu_queue,
            seed=seed,
            spec=spec,
            state=state,
            experiment=first.experiment,
        )
    where = reverse("experiments:cancel", args=[first.experiment.uuid])
    html = member.post(where, follow=True).content.decode()
    assert "2 runs are being cancelled." in html
    jobs = Job.objects.order_by("run__seed").values_list("state", "cancel_requested")
    assert list(jobs) == [
        ("cancelled", True),
        ("running", True),
        ("succeeded", False),
    ]


def test_a_spec_of_an_experiment_is_shown_whole(member: Client, make: Any) -> None:
    html = member.get(page_of(make("one"))).content.decode()
    assert "recipe: adl" in html
    assert "epochs: 3" in html
