"""/metrics: the numbers are those of the rows, in the format of Prometheus."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as conf
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from nasweb import live, metrics
from nasweb.pages.metrics import metrics as view
from searchjobs.models import Artefact, Attempt, Job, Queue, Run, Slot, Team, Worker
from searchjobs.states import State
from tests.site.factories import make_run

TOKEN = "a-token-of-prometheus"
Labels = frozenset[tuple[str, str]]


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.NASWEB_METRICS_TOKEN = TOKEN


def scrape(client: Client) -> dict[str, dict[Labels, float]]:
    """Return all samples: name, labels, value."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def labels(**values: str) -> Labels:
    return frozenset(values.items())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 403),
        ("Bearer ", 403),
        ("Bearer ü", 403),
        (f"Basic {TOKEN}", 403),
        ("", 403),
    ],
)
def test_only_the_token_opens_it_without_a_log_in(
    client: Client, header: str, status: int
) -> None:
    given = {"Authorization": header} if header else {}
    assert client.get("/metrics", headers=given).status_code == status


@pytest.mark.django_db
def test_without_a_token_no_header_opens_it(client: Client, settings: Any) -> None:
    settings.NASWEB_METRICS_TOKEN = ""
    answer = client.get("/metrics", headers={"Authorization": "Bearer "})
    assert answer.status_code == 403


