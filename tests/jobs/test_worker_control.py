from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from searchjobs import bell, worker_control
from searchjobs.claims import claim
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import AuditEvent, Job, Slot, Worker
from searchjobs.states import State
from tests.jobs.conftest import Launch, make_slot, take

pytestmark = pytest.mark.django_db


def grow_silent(worker: Worker) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Worker.objects.filter(pk=worker.pk).update(seen=long_ago)


def test_a_drained_slot_takes_nothing_new_and_its_neighbour_does(
    launched: Launch, slot: Slot, admin_user: User
) -> None:
    launched(seeds=(1, 2))
    neighbour = make_slot(number=1)
    assert worker_control.drain(admin_user, slot)
    assert not worker_control.drain(admin_user, slot)
    assert take(slot) is None
    assert take(neighbour) is not None
    event = AuditEvent.objects.get(verb="drain")
    assert (event.object_type, event.object_name) == ("slot", "worker@here : 0")
    assert event.before == {"drain_requested": False}
    assert event.after == {"drain_requested": True}


def test_a_drained_worker_finishes_what_it_runs(
    launched: Launch, slot: Slot, admin_user: User
) -> None:
    launched(seeds=(1, 2))
    running = take(slot)
    assert running is not None
    worker_control.drain(admin_user, slot.worker)
    assert take(make_slot(number=1)) is None
    job = Job.objects.get(pk=running.job_id)
    assert (job.state, job.cancel_requested, job.pause_requested) == (
        State.STARTING,
        False,
        False,
    )


def test_a_slot_that_drains_no_more_is_woken(
    launched: Launch, slot: Slot, admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched()
    worker_control.drain(admin_user, slot)
    sent: list[str] = []
    monkeypatch.setattr(bell, "wake", lambda queue, _: sent.append(queue))
    assert worker_control.undrain(admin_user, slot)
    assert not worker_control.undrain(admin_user, slot)
    assert sent == ["cpu"]
    assert take(slot) is not None
    assert AuditEvent.objects.filter(verb="undrain").count() == 1


def test_a_worker_that_is_gone_is_forgotten_with_its_slots(
    slot: Slot, admin_user: User
) -> None:
    grow_silent(slot.worker)
    worker_control.forget(admin_user, slot.worker)
    worker_control.forget(admin_user, slot.worker)  # by another one, too late
    assert not Worker.objects.exists()
    assert not Slot.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.verb, event.object_name) == ("forget", "worker@here")
    assert event.before is not None
    assert event.before["host"] == "here"


def test_a_worker_that_answers_is_not_forgotten(slot: Slot, admin_user: User) -> None:
    with pytest.raises(NotAllowedError, match="worker@here answers: drain it"):
        worker_control.forget(admin_user, slot.worker)
    assert Worker.objects.exists()


def test_a_worker_that_holds_a_job_is_not_forgotten(
    launched: Launch, slot: Slot, admin_user: User
) -> None:
    launched()
    assert take(slot) is not None
    grow_silent(slot.worker)
    with pytest.raises(NotAllowedError, match="still holds jobs"):
        worker_control.forget(admin_user, slot.worker)
    assert Worker.objects.exists()
    assert not AuditEvent.objects.filter(verb="forget").exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_forgotten_or_its_slot_has_a_job_if_both_happen_at_once(
    launched: Launch, admin_user: User
) -> None:
    chance = random.Random(0)
    heads = [0.3, -0.3, *(chance.uniform(-0.01, 0.01) for _ in range(58))]
    rounds = len(heads)
    jobs = launched(seeds=tuple(range(1, rounds + 1)))
    claimed = 0
    for head in heads:
        slot = make_slot("waking@here")
        grow_silent(slot.worker)
        refused, taken = at_once(
            head,
            lambda slot=slot: refuses_to_forget(admin_user, slot.worker),
            lambda slot=slot: claim(slot),
        )
        assert refused == (taken is not None), "one of them came first"
        assert Worker.objects.exists() == refused
        if taken is not None:
            claimed += 1
            job = Job.objects.get(pk=taken.job_id)
            assert (job.state, job.worker_id) == (State.STARTING, slot.worker_id)
            Job.objects.filter(pk=job.pk).update(state=State.CANCELLED, worker=None)
            worker_control.forget(admin_user, slot.worker)
    left = Job.objects.filter(pk__in=[job.pk for job in jobs], state=State.QUEUED)
    assert left.count() == rounds - claimed
    assert 0 < claimed < rounds, "neither always came first"


def refuses_to_forget(actor: User, worker: Worker) -> bool:
    try:
        worker_control.forget(actor, worker)
    except NotAllowedError:
        return True
    return False


def at_once(head_start: float, *acts: Callable[[], Any]) -> list[Any]:
    """Do each in a thread and a session of its own; the first has a head start in
    seconds, and if that is negative, the others have it."""
    begin = threading.Barrier(len(acts))

    def do(number: int) -> Any:
        try:
            begin.wait(10)
            if bool(number) == (head_start > 0):
                sleep(abs(head_start))
            return acts[number]()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(do, range(len(acts))))


def test_nobody_but_an_administrator_acts_on_workers(
    slot: Slot, maintainer: User
) -> None:
    grow_silent(slot.worker)
    for verb in (worker_control.drain, worker_control.undrain):
        for row in (slot, slot.worker):
            with pytest.raises(PermissionDenied, match="Only an administrator may"):
                verb(maintainer, row)
    with pytest.raises(PermissionDenied, match="Only an administrator may forget"):
        worker_control.forget(maintainer, slot.worker)
    assert not AuditEvent.objects.exists()
