"""Two machines: workers that share the database, the broker and the artefacts only.

The machines are folders here: each worker has its own working folder, which the other
does not know, and when a machine is lost, so is its folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User

from searchjobs import bell, lifecycle
from searchjobs.models import Attempt, Job, Slot
from searchjobs.queueing import release_expired
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, epochs_of, take, told
from tests.servers import running_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

EPOCHS = 40
QUICK = {"NASWEB_LEASE_SECONDS": "4", "NASWEB_BEAT_SECONDS": "1"}
Outcome = Attempt.Outcome


def on(machine: Path) -> dict[str, str]:
    """Return the environment of a worker on a machine of its own."""
    return {**QUICK, "NASWEB_RUNS_DIR": str(machine / "runs")}


def lose(process: Any, machine: Path) -> None:
    """Lose a machine: all its processes at once, and its disk."""
    family = psutil.Process(process.pid).children(recursive=True)
    for member in [process, *family]:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    machine.rename(machine.with_name("in ashes"))


def published(job: Job) -> list[int]:
    """Return the epochs of the checkpoints in the shared storage."""
    rows = job.artefacts.filter(name__startswith="checkpoints/")
    return sorted(rows.values_list("epoch", flat=True))


def started_at(machine: Path, job: Job) -> list[int]:
    """Return from which epochs engines have gone on with a job on a machine."""
    lines = (machine / "runs" / str(job.uuid) / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event["epoch"] for event in events if event["type"] == "started"]


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


def test_a_run_goes_on_where_a_lost_machine_has_published_its_last_checkpoint(
    launched: Launch, slot: Slot, tmp_path: Path
) -> None:
    (plain,) = launched(seeds=(5,), epochs=EPOCHS)
    first, second = tmp_path / "first", tmp_path / "second"
    undisturbed = take(slot)
    assert undisturbed is not None
    supervise(undisturbed)
    plain.refresh_from_db()
    with running_worker("first", **on(first)) as process:
        (moved,) = launched(seeds=(5,), epochs=EPOCHS)
        wait_until(lambda: published(moved), seconds=60, what="a checkpoint")
        wait_until(lambda: len(epochs_of(moved)) > published(moved)[0] + 2, seconds=30)
        lose(process, first)
    reached = published(moved)[-1]
    assert 0 < reached < EPOCHS
    with running_worker("second", **on(second)):
        wait_until(lambda: release_expired() or moved.attempts.count() > 1)
        bell.wake("cpu")
        wait_until(lambda: has_ended(moved), seconds=90, what="the run that moved")
    assert (moved.state, plain.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert started_at(second, moved) == [reached], "from there, not from the start"
    assert epochs_of(moved) == list(range(1, EPOCHS + 1))
    assert told(moved) == told(plain)
    assert moved.run.architectures == plain.run.architectures
    hosts = list(moved.attempts.values_list("worker_name", "outcome"))
    assert [(name.split("@")[0], how) for name, how in hosts] == [
        ("first", Outcome.LOST),
        ("second", Outcome.SUCCEEDED),
    ]
    names = set(moved.artefacts.values_list("name", flat=True))
    assert f"checkpoints/epoch-{EPOCHS:05d}.pt" in names
    assert f"logs/attempt-{moved.fence:04d}.log" in names
    assert {name for name in names if name.startswith("prunings/")} == {
        name
        for name in plain.artefacts.values_list("name", flat=True)
        if name.startswith("prunings/")
    }, "an epoch that was told twice has its files once, and none is missing"


def test_a_paused_run_is_resumed_on_another_machine_from_its_last_checkpoint(
    launched: Launch, tmp_path: Path, user: User
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (job,) = launched(seeds=(5,), epochs=EPOCHS)
    with running_worker("first", **on(first)):
        wait_until(lambda: len(epochs_of(job)) >= 3, seconds=60, what="three epochs")
        lifecycle.request_pause(user, job)

        def is_paused() -> bool:
            job.refresh_from_db()
            return job.state == State.PAUSED

        wait_until(is_paused, seconds=20, what="the pause")
    newest = published(job)[-1]
    # The engine may be told to stop between an epoch and its checkpoint.
    assert epochs_of(job)[-1] - newest in {0, 1}
    with running_worker("second", **on(second)):
        lifecycle.resume(user, job)
        wait_until(lambda: has_ended(job), seconds=90, what="the end")
    assert job.state == State.SUCCEEDED
    assert started_at(second, job) == [newest]
    assert epochs_of(job) == list(range(1, EPOCHS + 1))
