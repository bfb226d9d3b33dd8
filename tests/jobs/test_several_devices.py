"""A job of two devices: two slots of one worker, one search over two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from searchjobs import runfolder
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.models import Attempt, EpochRecord, Slot
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, make_slot, take, tiny
from tests.jobs.test_supervisor import outcome_of, supervised
from tests.servers import wait_until

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


def test_a_cancel_ends_every_process_of_a_search(launched: Launch, slot: Slot) -> None:
    job = launched(spec=spec_for(2, epochs=2000))[0]
    make_slot(slot.worker.name, 1)
    taken = take(slot)
    assert taken is not None
    with supervised(taken):
        wait_until(
            lambda: EpochRecord.objects.filter(run__job=job).exists(), seconds=120
        )
        engines = [
            child
            for child in psutil.Process().children(recursive=True)
            if str(runfolder.folder_of(job.uuid)) in child.cmdline()
        ]
        assert len(engines) == 3, "one that starts them and one a device"
        type(job).objects.filter(pk=job.pk).update(cancel_requested=True)
        wait_until(lambda: outcome_of(job) == Attempt.Outcome.CANCELLED)
    _, left = psutil.wait_procs(engines, timeout=10)
    assert not left
    job.refresh_from_db()
    assert job.state == State.CANCELLED
