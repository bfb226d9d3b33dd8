"""How long jobs waited: each attempt's own wait, whatever became of the job since."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from nasweb.board import waits
from searchjobs import audit, lifecycle
from searchjobs.models import Attempt, AuditEvent, Job, Queue, Team
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
Outcome = Attempt.Outcome
NOW = timezone.now()


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.fixture
def job(user: User, team: Team, cpu_queue: Queue) -> Job:
    """A job that was launched 300 minutes ago."""
    run = make_run(user, team, cpu_queue, spec=digits_spec(3), state="queued")
    Job.objects.filter(pk=run.job_id).update(created=ago(300), queued=ago(300))
    return Job.objects.get(pk=run.job_id)


def tried(job: Job, started: float, ended: float, outcome: str) -> None:
    """Add an attempt from so many minutes ago to so many; its queue has its number
    for a name, so that each wait can be read by itself."""
    number = job.attempts.count() + 1
    Attempt.objects.create(
        job=job,
        team=job.team,
        number=number,
        worker_name="node1",
        queue_name=str(number),
        outcome=outcome,
        started=ago(started),
        ended=ago(ended),
    )


def asked(user: User, verb: str, job: Job, minutes: float) -> None:
    event = audit.record(user, verb, job)
    AuditEvent.objects.filter(pk=event.pk).update(at=ago(minutes))
    Job.objects.filter(pk=job.pk).update(queued=ago(minutes))


def minutes() -> dict[str, float]:
    return {name: round(each / 60, 6) for name, each in waits.medians().items()}


def test_every_wait_counts_also_those_before_a_requeue_or_a_resume(
    user: User, job: Job
) -> None:
    tried(job, 290, 280, Outcome.LOST)
    tried(job, 260, 250, Outcome.PAUSED)
    asked(user, "resume", job, 200)
    tried(job, 170, 160, Outcome.BUSY)
    tried(job, 120, 110, Outcome.FAILED)
    asked(user, "requeue", job, 100)
    tried(job, 50, 40, Outcome.FAILED)
    expected = {"1": 10, "2": 20, "3": 30, "4": 40, "5": 50}
    assert minutes() == expected
    asked(user, "restart", job, 5)
    assert minutes() == expected, "it waits anew, and has waited before all the same"


def test_what_others_asked_for_begins_no_wait_of_this_job(
    user: User, team: Team, job: Job
) -> None:
    other = make_run(user, team, job.queue, spec=digits_spec(3), state="queued").job
    tried(job, 250, 240, Outcome.PAUSED)
    asked(user, "resume", job, 200)
    asked(user, "resume", other, 190)
    event = audit.record(user, "hold", job)
    AuditEvent.objects.filter(pk=event.pk).update(at=ago(180))
    tried(job, 150, 140, Outcome.PAUSED)
    asked(user, "resume", job, 10)
    assert minutes() == {"1": 50, "2": 50}


def test_a_wait_of_which_nobody_knows_the_begin_is_left_out(
    user: User, job: Job
) -> None:
    tried(job, 200, 190, Outcome.PAUSED)
    tried(job, 150, 140, Outcome.PAUSED)
    asked(user, "resume", job, 100)
    assert minutes() == {"1": 100}


def test_the_median_is_that_of_a_queue_and_of_a_day(user: User, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(created=ago(3000), queued=ago(3000))
    tried(job, 2000, 270, Outcome.LOST)
    for started, ended in ((260, 250), (230, 220), (130, 120)):
        tried(job, started, ended, Outcome.LOST)
    Attempt.objects.update(queue_name="cpu")
    assert minutes() == {"cpu": 20}, "of 10, 20 and 90; the first began too long ago"


def test_the_verbs_by_which_jobs_wait_anew_are_those_that_are_looked_for(
    user: User, job: Job
) -> None:
    Job.objects.filter(pk=job.pk).update(state="paused")
    lifecycle.resume(user, job)
    Job.objects.filter(pk=job.pk).update(state="failed")
    lifecycle.requeue(user, job)
    verbs = AuditEvent.objects.filter(object_id=str(job.uuid), object_type="job")
    assert {*verbs.values_list("verb", flat=True)} <= {*waits.ANEW}
    assert verbs.count() == 2
