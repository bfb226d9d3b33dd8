"""The page of a slot: its load of a day, and what ran there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from nasweb.board import load, slots
from nasweb.board.lines import device_words, limit_words, moment_words
from searchjobs.models import Attempt, Job, Queue, Slot, SlotSample, Team, Worker
from searchjobs.slot_names import name_of, slots_of
from tests.jobs.conftest import make_slot
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def slot(db: None) -> Slot:
    name = "NVIDIA A100-SXM4-80GB"
    return make_slot("node1", device="cuda", device_name=name, memory_mib=81920)


def sample(slot: Slot, minutes_ago: float, utilisation: float | None) -> None:
    SlotSample.objects.create(
        slot=slot,
        at=timezone.now() - timedelta(minutes=minutes_ago),
        utilisation=utilisation,
        memory_used_mib=40960,
        temperature=60.0,
    )


def test_the_page_shows_a_day_of_load_and_the_attempts(
    admin_user: User,
    user: User,
    team: Team,
    slot: Slot,
    client_for: Callable[[User], Client],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    queue = Queue.objects.create(name="gpu", device="cuda")
    for minutes, utilisation in ((1, 90.0), (2, 70.0), (600, 10.0), (25 * 60, 1.0)):
        sample(slot, minutes, utilisation)
    for number in range(3):
        run = make_run(
            user, team, queue, name=f"n{number}", spec=digits_spec(3), state="failed"
        )
        began = timezone.now() - timedelta(hours=2)
        Attempt.objects.create(
            job=run.job,
            team=team,
            number=1,
            worker_name="node1",
            slot_name=str(slot),
            started=began,
            ended=began + timedelta(minutes=90),
            outcome=Attempt.Outcome.MEMORY,
        )
    client = client_for(admin_user)
    with django_assert_max_num_queries(8):
        answer = client.get(f"/installation/slots/{slot.pk}/")
    html = answer.content.decode()
    assert html.count("out of memory") == 3
    assert html.count("1 h 30 min") == 3
    figure = answer.context["figures"]["load"]
    curves = {trace["name"]: trace["y"] for trace in figure["data"]}
    assert curves == {
        "utilisation": [10.0, 80.0],
        "memory": [50.0, 50.0],
        "temperature": [60.0, 60.0],
    }
    assert figure["data"][0]["x"] == pytest.approx([-10, 0], abs=0.1)


def ran(user: User, team: Team, slots: list[Slot], name: str, minutes: float) -> None:
    """Add a job that ran on these slots until so many minutes ago."""
    queue, _ = Queue.objects.get_or_create(name="gpu", device="cuda")
    spec = digits_spec(3)
    job = make_run(user, team, queue, name=name, spec=spec, state="failed").job
    ended = timezone.now() - timedelta(minutes=minutes)
    Attempt.objects.create(
        job=job,
        team=team,
        number=1,
        worker_name=slots[0].worker.name,
        slot_name=name_of(slots),
        devices=len(slots),
        started=ended - timedelta(hours=1),
        ended=ended,
    )


def listed(client: Client, slot: Slot) -> list[str]:
    answer = client.get(f"/installation/slots/{slot.pk}/")
    return [each.job.run.experiment.name for each in answer.context["attempts"]]


def test_an_attempt_on_several_slots_stands_under_each_of_them_and_under_no_other(
    admin_user: User,
    user: User,
    team: Team,
    slot: Slot,
    client_for: Callable[[User], Client],
) -> None:
    others = [make_slot("node1", number, device="cuda") for number in (1, 2, 11, 12)]
    elsewhere = make_slot("node12", 2, device="cuda")
    ran(user, team, [others[1], others[3], slot], "three", 30)
    ran(user, team, [others[0]], "one", 20)
    ran(user, team, [others[0], others[1]], "two", 10)
    client = client_for(admin_user)
    assert listed(client, slot) == ["three"]
    assert [listed(client, other) for other in others] == [
        ["two", "one"],
        ["two", "three"],
        [],
        ["three"],
    ]
    assert listed(client, elsewhere) == []
    assert "node1 : 0, 2, 12" in [each.slot_name for each in Attempt.objects.all()]


def test_a_lost_slot_tells_of_the_run_that_it_had_with_others(
    user: User, team: Team, slot: Slot
) -> None:
    second = make_slot("node1", 1, device="cuda")
    third = make_slot("node1", 2, device="cuda")
    silent = timezone.now() - timedelta(hours=1)
    Worker.objects.update(seen=silent)
    ran(user, team, [slot, second], "before", 50)
    ran(user, team, [second], "after", 40)
    Job.objects.filter(run__experiment__name="after").update(state="cancelled")
    told = {row.slot.number: row.lost for row in slots.rows(slots.read(), {team.pk})}
    assert told[0].endswith("its run has failed")
    assert told[1].endswith("its run was cancelled")
    assert told[third.number].endswith("nothing ran there")


def test_the_names_of_slots_are_cut_to_what_an_attempt_can_say() -> None:
    worker = Worker(name="w" * 120)
    name = name_of([Slot(worker=worker, number=number) for number in range(100)])
    assert name == f"{'w' * 120} : 0, 1, 2, 3, 4, 5"
    assert len(slots_of(Attempt(slot_name=name))) == 6


def test_without_a_sample_the_chart_says_so(
    admin_user: User, slot: Slot, client_for: Callable[[User], Client]
) -> None:
    answer = client_for(admin_user).get(f"/installation/slots/{slot.pk}/")
    assert answer.context["figures"]["load"]["empty"]
    assert "Nothing ran here yet" in answer.content.decode()


def test_bars_are_means_of_ninety_seconds_with_gaps_where_nothing_was_said(
    slot: Slot,
) -> None:
    for minutes, utilisation in ((0.2, 100.0), (0.4, 50.0), (3.2, 0.0), (61, 100.0)):
        sample(slot, minutes, utilisation)
    sample(slot, 10, None)
    (found,) = load.last_hour([slot.pk]).values()
    assert found.path == "M148 18v-1h3v1zM156 18v-14h3v14z"
    assert found.words == "Mean utilisation of the last hour: 38 %"
    assert load.last_hour([]) == {}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ""),
        ({"max_running": 1}, "1 slot in all"),
        ({"max_running": 4}, "4 slots in all"),
        (
            {"max_running_team": 3, "max_running_user": 2, "max_disk_gib": 0.5},
            "3 running runs per team, 2 running runs per user, 0.5 GiB per run",
        ),
        ({"max_hours": 1.5}, "1 h 30 min per run"),
    ],
)
def test_limits_in_words(limits: dict[str, float], expected: str) -> None:
    assert limit_words(Queue(name="q", **limits)) == expected


def test_devices_in_words() -> None:
    assert device_words(Queue()) == "CPU"
    assert device_words(Queue(device="cuda")) == "any GPU"
    large = Queue(device="cuda", gpu_pattern="*A100*", min_memory_gib=40)
    assert device_words(large) == "GPUs *A100*, from 40 GiB"


def test_a_moment_of_today_is_a_time_and_another_has_its_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 5, 4, 10, 12, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=13))
    assert moment_words(now) == "10:12"
    before = now.replace(day=3)
    assert moment_words(before) == "3 May 10:12"
    assert moment_words(None) == ""
