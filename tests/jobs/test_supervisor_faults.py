"""A real engine under a real supervisor, and what may befall them from outside."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connection

from nasweb.embedded import Server
from searchjobs import child, lifecycle, limits, memory, queueing, runfolder
from searchjobs.engine import checkpoint, eventlog
from searchjobs.engine.events import parse
from searchjobs.models import Attempt, Job, Queue, Slot
from searchjobs.queueing import release_expired
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, epochs_of
from tests.jobs.test_supervisor import (
    LONG,
    claimed,
    engine_of,
    outcome_of,
    supervised,
)
from tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = Attempt.Outcome


def epochs_told(job: Job) -> int:
    """Return how many epochs the engine has written into its file."""
    events = runfolder.folder_of(job.uuid) / eventlog.NAME
    return events.read_text().count('"epoch_finished"') if events.exists() else 0


def test_a_search_goes_on_while_postgresql_is_away_longer_than_its_lease(
    launched: Launch,
    slot: Slot,
    servers: list[Server],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postgres = next((each for each in servers if each.name == "postgres"), None)
    if postgres is None:
        pytest.skip("needs the PostgreSQL that the tests start: unset DATABASE_URL")
    settings.NASWEB_LEASE_SECONDS = 3
    monkeypatch.setattr(queueing, "LEASES_AFTER_START", 1)
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        begun = time.monotonic()
        postgres.stop()
        connection.close()
        before = epochs_told(job)
        wait_until(lambda: epochs_told(job) > before + 2, seconds=60)
        time.sleep(max(0.0, begun + 4 - time.monotonic()))
        assert thread.is_alive()
        postgres.start()
        settings.NASWEB_LEASE_SECONDS = 60
        assert release_expired() == 0, "its holder gets the time to come back"
        known = len(epochs_of(job))
        wait_until(lambda: len(epochs_of(job)) > known + 3, seconds=60)
        job.refresh_from_db()
        assert job.state == State.RUNNING
    recorded = epochs_of(job)
    assert recorded == list(range(1, len(recorded) + 1))
    attempt = job.attempts.get()
    assert attempt.epochs == len(recorded)
    assert attempt.events >= attempt.epochs


def test_an_engine_that_the_kernel_ended_is_out_of_memory_though_its_lease_was_renewed(
    launched: Launch,
    slot: Slot,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.NASWEB_BEAT_SECONDS = 0
    nowhere, counter = tmp_path / "nowhere", tmp_path / "vmstat"
    counter.write_text("oom_kill 7\n")
    count = partial(memory.kills, nowhere, nowhere, counter)
    monkeypatch.setattr(memory, "Shortage", partial(memory.Shortage, count))
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        engine = engine_of(job)
        assert engine is not None
        # The kernel counts first; the process is gone when its memory is.
        engine.suspend()
        counter.write_text("oom_kill 8\n")
        for _ in range(2):
            before = lease_of(job)
            wait_until(lambda: lease_of(job) > before, what="a renewal")  # noqa: B023
        engine.kill()
        thread.join(20)
        assert not thread.is_alive()
    job.refresh_from_db()
    assert (job.state, outcome_of(job)) == (State.FAILED, Outcome.MEMORY)
    assert "ran out of memory" in job.error


def lease_of(job: Job) -> datetime:
    expires = Job.objects.values_list("lease_expires", flat=True).get(pk=job.pk)
    assert expires is not None
    return expires


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [({"max_hours": 0.001}, Outcome.TIME), ({"max_disk_gib": 0.001}, Outcome.DISK)],
    ids=["time", "disk"],
)
def test_a_limit_that_is_set_while_a_run_goes_on_ends_it_and_lifted_lets_it_go_on(
    launched: Launch,
    slot: Slot,
    user: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, float],
    outcome: str,
) -> None:
    settings.NASWEB_BEAT_SECONDS = 1
    monkeypatch.setattr(limits, "MEASURE_SECONDS", 0.2)
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: len(epochs_of(job)) > 1, seconds=60, what="two epochs")
        ballast = runfolder.folder_of(job.uuid) / "ballast"
        ballast.write_bytes(bytes(2**21))
        Queue.objects.update(**limit)
        thread.join(20)
        assert not thread.is_alive()
        assert engine_of(job) is None
    job.refresh_from_db()
    assert (job.state, outcome_of(job)) == (State.FAILED, outcome)
    assert "its queue allows" in job.error
    before = epochs_of(job)
    assert before == list(range(1, len(before) + 1))
    Queue.objects.update(max_hours=None, max_disk_gib=None)
    lifecycle.requeue(user, job)
    with supervised(claimed(slot)):
        wait_until(lambda: len(epochs_of(job)) > len(before), seconds=60)
    events = (runfolder.folder_of(job.uuid) / eventlog.NAME).read_text().splitlines()
    starts = [each for each in map(parse, events) if each.type == "started"]
    assert starts[0].epoch == 0
    assert starts[1].epoch > 0, "it went on from its checkpoint"


def test_an_engine_that_tells_nothing_any_more_is_ended(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_STALL_SECONDS = 30
    (job,) = launched(epochs=LONG)
    with supervised(claimed(slot)) as thread:
        wait_until(lambda: epochs_of(job), seconds=60, what="an epoch")
        engine = engine_of(job)
        assert engine is not None
        engine.suspend()
        settings.NASWEB_STALL_SECONDS = 1
        thread.join(20)
        assert not thread.is_alive()
        assert not engine.is_running()
    job.refresh_from_db()
    assert (job.state, outcome_of(job)) == (State.FAILED, Outcome.STALLED)
    assert "told nothing for 1 s" in job.error


def test_a_folder_in_which_another_machine_still_works_puts_the_job_off(
    launched: Launch, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runfolder, "LOCK_WAIT_SECONDS", 0.2)
    (job,) = launched()
    with runfolder.locked(runfolder.folder_of(job.uuid), 1):
        supervise(claimed(slot))
    job.refresh_from_db()
    assert (job.state, outcome_of(job)) == (State.QUEUED, Outcome.BUSY)
    assert "still works in this run's folder" in job.error
    assert job.not_before is not None
    Job.objects.update(not_before=None)
    supervise(claimed(slot))
    job.refresh_from_db()
    assert (job.state, job.error) == (State.SUCCEEDED, "")


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(grandchild, start_new_session=True)
print("ready", file=sys.stderr, flush=True)
time.sleep(600)
"""


