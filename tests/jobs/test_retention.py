"""What is kept of a job's files, in the storage and on a worker's disk."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from searchjobs import artefacts, retention, runfolder
from searchjobs.models import Artefact, EpochRecord, Job, Queue, Team
from searchjobs.retention import Sweep, retain, tidy
from searchjobs.states import State
from tests.jobs.test_artefacts import checkpoint
from tests.site.factories import add_epoch, make_run

pytestmark = pytest.mark.django_db

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(user: User, team: Team, cpu_queue: Queue) -> MakeJob:
    """A function that makes a job of some epochs, with a folder on this machine."""

    def make(epochs: int = 6, state: str = State.RUNNING) -> Job:
        run = make_run(user, team, cpu_queue, finished=epochs, state=state)
        Job.objects.filter(pk=run.job_id).update(finished=timezone.now())
        job = Job.objects.get(pk=run.job_id)
        folder = runfolder.folder_of(job.uuid)
        folder.mkdir(parents=True)
        (folder / "fence").write_text(f"{job.fence}\n")
        return job

    return make


def publish(job: Job, epoch: int) -> None:
    folder = runfolder.folder_of(job.uuid)
    holder = retention._Holder(job.pk, job.uuid, job.fence)
    artefacts.publish(holder, folder, checkpoint(folder, epoch), epoch)


def kept(job: Job) -> list[int | None]:
    return sorted(job.artefacts.values_list("epoch", flat=True))


def accuracies(job: Job, **by_epoch: float | None) -> None:
    for name, value in by_epoch.items():
        EpochRecord.objects.filter(run__job=job, epoch=int(name[1:])).update(
            inherited_accuracy=value
        )


def test_the_last_two_and_the_best_checkpoint_are_kept(
    make_job: MakeJob, tmp_path: Path
) -> None:
    first, second = make_job(), make_job()
    for job in (first, second):
        for epoch in range(1, 7):
            publish(job, epoch)
    accuracies(first, e1=0.5, e2=0.9, e3=0.6, e4=0.7, e5=0.1, e6=0.2)
    accuracies(second, e1=0.1, e2=0.2, e3=0.3, e4=0.4, e5=0.5, e6=0.6)
    assert retain() == 3 + 4
    assert kept(first) == [2, 5, 6]
    assert kept(second) == [5, 6], "the best is among the last"
    files = list((tmp_path / "artefacts").rglob("*.pt"))
    assert len(files) == 5
    assert retain() == 0


def test_without_inherited_accuracy_the_probe_names_the_best(make_job: MakeJob) -> None:
    job = make_job()
    records = EpochRecord.objects.filter(run__job=job)
    records.update(inherited_accuracy=None, valid_accuracy=0.1)
    records.filter(epoch=3).update(valid_accuracy=0.8)
    for epoch in range(1, 7):
        publish(job, epoch)
    retain()
    assert kept(job) == [3, 5, 6]


def test_other_files_are_not_touched(make_job: MakeJob) -> None:
    job = make_job()
    folder = runfolder.folder_of(job.uuid)
    holder = retention._Holder(job.pk, job.uuid, job.fence)
    for number in range(1, 5):
        name = f"prunings/epoch-{number:04d}-T.npz"
        artefacts.publish(holder, folder, name, number, content=b"ids")
    assert retain() == 0
    assert job.artefacts.count() == 4


def test_old_files_that_no_row_names_are_removed_and_young_ones_stay(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    publish(job, 5)
    storage = tmp_path / "artefacts"
    orphan = storage / str(job.uuid) / "9" / "checkpoints" / "epoch-00005.pt"
    strange = storage / "lost+found" / "file"
    for path in (orphan, strange):
        path.parent.mkdir(parents=True)
        path.write_text("a stale attempt was here")
    assert Sweep().go_on() == 0
    monkeypatch.setattr(retention, "ORPHAN_AGE", timedelta(seconds=-1))
    sweep = Sweep()
    assert sweep.go_on() == 1
    assert not orphan.exists()
    assert strange.exists(), "not one of ours"
    assert Artefact.objects.count() == 1
    with artefacts.open_artefact(Artefact.objects.get()) as file:
        assert file.read()
    assert sweep.go_on() == 0, "the next search is tomorrow"


def test_a_search_for_orphans_goes_on_where_it_stopped(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        publish(make_job(), 5)
    sweep = Sweep()
    sweep.go_on(seconds=0)
    assert sweep.todo is not None
    assert len(sweep.todo) == 3
    sweep.go_on()
    assert sweep.todo is None


def test_an_empty_storage_holds_no_orphans() -> None:
    assert Sweep().go_on() == 0


@pytest.fixture
def ended(make_job: MakeJob) -> Job:
    """A job that ended two days ago, and that another machine might want."""
    job = make_job(state=State.SUCCEEDED)
    Job.objects.filter(pk=job.pk).update(finished=timezone.now() - timedelta(days=2))
    job.refresh_from_db()
    folder = runfolder.folder_of(job.uuid)
    checkpoint(folder, 6)
    (folder / "prunings").mkdir()
    (folder / "prunings" / "epoch-0005-T.npz").write_bytes(b"ids")
    (folder / "engine.log").write_text("epoch 6 of 6\n")
    return job


def test_the_folder_of_a_job_that_ended_long_ago_goes_once_its_files_are_published(
    ended: Job,
) -> None:
    assert tidy() == 1
    assert not runfolder.folder_of(ended.uuid).exists()
    assert list(ended.artefacts.values_list("name", flat=True)) == [
        "checkpoints/epoch-00006.pt",
        "logs/attempt-0001.log",
        "prunings/epoch-0005-T.npz",
    ]
    assert tidy() == 0


@pytest.mark.parametrize(
    ("kind", "name"), [("subset", "subset.npz"), ("check", "samples.npz")]
)
def test_what_a_job_has_made_is_published_if_it_could_not_be_in_time(
    ended: Job, kind: str, name: str
) -> None:
    Job.objects.filter(pk=ended.pk).update(kind=kind)
    (runfolder.folder_of(ended.uuid) / name).write_bytes(b"ids")
    assert tidy() == 1
    with artefacts.open_artefact(ended.artefacts.get(name=name)) as file:
        assert file.read() == b"ids"


def test_it_stays_while_the_storage_is_away(ended: Job, tmp_path: Path) -> None:
    (tmp_path / "artefacts").write_text("a file is in the way")
    assert tidy() == 0
    assert runfolder.folder_of(ended.uuid).exists()
    (tmp_path / "artefacts").unlink()
    assert tidy() == 1


def test_a_folder_that_cannot_be_used_keeps_no_other_from_being_tidied(
    ended: Job, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    newer = make_job(state=State.SUCCEEDED)
    assert list(Job.objects.all()) == [newer, ended], "in the order in which they go"
    lock = runfolder.folder_of(newer.uuid) / runfolder.LOCK
    lock.mkdir(parents=True)
    assert tidy() == 1
    assert not runfolder.folder_of(ended.uuid).exists()
    assert lock.exists()
    assert str(newer.uuid) in caplog.text


def test_it_stays_while_an_engine_holds_its_lock(ended: Job) -> None:
    lock = runfolder.folder_of(ended.uuid) / runfolder.LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert tidy() == 0
    os.close(descriptor)
    assert tidy() == 1


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.QUEUED])
def test_it_stays_while_the_job_may_go_on_here(ended: Job, state: str) -> None:
    Job.objects.filter(pk=ended.pk).update(state=state)
    assert tidy() == 0
    assert runfolder.folder_of(ended.uuid).exists()


def test_it_stays_for_the_hours_that_are_set(ended: Job, settings: Any) -> None:
    settings.NASWEB_KEEP_FOLDERS_HOURS = 72
    assert tidy() == 0
    settings.NASWEB_KEEP_FOLDERS_HOURS = 24
    assert tidy() == 1


def test_of_a_job_that_went_on_elsewhere_nothing_is_published(ended: Job) -> None:
    Job.objects.filter(pk=ended.pk).update(fence=ended.fence + 1)
    assert tidy() == 1
    assert not Artefact.objects.exists()


def test_a_checkpoint_whose_epoch_is_not_recorded_is_not_published(ended: Job) -> None:
    EpochRecord.objects.filter(run__job=ended, epoch=6).delete()
    tidy()
    assert not ended.artefacts.filter(name__startswith="checkpoints/").exists()


def test_folders_that_are_no_jobs_are_left_alone(ended: Job, settings: Any) -> None:
    other = Path(settings.NASWEB_RUNS_DIR) / "notes"
    other.mkdir()
    tidy()
    assert other.exists()


def test_many_checkpoints_are_ranked_at_once(make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    add_epoch(job.run)
    Artefact.objects.bulk_create(
        Artefact(
            job=job, name=f"checkpoints/epoch-{n:05d}.pt", epoch=n, fence=1, path="x",
            size=1,
        )
        for n in range(1, 3001)
    )  # fmt: skip
    begun = time.monotonic()
    assert retention.needless_checkpoints().count() == 2997
    assert time.monotonic() - begun < 5