@pytest.mark.django_db
def test_queues_tell_their_length_and_their_waiting_time(
    client: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    now = timezone.now()
    runs = [make_run(user, team, cpu_queue, state="queued", seed=n) for n in range(6)]
    jobs = [run.job for run in runs]
    Job.objects.filter(pk=jobs[0].pk).update(queued=now - timedelta(minutes=5))
    Job.objects.filter(pk=jobs[1].pk).update(held=True, queued=now - timedelta(hours=9))
    for job, minutes in zip(jobs[2:], (1, 2, 3, 40), strict=True):
        Job.objects.filter(pk=job.pk).update(
            state=State.RUNNING,
            created=now - timedelta(minutes=50),
            started=now - timedelta(minutes=50 - minutes),
        )
    Queue.objects.create(name="empty", paused=True)
    found = scrape(client)
    assert found["nasweb_jobs"][labels(queue="cpu", state="queued")] == 1
    assert found["nasweb_jobs"][labels(queue="cpu", state="held")] == 1
    assert found["nasweb_jobs"][labels(queue="cpu", state="running")] == 4
    assert found["nasweb_jobs"][labels(queue="empty", state="queued")] == 0
    oldest = found["nasweb_queue_oldest_seconds"]
    assert 300 <= oldest[labels(queue="cpu")] < 330
    assert oldest[labels(queue="empty")] == 0
    assert found["nasweb_queue_paused"][labels(queue="empty")] == 1
    waits = found["nasweb_wait_seconds"]
    assert waits[labels(queue="cpu", quantile="0.5")] == pytest.approx(150)
    assert waits[labels(queue="cpu", quantile="1")] == pytest.approx(2400)
    assert found["nasweb_started_last_hour"][labels(queue="cpu")] == 4


@pytest.mark.django_db
def test_attempts_are_counted_by_how_they_ended(
    client: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    job = make_run(user, team, cpu_queue).job
    outcomes = ["lost", "lost", "memory", "succeeded", "running"]
    for number, outcome in enumerate(outcomes, 1):
        Attempt.objects.create(
            job=job,
            team=team,
            number=number,
            outcome=outcome,
            started=timezone.now(),
            epochs=10,
            events=100 * number,
        )
    Artefact.objects.create(job=job, name="a", fence=1, path="a", size=1000)
    Artefact.objects.create(job=job, name="b", fence=1, path="b", size=234)
    found = scrape(client)
    total = found["nasweb_attempts_total"]
    assert total[labels(outcome="lost")] == 2
    assert total[labels(outcome="memory")] == 1
    assert total[labels(outcome="stalled")] == 0
    assert labels(outcome="running") not in total
    assert found["nasweb_attempts_running"][labels()] == 1
    assert found["nasweb_lease_expiries_total"][labels()] == 2
    assert found["nasweb_events_total"][labels()] == 1500
    assert found["nasweb_epochs_total"][labels()] == 50
    assert found["nasweb_artefact_bytes"][labels()] == 1234
    assert found["nasweb_database_up"][labels()] == 1


@pytest.mark.django_db
def test_workers_and_slots_tell_what_they_do(
    client: Client, user: User, team: Team, cpu_queue: Queue, settings: Any
) -> None:
    now = timezone.now()
    late = now - timedelta(seconds=settings.NASWEB_LEASE_SECONDS + 5)
    alive = Worker.objects.create(
        name="a", started=now, seen=now, disk_free=5, disk_total=9, clock_offset=-0.5
    )
    gone = Worker.objects.create(name="b", started=now, seen=late)
    gpu = {
        "device": "cuda",
        "device_name": "NVIDIA H200",
        "gpu_uuid": "GPU-1",
        "memory_mib": 1000,
        "memory_used_mib": 250,
        "utilisation": 87,
        "temperature": 61,
        "power": 512.5,
    }
    job = make_run(user, team, cpu_queue, state="running").job
    Slot.objects.create(worker=alive, number=0, job=job, **gpu)
    Slot.objects.create(worker=alive, number=1)
    Slot.objects.create(worker=alive, number=2, drain_requested=True)
    Slot.objects.create(worker=gone, number=0, **gpu)
    found = scrape(client)
    slots = found["nasweb_slots"]
    assert slots[labels(device="cuda", state="busy")] == 1
    assert slots[labels(device="cuda", state="lost")] == 1
    assert slots[labels(device="cpu", state="idle")] == 1
    assert slots[labels(device="cpu", state="draining")] == 1
    assert found["nasweb_workers"] == {
        labels(state="alive"): 1,
        labels(state="lost"): 1,
    }
    about = labels(worker="a", slot="0", gpu="NVIDIA H200", uuid="GPU-1")
    expected = {
        "nasweb_gpu_utilisation_ratio": 0.87,
        "nasweb_gpu_memory_used_bytes": 250 * 2**20,
        "nasweb_gpu_memory_bytes": 1000 * 2**20,
        "nasweb_gpu_temperature_celsius": 61,
        "nasweb_gpu_power_watts": 512.5,
    }
    for name, value in expected.items():
        # What a silent worker last told is no longer so.
        assert found[name] == {about: pytest.approx(value)}
    assert found["nasweb_worker_disk_free_bytes"] == {labels(worker="a"): 5}
    assert found["nasweb_worker_clock_offset_seconds"] == {labels(worker="a"): -0.5}
    assert found["nasweb_worker_silent_seconds"][labels(worker="b")] > 60


@pytest.mark.django_db
def test_a_scrape_takes_seven_queries_however_much_there_is(
    client: Client,
    user: User,
    team: Team,
    cpu_queue: Queue,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    now = timezone.now()
    for number in range(4):
        make_run(user, team, cpu_queue, seed=number)
        Queue.objects.create(name=f"q{number}")
        worker = Worker.objects.create(name=f"w{number}", started=now, seen=now)
        Slot.objects.create(worker=worker, number=0)
    with django_assert_num_queries(7):
        scrape(client)


@pytest.mark.django_db
def test_requests_are_counted_by_view_and_never_by_path(
    client: Client, user: User, client_for: Callable[[User], Client]
) -> None:
    client_for(user).get(reverse("experiments:list"))
    client.get("/no/such/page-7f3a/")
    client.generic("INVENTED", "/healthz")
    found = scrape(client)
    counted = found["nasweb_http_requests_total"]
    assert counted[labels(view="experiments:list", method="GET", status="200")] >= 1
    assert counted[labels(view="none", method="GET", status="404")] >= 1
    assert counted[labels(view="healthz", method="other", status="405")] >= 1
    assert not any("7f3a" in value for each in counted for _, value in each)
    seconds = found["nasweb_http_request_seconds_count"]
    assert seconds[labels(view="experiments:list")] >= 1


@pytest.mark.django_db(transaction=True)
def test_queries_of_a_new_connection_are_timed() -> None:
    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.03)")
        connection.close()

    before = metrics.QUERY_SECONDS._sum.get()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert metrics.QUERY_SECONDS._sum.get() - before > 0.03


@pytest.mark.django_db(transaction=True)
def test_open_streams_are_counted_while_they_are_open(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue, finished=1)

    async def watch(run: Run) -> tuple[float, float]:
        async with aclosing(live.stream(run, 0, lambda: True)) as stream:
            await anext(stream)
            inside = metrics.STREAMS._value.get()
        return inside, metrics.STREAMS._value.get()

    before = metrics.STREAMS._value.get()
    inside, after = asyncio.run(watch(run))
    assert (inside - before, after - before) == (1, 0)


def test_while_the_database_is_away_the_process_still_tells_its_own_numbers(
    settings: Any, monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
) -> None:
    def away(*_: Any) -> None:
        from django.db import OperationalError

        raise OperationalError("the server went away")

    monkeypatch.setattr("nasweb.row_metrics._jobs", away)
    answer = view(rf.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}))
    text = answer.content.decode()
    assert "nasweb_database_up 0.0" in text
    assert "nasweb_http_requests_total" in text
    assert "nasweb_jobs" not in text


@pytest.mark.django_db
def test_the_guide_names_the_metrics_that_there_are(client: Client) -> None:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    there = set(re.findall(r"^# HELP (\w+)", answer.content.decode(), re.MULTILINE))
    guide = (conf.BASE_DIR / "docs" / "guide" / "watching.md").read_text()
    named = set(re.findall(r"\bnasweb_[a-z_]+", guide)) - {"nasweb_token"}
    assert {name.removesuffix("_bucket") for name in named} == {
        name for name in there if not name.endswith("_created")
    }
