"""Home, queues, accounts and the health check."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from nasweb.pages import queues
from searchjobs.models import AuditEvent, Job, Queue, Slot, Team, Worker
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


def test_the_queue_shows_jobs_in_the_order_in_which_slots_take_them(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    spec = digits_spec(epochs=3)
    order = [("late", 0, 9), ("first", 10, 5), ("early", 0, 1)]
    for name, priority, position in order:
        run = make_run(user, team, cpu_queue, name=name, spec=spec, state="queued")
        Job.objects.filter(pk=run.job_id).update(priority=priority, position=position)
    card = client_for(user).get("/queues/").context["cards"][0]
    names = [each.job.run.experiment.name for each in card.waiting]
    assert names == ["first", "early", "late"]


def test_a_long_line_of_one_queue_hides_no_other_queue(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "MOST_WAITING", 2)
    spec = digits_spec(epochs=3)
    other = Queue.objects.create(name="other")
    for seed, queue in enumerate([cpu_queue, cpu_queue, cpu_queue, other]):
        make_run(user, team, queue, name=f"n{seed}", spec=spec, state="queued")
    cards = client_for(user).get("/queues/").context["cards"]
    assert {
        card.queue.name: (card.waiting_count, [each.place for each in card.waiting])
        for card in cards
    } == {"cpu": (3, [1, 2]), "other": (1, [1])}


def test_a_job_of_another_team_keeps_its_place_but_not_its_name(
    user: User, other_team_user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    theirs = other_team_user.teams.get()
    make_run(other_team_user, theirs, cpu_queue, name="secret", state="queued")
    html = client_for(user).get("/queues/").content.decode()
    assert "a run of another team" in html
    assert "secret" not in html
    assert "otto" not in html


def test_a_worker_that_does_not_answer_is_lost_and_its_slots_do_not_count(
    user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    make_worker(cpu_queue, seconds_ago=0, slots=2)
    make_worker(cpu_queue, seconds_ago=300, slots=4)
    answer = client_for(user).get("/queues/")
    assert answer.context["cards"][0].slots == 2
    assert "lost, 5 min ago" in answer.content.decode()


def test_an_admin_pauses_a_queue_with_a_reason_and_opens_it_again(
    cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(User.objects.create_superuser("root"))
    where = f"/installation/queues/{cpu_queue.name}"
    html = client.post(f"{where}/pause/", {"reason": "new driver"}, follow=True)
    assert "“new driver”" in html.content.decode()
    cpu_queue.refresh_from_db()
    assert cpu_queue.paused
    client.post(f"{where}/resume/")
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.pause_reason) == (False, "")
    verbs = AuditEvent.objects.order_by("at").values_list("verb", flat=True)
    assert list(verbs) == ["pause", "resume"]


def test_queues_need_as_many_queries_for_many_jobs_as_for_few(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    spec = digits_spec(epochs=3)
    worker = make_worker(cpu_queue)
    for seed, state in enumerate(["queued"] * 6 + ["running"] * 4):
        run = make_run(user, team, cpu_queue, name=f"n{seed}", spec=spec, state=state)
        if state == "running":
            Job.objects.filter(pk=run.job_id).update(worker=worker)
    client = client_for(user)
    with django_assert_max_num_queries(12):
        client.get("/queues/")


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
