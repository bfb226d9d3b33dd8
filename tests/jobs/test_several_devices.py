"""A job of two devices: two slots of one worker, one search over two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from django.contrib.auth.models import User

from searchjobs import lifecycle, runfolder
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.models import Attempt, EpochRecord, Job, Slot
from searchjobs.queueing import release_expired
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, epochs_of, make_slot, take, tiny
from tests.jobs.test_supervisor import outcome_of, supervised
from tests.servers import running_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def spec_for(devices: int, epochs: int) -> dict[str, Any]:
    spec = tiny(epochs)
    return {**spec, "compute": {**spec["compute"], "devices": devices}}


def removed(folder: Path) -> dict[str, list[int]]:
    """Return the ids that each pruning removed, by the name of its file."""
    found = {}
    for path in sorted(folder.rglob("prunings/*.npz")):
        with np.load(path) as arrays:
            found[path.name] = arrays["ids"][arrays["removed"]].tolist()
    return found


def test_a_job_of_two_slots_finds_what_one_process_finds(
    launched: Launch, slot: Slot, tmp_path: Path
) -> None:
    job = launched(spec=spec_for(2, epochs=2))[0]
    second = make_slot(slot.worker.name, 1)
    taken = take(slot)
    assert taken is not None
    assert taken.devices == 2
    assert set(Slot.objects.filter(job=job)) == {slot, second}
    supervise(taken)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED, job.error
    assert not Slot.objects.filter(job=job).exists()
    attempt = Attempt.objects.get(job=job)
    assert (attempt.devices, attempt.slot_name) == (2, "worker@here : 0, 1")
    assert EpochRecord.objects.filter(run__job=job).count() == 2
    for _ in search(validate({**job.spec, **spec_for(1, epochs=2)}), tmp_path / "one"):
        pass
    ours = removed(runfolder.folder_of(job.uuid))
    assert ours == removed(tmp_path / "one")
    assert {name: len(ids) for name, ids in ours.items()} == {
        "epoch-0002-T.npz": 10,
        "epoch-0002-V.npz": 10,
    }


def test_the_gpus_of_a_frozen_supervisor_are_free_before_another_slot_starts_there(
    launched: Launch, user: User
) -> None:
    (job,) = launched(spec=spec_for(2, epochs=2000))
    quick = {"NASWEB_LEASE_SECONDS": "4", "NASWEB_BEAT_SECONDS": "1"}
    with running_worker("two-slots", slots=2, **quick) as process:
        wait_until(lambda: epochs_of(job), seconds=120, what="an epoch")
        pools = psutil.Process(process.pid).children()
        (supervisor,) = [pool for pool in pools if engines_of(job, pool)]
        engines = engines_of(job, supervisor)
        assert len(engines) == 3, "one that starts them and one a device"
        supervisor.suspend()
        try:
            lifecycle.cancel(user, job)
            wait_until(release_expired, seconds=30, what="the end of the lease")
            job.refresh_from_db()
            assert job.state == State.CANCELLED
            assert not Slot.objects.exclude(job=None).exists()
            assert not any(map(has_ended, engines)), "nobody has told them yet"
            (other,) = launched(epochs=2)
            wait_until(lambda: epochs_of(other), seconds=120, what="its neighbour")
            assert all(map(has_ended, engines))
            assert supervisor.status() == psutil.STATUS_STOPPED
        finally:
            supervisor.resume()


def engines_of(job: Job, process: psutil.Process) -> list[psutil.Process]:
    folder = str(runfolder.folder_of(job.uuid))
    below = process.children(recursive=True)
    return [child for child in below if folder in child.cmdline()]


def has_ended(process: psutil.Process) -> bool:
    """Say so also of one whose parent sleeps and does not reap it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_cancel_ends_every_process_of_a_search(launched: Launch, slot: Slot) -> None:
    job = launched(spec=spec_for(2, epochs=2000))[0]
    make_slot(slot.worker.name, 1)
    taken = take(slot)
    assert taken is not None
    with supervised(taken):
        wait_until(
            lambda: EpochRecord.objects.filter(run__job=job).exists(), seconds=120
        )
        engines = engines_of(job, psutil.Process())
        assert len(engines) == 3, "one that starts them and one a device"
        type(job).objects.filter(pk=job.pk).update(cancel_requested=True)
        wait_until(lambda: outcome_of(job) == Attempt.Outcome.CANCELLED)
    _, left = psutil.wait_procs(engines, timeout=10)
    assert not left
    job.refresh_from_db()
    assert job.state == State.CANCELLED
