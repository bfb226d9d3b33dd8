"""The queues page: cards, lines with places and starts, slots; who sees what of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from nasweb.board import lines
from searchjobs.models import Attempt, Job, Queue, Run, Slot, Team, Worker
from searchjobs.states import State
from tests.factories import make_queue, make_team, make_user
from tests.jobs.conftest import make_slot
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
SPEC = digits_spec(epochs=4)
PART = {"HX-Request": "true"}


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def slot(cpu_queue: Queue) -> Slot:
    return make_slot("node1", device_name="CPU, 8 cores")


def attempt_of(job: Job, slot: Slot, seconds: float = 10, **columns: Any) -> Attempt:
    return Attempt.objects.create(
        job=job,
        team=job.team,
        number=1,
        worker_name=slot.worker.name,
        slot_name=str(slot),
        queue_name=job.queue.name,
        device=slot.device,
        device_name=slot.device_name,
        started=timezone.now() - timedelta(seconds=seconds),
        **columns,
    )


def queued(
    user: User, team: Team, queue: Queue, name: str = "run", **columns: Any
) -> Run:
    run = make_run(user, team, queue, name=name, spec=SPEC, state="queued")
    Job.objects.filter(pk=run.job_id).update(**columns)
    return run


def running(
    user: User, team: Team, slot: Slot, name: str = "run", epochs: int = 1
) -> Run:
    queue = Queue.objects.get(device=slot.device)
    run = make_run(user, team, queue, name=name, spec=SPEC, finished=epochs)
    Job.objects.filter(pk=run.job_id).update(worker=slot.worker)
    attempt_of(run.job, slot)
    Slot.objects.filter(pk=slot.pk).update(job=run.job)
    return run


def words(html: str) -> str:
    """Return the text of a page as it is read, blanks drawn together."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def page(client: Client) -> str:
    return words(client.get("/queues/").content.decode())


def names(answer: Any) -> list[str]:
    return [each.job.title for each in answer.context["cards"][0].waiting]


def test_the_line_stands_in_the_order_in_which_slots_take_it(
    user: User, team: Team, cpu_queue: Queue, slot: Slot, client_for: ClientFor
) -> None:
    other = make_team("Others")
    otto = make_user("otto", other)
    attempt_of(make_run(user, team, cpu_queue, state="succeeded").job, slot, 3600)
    queued(user, team, cpu_queue, "late", position=1)
    queued(otto, other, cpu_queue, "fair", position=2)
    queued(user, team, cpu_queue, "high", position=3, priority=10)
    queued(user, team, cpu_queue, "held", position=0, priority=10, held=True)
    answer = client_for(User.objects.create_superuser("root")).get("/queues/")
    order = ["high · seed 1", "fair · seed 1", "late · seed 1", "held · seed 1"]
    assert names(answer) == order
    assert [each.place for each in answer.context["cards"][0].waiting] == [1, 2, 3, 4]


def test_a_long_line_of_one_queue_hides_no_other_queue(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "MOST_WAITING", 2)
    other = make_queue("other")
    for number, queue in enumerate([cpu_queue, cpu_queue, cpu_queue, other]):
        queued(user, team, queue, f"n{number}", position=number)
    answer = client_for(user).get("/queues/")
    assert {
        card.queue.name: (card.waiting_count, [each.place for each in card.waiting])
        for card in answer.context["cards"]
    } == {"cpu": (3, [1, 2]), "other": (1, [1])}
    assert "the first 2 of 3" in answer.content.decode()


def test_a_run_of_another_team_keeps_its_place_but_not_its_name(
    user: User,
    other_team_user: User,
    cpu_queue: Queue,
    slot: Slot,
    client_for: ClientFor,
) -> None:
    theirs = other_team_user.teams.get()
    queued(other_team_user, theirs, cpu_queue, "secret")
    running(other_team_user, theirs, slot, "secret too")
    client = client_for(user)
    for html in (
        client.get("/queues/").content.decode(),
        client.get("/queues/", headers=PART).content.decode(),
    ):
        assert html.count("a run of another team") == 2
        assert "secret" not in html
        assert "otto" not in html
        assert theirs.name not in html


