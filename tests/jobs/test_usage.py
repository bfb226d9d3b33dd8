"""Device hours by day and team, from attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from searchjobs.models import Attempt, Job, Queue, Team
from searchjobs.usage import device_hours, totals
from tests.factories import make_team

pytestmark = pytest.mark.django_db

#: The moment of each question: a fixed one, so that no midnight falls between the rows
#: of a test and its question.
NOW = datetime(2026, 3, 5, 15, 30, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0)
#: Noon of the day before.
NOON = MIDNIGHT - timedelta(hours=12)


@pytest.fixture
def job(user: User, team: Team, cpu_queue: Queue) -> Job:
    return Job.objects.create(
        team=team, author=user, spec={}, queue=cpu_queue, queued=NOON
    )


def attempt(
    job: Job, started: datetime, hours: float | None, device: str = "cpu", n: int = 1
) -> None:
    Attempt.objects.create(
        job=job,
        team=job.team,
        number=job.attempts.count() + 1,
        worker_name="w",
        device=device,
        devices=n,
        started=started,
        ended=None if hours is None else started + timedelta(hours=hours),
    )


def used(days: int = 7) -> list[tuple[int, str, str, float]]:
    """Return rows with the day as days before that of the question."""
    return [
        ((NOW.date() - row.day).days, row.team, row.device, round(row.hours, 6))
        for row in device_hours(days, NOW)
    ]


def test_hours_count_for_each_device_of_an_attempt(job: Job) -> None:
    attempt(job, NOON, 1.5, "cuda", n=4)
    attempt(job, NOON + timedelta(hours=2), 1, "cuda")
    attempt(job, NOON, 2, "cpu")
    assert used() == [(1, "Digits", "cpu", 2.0), (1, "Digits", "cuda", 7.0)]


def test_an_attempt_over_midnight_counts_on_both_days(job: Job) -> None:
    attempt(job, MIDNIGHT - timedelta(days=1, hours=3), 4)
    assert used() == [(2, "Digits", "cpu", 3.0), (1, "Digits", "cpu", 1.0)]


def test_what_lies_before_the_window_counts_no_more(job: Job) -> None:
    attempt(job, MIDNIGHT - timedelta(days=7), 1)
    attempt(job, MIDNIGHT - timedelta(days=6, hours=2), 3)
    assert used() == [(6, "Digits", "cpu", 1.0)]
    assert used(days=8) == [(7, "Digits", "cpu", 3.0), (6, "Digits", "cpu", 1.0)]


def test_what_runs_counts_up_to_the_moment_of_the_question(job: Job) -> None:
    attempt(job, NOW - timedelta(minutes=30), None)
    assert used() == [(0, "Digits", "cpu", 0.5)]


def test_the_moment_of_the_question_is_now_if_none_is_given(job: Job) -> None:
    attempt(job, timezone.now() - timedelta(minutes=30), None)
    hours = sum(row.hours for row in device_hours())
    assert hours == pytest.approx(0.5, abs=0.01)


def test_what_began_by_a_clock_ahead_of_ours_counts_nothing_yet(job: Job) -> None:
    attempt(job, NOW + timedelta(seconds=5), None)
    assert used() == [(0, "Digits", "cpu", 0.0)]


def test_teams_are_told_apart_and_the_most_comes_first(job: Job, user: User) -> None:
    others = Job.objects.create(
        team=make_team("Others"),
        author=user,
        spec={},
        queue=job.queue,
        queued=NOON,
    )
    attempt(job, NOON, 1)
    attempt(others, NOON, 2)
    attempt(others, NOON, 1, "cuda")
    found = totals(device_hours(now=NOW))
    assert {device: list(teams) for device, teams in found.items()} == {
        "cpu": ["Others", "Digits"],
        "cuda": ["Others"],
    }
    assert found["cpu"]["Others"] == pytest.approx(2)


def test_one_query_is_enough(
    job: Job, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    attempt(job, NOON, 1)
    with django_assert_num_queries(1):
        device_hours(30, NOW)
