"""A real engine under a real supervisor."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg2
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from searchjobs import lifecycle, runfolder, supervisor
from searchjobs.claims import Claim
from searchjobs.engine.problems import SpecError
from searchjobs.engine.validation import validate
from searchjobs.models import Attempt, Job, Slot
from searchjobs.queueing import release_expired
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, epochs_of, take, tiny, told
from tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 2000


def claimed(slot: Slot) -> Claim:
    taken = take(slot)
    assert taken is not None
    return taken


@contextmanager
def supervised(taken: Claim, **options: Any) -> Iterator[threading.Thread]:
    """Supervise in a thread, as a slot does in a process of its own."""

    def work() -> None:
        try:
            supervise(taken, **options)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        if thread.is_alive():
            Job.objects.filter(pk=taken.job_id).update(cancel_requested=True)
            thread.join(20)
        assert not thread.is_alive()


def engine_of(job: Job) -> psutil.Process | None:
    """Return the engine process of a job, found by its folder."""
    folder = str(runfolder.folder_of(job.uuid))
    for child in psutil.Process().children(recursive=True):
        try:
            if folder in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def outcome_of(job: Job) -> str:
    return Attempt.objects.filter(job=job).latest("number").outcome


def test_a_search_is_recorded_epoch_by_epoch_and_succeeds(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=3)
    supervise(claimed(slot))
    job.refresh_from_db()
    assert (job.state, job.error) == (State.SUCCEEDED, "")
    assert job.lease_expires is None
    assert job.worker is None
    assert job.environment["device"] == "cpu"
    assert epochs_of(job) == [1, 2, 3]
    assert outcome_of(job) == Attempt.Outcome.SUCCEEDED
    run = job.run
    assert run.epoch == 3
    assert run.architecture is not None
    assert run.architecture.encoding == run.architectures[0]["architecture"]
    assert run.architecture.index is not None
    assert run.structure["edges"]["cell"]
    sizes = run.dataset_statistics.filter(set="T").values_list("remaining", flat=True)
    assert list(sizes) == [100, 90, 90]
    event = run.dataset_statistics.get(set="V", epoch=2).event
    assert (event["before"], event["after"]) == (100, 90)
    assert run.remaining_valid == 90


def test_cancel_ends_a_running_search_within_five_seconds(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        engine = engine_of(job)
        assert engine is not None
        begun = time.monotonic()
        lifecycle.cancel(user, job)
        thread.join(10)
        assert time.monotonic() - begun < 5
        assert not engine.is_running()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert job.finished is not None
    assert outcome_of(job) == Attempt.Outcome.CANCELLED


def test_a_search_that_was_killed_and_paused_ends_like_an_undisturbed_one(
    launched: Launch, slot: Slot, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # long enough that a fast machine cannot end it before the pause is heard
    monkeypatch.setattr(supervisor, "ORDERS_SECONDS", 0.1)
    epochs = 40
    (plain,) = launched(epochs=epochs, seeds=(5,))
    supervise(claimed(slot))
    (job,) = launched(epochs=epochs, seeds=(5,))
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        engine = engine_of(job)
        assert engine is not None
        engine.kill()
        thread.join(10)
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert outcome_of(job) == Attempt.Outcome.LOST
    told_before = len(epochs_of(job))
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: len(epochs_of(job)) > told_before, seconds=60)
        lifecycle.request_pause(user, job)
        thread.join(10)
    job.refresh_from_db()
    assert (job.state, outcome_of(job)) == (State.PAUSED, Attempt.Outcome.PAUSED)
    assert len(epochs_of(job)) < epochs
    lifecycle.resume(user, job)
    supervise(claimed(slot))
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert epochs_of(job) == list(range(1, epochs + 1))
    assert told(job) == told(plain)
    assert job.run.architectures == plain.run.architectures


def test_a_search_outlives_a_short_absence_of_the_database(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)):
        for _ in range(2):
            before = len(epochs_of(job))
            wait_until(lambda: len(epochs_of(job)) > before, seconds=60)  # noqa: B023
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                assert cursor.fetchall(), "somebody was cut off"
        before = len(epochs_of(job))
        wait_until(lambda: len(epochs_of(job)) > before + 1, seconds=60)
    recorded = epochs_of(job)
    assert recorded == list(range(1, len(recorded) + 1))
    assert job.attempts.count() == 1


@contextmanager
def database_away() -> Iterator[None]:
    """Cut off everybody but this thread, and let nobody in until the block ends."""
    given = connection.settings_dict
    outside = psycopg2.connect(
        host=given["HOST"],
        port=given["PORT"] or None,
        user=given["USER"],
        password=given["PASSWORD"] or None,
        dbname="template1",
    )
    outside.autocommit = True
    allow = f'ALTER DATABASE "{given["NAME"]}" ALLOW_CONNECTIONS '
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (own,) = cursor.fetchone()
    try:
        with outside.cursor() as cursor:
            cursor.execute(allow + "false")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> %s",
                [given["NAME"], own],
            )
        yield
    finally:
        with outside.cursor() as cursor:
            cursor.execute(allow + "true")
        outside.close()


def test_a_worker_that_is_stopped_does_not_wait_for_the_database_to_come_back(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=LONG)
    stopping = threading.Event()
    with supervised(claimed(slot), stopping=stopping.is_set) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        with database_away():
            stopping.set()
            thread.join(10)
            assert not thread.is_alive()
            assert engine_of(job) is None
    job.refresh_from_db()
    assert job.state == State.RUNNING, "nobody could be told"
    assert job.lease_expires is not None


def test_an_engine_that_tells_faster_than_one_can_record_is_recorded_to_its_end(
    launched: Launch, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "ORDERS_SECONDS", -1.0)  # one line, then orders
    (job,) = launched(epochs=2)
    supervise(claimed(slot))
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert epochs_of(job) == [1, 2]


def test_a_supervisor_that_lost_its_lease_stops_its_engine_and_writes_no_more(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        with transaction.atomic():  # in between the supervisor may lock or renew it
            Job.objects.filter(pk=job.pk).update(lease_expires="2020-01-01T00:00Z")
            assert release_expired() == 1
        recorded = len(epochs_of(job))
        thread.join(10)
        assert not thread.is_alive()
        assert engine_of(job) is None
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert len(epochs_of(job)) <= recorded
    assert outcome_of(job) == Attempt.Outcome.LOST


def test_a_log_is_not_kept_of_an_attempt_whose_job_waits_again(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched()
    attempt = supervisor._Attempt(claimed(slot), lambda: False)
    attempt.folder = runfolder.folder_of(job.uuid)
    attempt.folder.mkdir(parents=True)
    kept = []
    for line in ("in time", "late"):
        runfolder.log_path(attempt.folder).write_text(line)
        attempt._keep_log()
        job.refresh_from_db()
        kept.append(job.log_tail)
        Job.objects.filter(pk=job.pk).update(lease_expires="2020-01-01T00:00Z")
        release_expired()
    assert kept == ["in time", "in time"]


def test_a_worker_that_is_stopped_gives_its_job_back_at_once(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=LONG)
    stopping = threading.Event()
    with supervised(claimed(slot), stopping=stopping.is_set) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        stopping.set()
        thread.join(10)
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert job.lease_expires is None
    assert outcome_of(job) == Attempt.Outcome.INTERRUPTED


def test_a_crash_of_the_engine_is_told_in_a_sentence(
    launched: Launch, slot: Slot
) -> None:
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        engine = engine_of(job)
        assert engine is not None
        engine.send_signal(signal.SIGSEGV)
        thread.join(10)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert job.error == "The engine was ended by SIGSEGV; its log says more."
    assert outcome_of(job) == Attempt.Outcome.FAILED


def test_a_data_set_that_has_gone_is_told_in_the_words_of_the_form(
    launched: Launch, slot: Slot, maintainer: User, tmp_path: Path
) -> None:
    images = np.zeros((40, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=images, labels=np.arange(40) % 2)
    spec = {**tiny(), "dataset": {"name": "npz", "path": str(path)}}
    (job,) = launched(spec=spec, actor=maintainer)
    path.unlink()
    with pytest.raises(SpecError) as said:
        validate(spec)
    supervise(claimed(slot))
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert job.error == str(said.value)
    assert job.error in job.log_tail


def test_a_result_that_was_told_but_not_marked_needs_no_second_engine(
    launched: Launch, slot: Slot, user: User
) -> None:
    (job,) = launched(epochs=2)
    supervise(claimed(slot))
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED)
    job.run.epochs_recorded.filter(epoch=2).delete()
    job.run.dataset_statistics.filter(epoch=2).delete()
    log = runfolder.log_path(runfolder.folder_of(job.uuid))
    log.unlink()
    supervise(claimed(slot))
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert epochs_of(job) == [1, 2]
    assert not log.exists()
