"""Again from the start: what was found is dropped, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile

from searchjobs import lifecycle
from searchjobs.artefacts import storage
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import (
    Artefact,
    AuditEvent,
    DatasetStatistics,
    EpochRecord,
    Job,
    Queue,
    Run,
    Team,
)
from searchjobs.restart import restart
from searchjobs.searches import SUMMARY
from searchjobs.states import State
from tests.site.factories import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(user: User, team: Team, cpu_queue: Queue) -> Job:
    """A search that failed in its third attempt after five epochs."""
    run = make_run(user, team, cpu_queue, finished=5, state=State.FAILED)
    Job.objects.filter(pk=run.job_id).update(
        fence=3, error="Out of memory.", progress={"epoch": 6}
    )
    return Job.objects.get(pk=run.job_id)


def add_file(job: Job, name: str) -> str:
    path = storage().save(f"{job.uuid}/3/{name}", ContentFile(b"weights"))
    Artefact.objects.create(job=job, name=name, fence=3, path=path, size=7)
    return path


def test_a_job_begins_again_with_nothing_found(job: Job, user: User) -> None:
    assert restart(user, job)
    assert (job.state, job.error, job.progress) == (State.QUEUED, "", {})
    assert (job.first_attempt, job.files_from) == (4, 4)
    assert not EpochRecord.objects.exists()
    assert not DatasetStatistics.objects.exists()
    run, fresh = Run.objects.get(job=job), Run()
    assert {name: getattr(run, name) for name in SUMMARY} == {
        name: getattr(fresh, name) for name in SUMMARY
    }
    assert run.structure != {}


def test_a_summary_of_epochs_is_reset_in_whole(job: Job) -> None:
    """A column that an epoch fills and a restart forgets would show an old number."""
    run, fresh = Run.objects.get(job=job), Run()
    kept = {"id", "uuid", "job_id", "experiment_id", "seed", "created"}
    kept |= {"epochs", "plan", "baseline_units", "structure"}  # written as it starts
    columns = {field.attname for field in Run._meta.concrete_fields} - kept
    filled = {c for c in columns if getattr(run, c) != getattr(fresh, c)}
    assert filled <= set(SUMMARY) == columns


def test_the_files_go_with_the_epochs(
    job: Job, user: User, django_capture_on_commit_callbacks: Any
) -> None:
    path = add_file(job, "checkpoints/epoch-5.pt")
    with django_capture_on_commit_callbacks() as after_commit:
        restart(user, job)
    assert not Artefact.objects.exists()
    assert storage().exists(path)  # as long as the transaction may be rolled back
    for callback in after_commit:
        callback()
    assert not storage().exists(path)


def test_the_logs_of_past_attempts_stay_to_be_read(job: Job, user: User) -> None:
    path = add_file(job, "logs/attempt-0003.log")
    restart(user, job)
    assert Artefact.objects.get().path == path
    assert storage().exists(path)


def test_the_audit_log_says_which_epochs_were_dropped(job: Job, user: User) -> None:
    add_file(job, "checkpoints/epoch-5.pt")
    restart(user, job)
    event = AuditEvent.objects.get()
    assert (event.actor, event.verb) == (user, "restart")
    assert event.before == {"state": "failed", "epochs": "1-5", "files": 1}
    assert event.after == {"state": "queued", "epochs": "none", "files": 0}


def test_a_job_of_a_kind_without_epochs_begins_again(job: Job, user: User) -> None:
    Run.objects.all().delete()
    assert restart(user, Job.objects.get(pk=job.pk))
    assert AuditEvent.objects.get().before == {"state": "failed", "files": 0}


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED, State.CANCELLED}))
def test_only_what_ended_without_a_result_begins_again(
    job: Job, user: User, state: str
) -> None:
    Job.objects.filter(pk=job.pk).update(state=state)
    with pytest.raises(NotAllowedError, match="only a failed or cancelled job can"):
        restart(user, job)
    assert EpochRecord.objects.count() == 5
    assert not AuditEvent.objects.exists()


def test_another_member_drops_nothing(job: Job, viewer: User) -> None:
    with pytest.raises(PermissionDenied):
        restart(viewer, job)
    assert EpochRecord.objects.count() == 5


def test_a_requeue_from_the_checkpoint_keeps_all(job: Job, user: User) -> None:
    lifecycle.requeue(user, job)
    assert (job.first_attempt, job.files_from) == (4, 1)
    assert EpochRecord.objects.count() == 5