def test_an_engine_that_will_not_end_is_killed_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "command", lambda *_: [sys.executable, "-c", STUBBORN])
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.5)
    with runfolder.locked(tmp_path, 1) as lock:
        engine = child.start("run", {}, tmp_path, {}, lock)
    wait_until(lambda: "ready" in runfolder.log_tail(tmp_path), what="the engine")
    family = psutil.Process(engine.pid).children(recursive=True)
    assert len(family) == 1
    assert os.getpgid(family[0].pid) != engine.pid, "it has left the group"
    begun = time.monotonic()
    child.stop(engine)
    assert time.monotonic() - begun < 5
    assert engine.returncode == -9
    assert not family[0].is_running() or family[0].status() == psutil.STATUS_ZOMBIE


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a real file system of that size, or skip where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs `mount`, to make a disk that is full")
    if done.returncode:
        pytest.skip(f"may not mount a disk that is full: {done.stderr.strip()}")
    try:
        yield
    finally:
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(folder), 2)  # lazily


def test_a_full_disk_pauses_a_run_with_all_that_it_has_and_room_lets_it_go_on(
    launched: Launch, slot: Slot, user: User, tmp_path: Path, settings: Any
) -> None:
    settings.NASWEB_MIN_FREE_MB = 1
    settings.NASWEB_RUNS_DIR = tmp_path / "small"
    with small_disk(settings.NASWEB_RUNS_DIR, "16m"):
        (job,) = launched(epochs=30)
        folder = runfolder.folder_of(job.uuid)
        ballast = settings.NASWEB_RUNS_DIR / "ballast"
        with supervised(claimed(slot)) as thread:
            wait_until(lambda: len(epochs_of(job)) > 1, seconds=60, what="two epochs")
            fill(ballast)
            thread.join(30)
            assert not thread.is_alive()
        job.refresh_from_db()
        assert (job.state, outcome_of(job)) == (State.PAUSED, Outcome.DISK)
        assert "is full" in job.error
        newest = checkpoint.newest_first(folder)[0]
        kept = checkpoint.load_newest(folder)
        assert kept is not None
        assert newest == checkpoint.path_of(folder, kept["epoch"]), "none is damaged"
        events = (folder / eventlog.NAME).read_bytes()
        assert events.endswith(b"\n")
        before = epochs_of(job)
        assert before == list(range(1, len(before) + 1))
        assert len(before) < 30
        lifecycle.resume(user, job)
        supervise(claimed(slot))
        job.refresh_from_db()
        assert job.state == State.PAUSED, "there is no room yet"
        assert "free some space" in job.error
        ballast.unlink()
        lifecycle.resume(user, job)
        supervise(claimed(slot))
        job.refresh_from_db()
        assert (job.state, job.error) == (State.SUCCEEDED, "")
        assert epochs_of(job) == list(range(1, 31))
        assert (folder / eventlog.NAME).read_bytes().startswith(events)


def fill(path: Path) -> None:
    """Write until there is no room left."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**8, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
