"""What administrators do to one waiting job: hold, release, priority, queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from searchjobs import bell, job_control, lifecycle
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import AuditEvent, Job, Queue, Slot
from searchjobs.states import HELD, TERMINAL, State
from tests.factories import make_queue
from tests.jobs.conftest import Launch, take

pytestmark = pytest.mark.django_db


def put(job: Job, **columns: Any) -> Job:
    Job.objects.filter(pk=job.pk).update(**columns)
    job.refresh_from_db()
    return job


def told(verb: str) -> tuple[Any, Any]:
    event = AuditEvent.objects.get(verb=verb)
    return event.before, event.after


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which queues were woken, and for how many slots."""
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(
        bell, "wake", lambda queue, slots=1: sent.append((queue, slots))
    )
    return sent


VERBS: dict[str, Callable[[User, Job], Any]] = {
    "hold": job_control.hold,
    "release": job_control.release,
    "priority": lambda actor, job: job_control.set_priority(actor, job, 10),
    "move": lambda actor, job: job_control.move_to(actor, job, job.queue),
    "place": lambda actor, job: job_control.place_before(actor, job, None),
    "up": job_control.move_up,
    "down": job_control.move_down,
}


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_but_an_administrator_acts_on_the_order(
    launched: Launch, maintainer: User, verb: str
) -> None:
    with pytest.raises(PermissionDenied, match="Only an administrator may"):
        VERBS[verb](maintainer, launched()[0])
    assert not AuditEvent.objects.exclude(verb="launch").exists()


def test_a_held_job_waits_until_it_is_released(
    launched: Launch, slot: Slot, admin_user: User, woken: list[tuple[str, int]]
) -> None:
    (job,) = launched()
    woken.clear()
    assert job_control.hold(admin_user, job, "wait for the data")
    assert take(slot) is None
    job.refresh_from_db()
    assert (job.held, job.hold_reason) == (True, "wait for the data")
    assert job_control.release(admin_user, job)
    assert woken == [("cpu", 1)]
    assert take(slot) is not None


def test_a_hold_and_a_release_are_told_once(
    launched: Launch, admin_user: User, woken: list[tuple[str, int]]
) -> None:
    (job,) = launched()
    assert job_control.hold(admin_user, job, "x" * 300)
    assert not job_control.hold(admin_user, job, "another reason")
    assert told("hold") == (
        {"held": False, "hold_reason": ""},
        {"held": True, "hold_reason": "x" * 200},
    )
    assert job_control.release(admin_user, job)
    assert not job_control.release(admin_user, job)
    assert told("release")[1] == {"held": False, "hold_reason": ""}


def test_who_cancels_and_requeues_does_not_escape_a_hold(
    launched: Launch, slot: Slot, admin_user: User, user: User
) -> None:
    (job,) = launched()
    job_control.hold(admin_user, job)
    lifecycle.cancel(user, job)
    lifecycle.requeue(user, job)
    assert job.state == State.QUEUED
    assert take(slot) is None


@pytest.mark.parametrize("state", sorted(HELD))
def test_what_a_worker_has_is_neither_held_nor_moved(
    launched: Launch, admin_user: User, state: str
) -> None:
    job = put(launched()[0], state=state)
    with pytest.raises(NotAllowedError, match="pause it, and it can be held then"):
        job_control.hold(admin_user, job)
    with pytest.raises(NotAllowedError, match="pause it, and it can be moved then"):
        job_control.move_to(admin_user, job, make_queue("other"))


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_what_has_ended_has_no_order_any_more(
    launched: Launch, admin_user: User, state: str
) -> None:
    job = put(launched()[0], state=state)
    other = make_queue("other")
    for verb in (
        lambda: job_control.hold(admin_user, job),
        lambda: job_control.move_to(admin_user, job, other),
        lambda: job_control.set_priority(admin_user, job, 10),
        lambda: job_control.move_up(admin_user, job),
    ):
        with pytest.raises(NotAllowedError, match=r"^This job (has|is) "):
            verb()
    assert not AuditEvent.objects.exclude(verb="launch").exists()


def test_a_higher_priority_goes_first(
    launched: Launch, slot: Slot, admin_user: User
) -> None:
    first, second = launched(seeds=(1, 2))
    assert job_control.set_priority(admin_user, second, 10)
    assert not job_control.set_priority(admin_user, second, 10)
    assert told("priority") == ({"priority": 0}, {"priority": 10})
    taken = take(slot)
    assert taken is not None
    assert taken.job_id == second.pk
    assert first.state == State.QUEUED


def test_a_priority_that_does_not_exist_is_refused(
    launched: Launch, admin_user: User
) -> None:
    with pytest.raises(ValueError, match="7 is not a valid"):
        job_control.set_priority(admin_user, launched()[0], 7)


def test_a_moved_job_goes_to_the_end_and_keeps_its_priority(
    launched: Launch, admin_user: User, woken: list[tuple[str, int]]
) -> None:
    other = make_queue("other")
    waits, job = launched(seeds=(1, 2))
    far = job_control.end_of_line() + 10_000_000
    put(waits, queue=other, position=far)
    put(job, priority=-10)
    woken.clear()
    assert job_control.move_to(admin_user, job, other)
    assert not job_control.move_to(admin_user, job, other)
    job.refresh_from_db()
    assert (job.queue, job.priority, job.position) == (other, -10, far + 1)
    assert told("move") == ({"queue": "cpu"}, {"queue": "other"})
    assert woken == [("other", 1)]


def test_a_paused_job_is_moved_and_stays_paused(
    launched: Launch, admin_user: User, woken: list[tuple[str, int]]
) -> None:
    job = put(launched()[0], state=State.PAUSED)
    woken.clear()
    assert job_control.move_to(admin_user, job, make_queue("other"))
    job.refresh_from_db()
    assert (job.state, job.queue.name, woken) == (State.PAUSED, "other", [])


def test_a_job_is_moved_only_to_a_queue_of_its_device(
    launched: Launch, admin_user: User
) -> None:
    gpu = make_queue("gpu", Queue.Device.GPU)
    (job,) = launched()  # its spec asks for the CPU
    with pytest.raises(NotAllowedError, match="The queue gpu is for the GPU, but"):
        job_control.move_to(admin_user, job, gpu)
    job.spec["compute"]["device"] = "auto"
    job.save(update_fields=["spec"])
    assert job_control.move_to(admin_user, job, gpu)


def test_a_job_without_a_run_is_held_and_moved_alike(
    launched: Launch, admin_user: User
) -> None:
    (job,) = launched()
    job.run.delete()
    job = put(job, spec={"kind": "something else"})
    assert job_control.hold(admin_user, job)
    assert job_control.move_to(admin_user, job, make_queue("other"))
    assert AuditEvent.objects.get(verb="move").object_name == job.get_kind_display()


def test_the_slots_that_a_held_job_has_reserved_are_woken_for_others(
    launched: Launch, admin_user: User, woken: list[tuple[str, int]]
) -> None:
    job = put(launched()[0], devices=4)
    woken.clear()
    job_control.hold(admin_user, job)
    assert woken == [("cpu", 4)]