def test_hours_by_team_are_those_of_the_readers_teams(
    user: User,
    team: Team,
    admin: User,
    other_team_user: User,
    slot: Slot,
    client_for: ClientFor,
) -> None:
    theirs = other_team_user.teams.get()
    running(user, team, slot)
    running(other_team_user, theirs, slot)

    def bars(reader: User) -> set[str]:
        figures = client_for(reader).get("/queues/").context["figures"]
        return set(figures["usage"]["data"][0]["x"])

    assert bars(user) == {team.name}
    assert bars(admin) == {team.name, theirs.name}


def test_starts_are_foretold_and_why_not_is_said(
    user: User, team: Team, cpu_queue: Queue, slot: Slot, client_for: ClientFor
) -> None:
    busy = running(user, team, slot)
    progress = {"epoch": 2, "seconds_left": 24 * 60}
    Job.objects.filter(pk=busy.job_id).update(progress=progress)
    first = queued(user, team, cpu_queue, "first", position=1)
    second = queued(user, team, cpu_queue, "second", position=2)
    Run.objects.filter(pk=first.pk).update(epoch=30)
    client = client_for(user)
    text = page(client)
    # Team and author stand there twice: a narrow window shows them under the name.
    who = "Digits · mia Digits · mia"
    assert f"1 first · seed 1 resumes at epoch 31 {who} normal 24 min" in text
    assert "no estimate yet no run like those ahead of it has ended" in text
    head = words(client.get(f"/runs/{first.uuid}/").content.decode())
    assert "Place 1 in the queue cpu; starts in about 24 min." in head
    part = client.get(f"/runs/{second.uuid}/outlook/").content.decode()
    assert "Place 2 in the queue cpu; no estimate yet: no run like those" in part
    assert 'hx-trigger="every 10s"' in part


def test_the_outlook_of_a_run_that_waits_no_more_is_empty_and_asks_no_more(
    user: User, team: Team, slot: Slot, client_for: ClientFor
) -> None:
    run = running(user, team, slot)
    part = client_for(user).get(f"/runs/{run.uuid}/outlook/").content.decode()
    assert "hx-get" not in part
    assert "hidden" in part


def test_a_card_tells_slots_waits_limits_and_who_paused_it(
    user: User, team: Team, admin: User, slot: Slot, client_for: ClientFor
) -> None:
    cpu_queue = Queue.objects.get()
    make_slot("node1", 1)
    run = running(user, team, slot)
    Job.objects.filter(pk=run.job_id).update(
        queued=timezone.now() - timedelta(seconds=10 + 14 * 60)
    )
    queued(user, team, cpu_queue)
    Queue.objects.update(max_running_user=2, max_hours=24, description="short ones")
    client = client_for(user)
    text = page(client)
    assert "cpu ● open 2 slots · 1 busy · 1 waiting · median wait 14 min" in text
    assert "limits: 2 running runs per user, 24 h per run short ones" in text
    at = timezone.now()
    Queue.objects.update(
        paused=True, paused_by=admin, paused_at=at, pause_reason="at noon"
    )
    text = page(client)
    assert f"cpu ❚❚ paused by root, {lines.moment_words(at)}" in text
    assert "1 finishing" in text
    assert "“at noon”" in text


