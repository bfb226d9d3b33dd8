"""The pages of those who maintain the installation show what they promise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from searchjobs.models import Attempt, Job, Queue, Run, Slot, Team, Worker
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(admin_user: User, client_for: Callable[[User], Client]) -> Client:
    return client_for(admin_user)


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(
        user, team, cpu_queue, spec=digits_spec(epochs=3), finished=2, state="queued"
    )


def test_a_jobs_page_tells_of_each_attempt_how_it_ended(
    admin: Client, run: Run
) -> None:
    began = timezone.now() - timedelta(hours=2)
    Attempt.objects.create(
        job=run.job,
        team=run.job.team,
        number=1,
        worker_name="node3",
        slot_name="node3 : 1",
        host="node3.lab",
        device="cuda",
        device_name="NVIDIA A100",
        devices=2,
        epochs=7,
        outcome=Attempt.Outcome.MEMORY,
        detail="The GPU has too little memory.",
        started=began,
        ended=began + timedelta(minutes=90),
    )
    html = admin.get(f"/installation/jobs/{run.job.uuid}/").content.decode()
    for told in (
        *("node3 : 1", "node3.lab", "NVIDIA A100", "out of memory"),
        "The GPU has too little memory.",
    ):
        assert told in html


def test_the_usage_page_tells_hours_by_team(admin: Client, run: Run) -> None:
    began = timezone.now() - timedelta(hours=2)
    Attempt.objects.create(
        job=run.job,
        team=run.job.team,
        number=1,
        worker_name="node3",
        device="cuda",
        devices=2,
        started=began,
        ended=began + timedelta(minutes=90),
    )
    answer = admin.get("/installation/usage/")
    assert answer.context["totals"]["cuda"]["Digits"] == pytest.approx(3)
    assert answer.context["days"] == 7
    assert "<strong>3.0 h</strong>" in answer.content.decode()
    for days in ("0", "many", "99999"):
        assert admin.get(f"/installation/usage/?days={days}").status_code == 200


def test_a_held_run_is_shown_as_held_and_says_why(
    run: Run, user: User, client_for: Callable[[User], Client]
) -> None:
    Job.objects.filter(pk=run.job_id).update(held=True, hold_reason="disk is full")
    Run.objects.filter(pk=run.pk).update(epoch=0)
    client = client_for(user)
    html = client.get(f"/runs/{run.uuid}/").content.decode()
    assert 'data-live="label">held</span>' in html
    assert "holds the run back (“disk is full”)" in html
    table = client.get(f"/experiments/{run.experiment.uuid}/runs/").content.decode()
    assert "</span>held</span>" in table


def test_a_hold_of_a_job_that_does_not_wait_is_not_shown_as_its_state(
    run: Run, user: User, client_for: Callable[[User], Client]
) -> None:
    Job.objects.filter(pk=run.job_id).update(held=True, state="paused")
    html = client_for(user).get(f"/runs/{run.uuid}/").content.decode()
    assert 'data-live="label">paused</span>' in html


def test_workers_and_queues_need_as_many_queries_for_many_jobs_as_for_few(
    admin: Client,
    user: User,
    team: Team,
    cpu_queue: Queue,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    now = timezone.now()
    for number in range(6):
        run = make_run(
            user, team, cpu_queue, name=f"n{number}", spec=digits_spec(epochs=3)
        )
        worker = Worker.objects.create(name=f"w{number}", started=now, seen=now)
        Slot.objects.create(worker=worker, number=0, job=run.job)
        make_run(
            user,
            team,
            cpu_queue,
            name=f"q{number}",
            spec=digits_spec(epochs=3),
            state="queued",
        )
    for path in ("", "workers/", "queues/cpu/"):
        with django_assert_max_num_queries(16):
            assert admin.get(f"/installation/{path}").status_code == 200
