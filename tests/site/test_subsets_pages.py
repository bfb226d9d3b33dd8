"""The pages of subsets: made from the launch form, shown, used, team by team."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from nasweb import spec_form
from searchjobs.claims import claim
from searchjobs.engine.subset import make_subset
from searchjobs.engine.subset_spec import SubsetSpec
from searchjobs.models import AuditEvent, Job, Queue, Subset, Team
from searchjobs.queueing import end
from searchjobs.states import State
from searchjobs.subset_recording import SubsetRecording
from searchjobs.subsets import launch_subset
from tests.jobs.conftest import make_slot

pytestmark = pytest.mark.django_db

CHOICE = {
    "dataset": {"name": "digits"},
    "selection": {"name": "class-random", "keep_train": 0.25},
    "compute": {"device": "cpu"},
}
Log = Callable[[User], Client]


@pytest.fixture
def subset(user: User, team: Team, cpu_queue: Queue) -> Subset:
    return launch_subset(user, team, "A quarter of the digits", CHOICE)


@pytest.fixture
def made(subset: Subset, tmp_path: Path) -> Subset:
    """A subset whose job has ended, as a worker records it."""
    taken = claim(make_slot())
    assert taken is not None
    recording = SubsetRecording(taken)
    for event in make_subset(SubsetSpec.model_validate(subset.spec), tmp_path):
        recording.record(event)
    assert recording.finished
    end(taken.job_id, taken.fence, State.SUCCEEDED, "succeeded", error="")
    subset.refresh_from_db()
    return subset


def test_the_launch_form_makes_a_subset_of_what_stands_in_it(
    client_for: Log, user: User, team: Team, cpu_queue: Queue
) -> None:
    chosen = {"selection.name": "class-random", "dataset.name": "digits"}
    values = spec_form.defaults(chosen) | {"selection.keep_train": "0.5"}
    answer = client_for(user).post(
        reverse("subsets:new"), {**values, "seeds": "7, 8", "compute.device": "cpu"}
    )
    subset = Subset.objects.get()
    assert answer["Location"] == reverse("subsets:detail", args=[subset.uuid])
    assert subset.spec["selection"]["keep_train"] == 0.5
    assert (subset.spec["seed"], subset.spec["whole"]) == (7, False)
    assert subset.job.kind == Job.Kind.SUBSET
    assert AuditEvent.objects.filter(verb="make subset").count() == 1


def test_a_choice_that_cannot_be_made_comes_back_with_its_sentence(
    client_for: Log, user: User, team: Team, cpu_queue: Queue
) -> None:
    values = spec_form.defaults({"selection.name": "random"})
    values |= {"selection.keep_train": "0.0001", "seeds": "1"}
    answer = client_for(user).post(reverse("subsets:new"), values)
    assert "a batch needs at least two; keep a larger share" in answer.content.decode()
    assert not Subset.objects.exists()


def test_the_page_tells_what_stays_and_how_it_was_chosen(
    client_for: Log, user: User, made: Subset
) -> None:
    text = client_for(user).get(reverse("subsets:detail", args=[made.uuid]))
    page = text.content.decode()
    kept = made.sets["T"]["after"]
    assert f"{kept} <small>of 898</small>" in page
    assert "Random samples of each class (CC-RS)" in page
    assert made.data_fingerprint in page
    assert "scores-T" in page
    assert "scores-V" not in page


def test_a_finished_subset_leads_to_a_launch_form_that_names_it(
    client_for: Log, user: User, made: Subset
) -> None:
    client = client_for(user)
    assert f"?subset={made.uuid}" in (
        client.get(reverse("subsets:detail", args=[made.uuid])).content.decode()
    )
    form = client.get(reverse("experiments:new"), {"subset": str(made.uuid)})
    page = form.content.decode()
    assert f'<option value="{made.uuid}" selected>{made.name}</option>' in page


def test_the_state_is_drawn_anew_until_the_job_has_ended(
    client_for: Log, user: User, subset: Subset
) -> None:
    client, address = client_for(user), reverse("subsets:status", args=[subset.uuid])
    waiting = client.get(address)
    assert 'hx-trigger="every 2s"' in waiting.content.decode()
    assert "HX-Refresh" not in waiting
    client.post(reverse("work:act", args=[subset.job.uuid, "cancel"]))
    subset.job.refresh_from_db()
    assert subset.job.state == State.CANCELLED
    assert client.get(address)["HX-Refresh"] == "true"


def test_for_another_team_there_is_no_such_subset(
    client_for: Log, other_team_user: User, made: Subset
) -> None:
    client = client_for(other_team_user)
    for address in (
        reverse("subsets:detail", args=[made.uuid]),
        reverse("subsets:status", args=[made.uuid]),
        f"{reverse('experiments:new')}?subset={made.uuid}",
    ):
        assert client.get(address).status_code == 404
    verb = client.post(reverse("work:act", args=[made.job.uuid, "cancel"]))
    assert verb.status_code == 404
    assert made.name not in client.get(reverse("subsets:list")).content.decode()


def test_a_viewer_sees_a_subset_and_may_not_stop_or_make_one(
    client_for: Log, viewer: User, subset: Subset
) -> None:
    client = client_for(viewer)
    page = client.get(reverse("subsets:detail", args=[subset.uuid]))
    assert page.status_code == 200
    assert "Cancel" not in page.content.decode()
    verb = client.post(reverse("work:act", args=[subset.job.uuid, "cancel"]))
    assert verb.status_code == 403
    assert client.post(reverse("subsets:new"), {}).status_code == 403


def test_the_list_asks_as_often_for_many_as_for_one(
    client_for: Log,
    user: User,
    team: Team,
    subset: Subset,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, address = client_for(user), reverse("subsets:list")
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        assert client.get(address).status_code == 200
    assert len(few) <= 6
    for number in range(5):
        launch_subset(user, team, f"another {number}", CHOICE)
    with django_assert_num_queries(len(few)):
        client.get(address)