def test_a_slot_tells_what_it_runs_and_its_load(
    user: User, team: Team, slot: Slot, client_for: ClientFor
) -> None:
    running(user, team, slot, "GDAS", epochs=2)
    Slot.objects.update(memory_used_mib=4198, temperature=54.4, power=248.0)
    Worker.objects.update(disk_free=812e9, disk_total=2e12)
    for ago, per_cent in ((30, 100.0), (100, 50.0), (5000, 1.0)):
        at = timezone.now() - timedelta(seconds=ago)
        slot.samples.create(at=at, utilisation=per_cent)
    html = client_for(user).get("/queues/").content.decode()
    assert "node1 : 0 CPU, 8 cores GDAS · seed 1 · epoch 2/4" in words(html)
    assert re.search(r"4\.1 GiB 54 °C 248 W 812 GB \d s", words(html))
    assert "Mean utilisation of the last hour: 75 %" in html
    assert 'd="M152 18v-9h3v9zM156 18v-18h3v18z"' in html


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (State.QUEUED, "its run went back to the queue at epoch 3"),
        (State.RUNNING, "its run goes on elsewhere, now at epoch 3"),
        (State.FAILED, "its run has failed"),
    ],
)
def test_a_lost_worker_is_told_with_what_became_of_its_run(
    user: User,
    team: Team,
    cpu_queue: Queue,
    slot: Slot,
    client_for: ClientFor,
    state: str,
    fate: str,
) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    Worker.objects.update(seen=long_ago)
    run = make_run(user, team, cpu_queue, spec=SPEC, state=state)
    Run.objects.filter(pk=run.pk).update(epoch=3)
    attempt_of(run.job, slot, 900, outcome="lost", ended=timezone.now())
    answer = client_for(user).get("/queues/")
    assert answer.context["cards"][0].slots == 0
    assert f"lost 5 min ago · {fate}" in words(answer.content.decode())


def test_what_became_of_a_run_of_another_team_is_not_told(
    user: User, other_team_user: User, slot: Slot, client_for: ClientFor
) -> None:
    theirs = other_team_user.teams.get()
    Worker.objects.update(seen=timezone.now() - timedelta(minutes=5))
    run = make_run(
        other_team_user, theirs, Queue.objects.get(), spec=SPEC, state=State.FAILED
    )
    attempt_of(run.job, slot, 900, outcome="lost", ended=timezone.now())
    assert "lost 5 min ago · it ran a run of another team" in page(client_for(user))
    assert "its run has failed" in page(client_for(other_team_user))


def test_a_lost_worker_that_still_holds_its_run_or_had_none(
    user: User, team: Team, slot: Slot, client_for: ClientFor
) -> None:
    Worker.objects.update(seen=timezone.now() - timedelta(minutes=5))
    client = client_for(user)
    assert "lost 5 min ago · nothing ran there" in page(client)
    running(user, team, slot)
    assert "its run goes back to the queue when its lease has run out" in page(client)


def test_the_empty_page_says_what_to_do(user: User, client_for: ClientFor) -> None:
    text = page(client_for(user))
    for sentence in ("No queue yet", "Nothing waits", "No worker has ever answered"):
        assert sentence in text
    assert "None was used in 7 days." in text


def test_only_administrators_see_controls(
    user: User,
    team: Team,
    admin: User,
    cpu_queue: Queue,
    slot: Slot,
    client_for: ClientFor,
) -> None:
    queued(user, team, cpu_queue)
    controls = ("data-handle", "data-menu", "job-menu", "/installation/", "<form")
    html = client_for(user).get("/queues/").content.decode()
    main = html[html.index("<main") :]
    assert [control for control in controls if control in main] == []
    html = client_for(admin).get("/queues/").content.decode()
    assert [control for control in controls if control not in html] == []


def test_every_control_of_a_row_has_a_name_of_its_own(
    user: User,
    team: Team,
    admin: User,
    cpu_queue: Queue,
    slot: Slot,
    client_for: ClientFor,
) -> None:
    for name in ("one", "two"):
        queued(user, team, cpu_queue, name)
    html = client_for(admin).get("/queues/").content.decode()
    labels = re.findall(r'aria-label="([^"]+)"', html)
    assert len(labels) == len(set(labels))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_many_jobs_and_slots_need_as_many_queries_as_few(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(4):
        running(user, team, make_slot(f"w{number}"), f"r{number}")
        lost = make_slot(f"l{number}")
        Worker.objects.filter(pk=lost.worker_id).update(
            seen=timezone.now() - timedelta(hours=1)
        )
        queued(user, team, cpu_queue, f"q{number}")
        ended = make_run(user, team, cpu_queue, spec=SPEC, state="succeeded")
        attempt_of(ended.job, lost, outcome="succeeded", ended=timezone.now())
    client = client_for(user)
    with django_assert_max_num_queries(20):
        client.get("/queues/")
    with django_assert_max_num_queries(19):
        client.get("/queues/", headers=PART)
