"""Home, queues, accounts and the health check."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from searchjobs.models import Queue, Slot, Team, Worker
from tests.factories import PASSWORD
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


def make_worker(queue: Queue, seconds_ago: int = 0, slots: int = 2) -> Worker:
    seen = timezone.now() - timedelta(seconds=seconds_ago)
    worker = Worker.objects.create(
        name=f"node{seconds_ago}", only_queues=[queue.name], started=seen, seen=seen
    )
    Slot.objects.bulk_create(
        Slot(worker=worker, number=number, device=queue.device)
        for number in range(slots)
    )
    return worker


def test_home_shows_what_runs_and_what_came_out(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    make_run(user, team, cpu_queue, name="under way", finished=5)
    make_run(user, team, cpu_queue, name="done", finished=2, state="succeeded")
    html = client_for(user).get("/").content.decode()
    assert "under way · seed 1" in html
    assert "epoch 5 of 20" in html
    assert "done · seed 1" in html


def test_home_needs_as_many_queries_for_many_runs_as_for_few(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    spec = digits_spec(epochs=3)
    for number in range(10):
        state = "succeeded" if number % 2 else "running"
        make_run(user, team, cpu_queue, name=f"n{number}", spec=spec, state=state)
    client = client_for(user)
    with django_assert_max_num_queries(14):
        client.get("/")


def test_home_says_why_nothing_runs(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(user)
    assert "none waits" in client.get("/").content.decode()
    make_run(user, team, cpu_queue, state="queued")
    html = client.get("/now/").content.decode()
    assert "1 job waits, but no worker answers." in html
    make_worker(cpu_queue)
    html = client.get("/now/").content.decode()
    assert "1 job waits in the queues." in html


def test_home_hides_the_runs_of_other_teams(
    user: User, other_team_user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    make_run(other_team_user, other_team_user.teams.get(), cpu_queue, name="secret")
    assert "secret" not in client_for(user).get("/").content.decode()


def test_a_user_without_a_team_is_told_whom_to_ask(client_for: ClientFor) -> None:
    html = client_for(User.objects.create_user("lonely")).get("/").content.decode()
    assert "You are in no team yet" in html


def test_logging_in_leads_to_where_one_wanted_to_go(user: User, client: Client) -> None:
    where = client.get("/queues/")["Location"]
    given = {"username": "mia", "password": PASSWORD, "next": "/queues/"}
    assert client.post(where, given)["Location"] == "/queues/"


def test_a_wrong_password_is_told_in_a_sentence(user: User, client: Client) -> None:
    given = {"username": "mia", "password": "wrong"}
    html = client.post("/accounts/login/", given).content.decode()
    assert "enter a correct username and password" in html


def test_log_in_never_leads_to_another_site(user: User, client: Client) -> None:
    given = {"username": "mia", "password": PASSWORD, "next": "//elsewhere.example/"}
    assert client.post("/accounts/login/", given)["Location"] == "/"


def test_logging_out_ends_the_session(user: User, client_for: ClientFor) -> None:
    client = client_for(user)
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


def test_the_password_can_be_changed(user: User, client_for: ClientFor) -> None:
    client = client_for(user)
    fresh = "a wholly new secret 7"
    given = {
        "old_password": PASSWORD,
        "new_password1": fresh,
        "new_password2": fresh,
    }
    answer = client.post("/accounts/password/", given, follow=True)
    assert "Your new password is in force" in answer.content.decode()
    user.refresh_from_db()
    assert user.check_password(fresh)


def test_a_part_of_a_page_whose_session_has_ended_loads_the_page_anew(
    client: Client,
) -> None:
    answer = client.get("/now/", headers={"HX-Request": "true"}, follow=True)
    assert answer.headers["HX-Refresh"] == "true"


def test_health_tells_what_answers_without_a_log_in(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["database"], told["redis"]) == ("ok", "ok")
    assert told["version"]


@override_settings(REDIS_URL="redis://127.0.0.1:1/0")
def test_without_redis_the_site_is_up_and_says_what_is_missing(
    client: Client,
) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["redis"] == "unreachable"
