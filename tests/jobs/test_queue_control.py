from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError

from searchjobs import bell, queue_control
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import AuditEvent, Job, Queue
from searchjobs.states import State
from tests.jobs.conftest import Launch

pytestmark = pytest.mark.django_db


def test_a_queue_that_is_paused_twice_keeps_its_first_reason_and_one_event(
    cpu_queue: Queue, admin_user: User
) -> None:
    assert queue_control.pause(admin_user, cpu_queue, "new driver")
    assert not queue_control.pause(admin_user, cpu_queue, "another")
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.pause_reason) == (True, "new driver")
    assert (cpu_queue.paused_by, bool(cpu_queue.paused_at)) == (admin_user, True)
    event = AuditEvent.objects.get()
    assert (event.actor, event.verb, event.object_name) == (admin_user, "pause", "cpu")
    assert event.before == {"paused": False, "reason": ""}
    assert event.after == {"paused": True, "reason": "new driver"}


def test_a_queue_that_is_open_again_forgets_why_it_was_paused(
    cpu_queue: Queue, admin_user: User
) -> None:
    queue_control.pause(admin_user, cpu_queue, "new driver")
    assert queue_control.resume(admin_user, cpu_queue)
    assert not queue_control.resume(admin_user, cpu_queue)
    cpu_queue.refresh_from_db()
    assert cpu_queue.pause_reason == ""
    assert (cpu_queue.paused_by, cpu_queue.paused_at) == (None, None)
    event = AuditEvent.objects.get(verb="resume")
    assert event.before == {"paused": True, "reason": "new driver"}


def test_a_reason_is_cut_to_what_the_column_holds(
    cpu_queue: Queue, admin_user: User
) -> None:
    assert queue_control.pause(admin_user, cpu_queue, "x" * 500)
    cpu_queue.refresh_from_db()
    assert cpu_queue.pause_reason == "x" * 200


@pytest.mark.parametrize("verb", ["pause", "resume", "edit", "set_limits", "delete"])
def test_nobody_but_an_administrator_acts_on_a_queue(
    cpu_queue: Queue, maintainer: User, verb: str
) -> None:
    with pytest.raises(PermissionDenied, match="Only an administrator may"):
        getattr(queue_control, verb)(maintainer, cpu_queue)
    assert not AuditEvent.objects.exists()


def test_nobody_but_an_administrator_makes_a_queue(maintainer: User) -> None:
    with pytest.raises(PermissionDenied, match="Only an administrator may make"):
        queue_control.create(maintainer, "a100")
    assert not Queue.objects.exists()


def test_a_queue_is_made_for_a_kind_of_device(admin_user: User) -> None:
    kind = {"device": "cuda", "gpu_pattern": "*A100*", "min_memory_gib": 40}
    queue = queue_control.create(admin_user, "a100", **kind)
    queue.refresh_from_db()
    assert (queue.device, queue.gpu_pattern) == ("cuda", "*A100*")
    event = AuditEvent.objects.get()
    assert (event.verb, event.before) == ("create", None)
    assert event.after == {"name": "a100", **kind, "description": ""}


@pytest.mark.parametrize("name", ["cpu", "", "no spaces", "x" * 51])
def test_a_queue_with_a_wrong_or_taken_name_is_not_made(
    cpu_queue: Queue, admin_user: User, name: str
) -> None:
    with pytest.raises(ValidationError):
        queue_control.create(admin_user, name)
    assert Queue.objects.get() == cpu_queue
    assert not AuditEvent.objects.exists()


def test_only_what_differs_is_changed_and_told(
    cpu_queue: Queue, admin_user: User
) -> None:
    values = {"device": "cpu", "gpu_pattern": "", "description": "proxies"}
    assert queue_control.edit(admin_user, cpu_queue, **values)
    assert not queue_control.edit(admin_user, cpu_queue, **values)
    event = AuditEvent.objects.get()
    assert (event.verb, event.before, event.after) == (
        "edit",
        {"description": ""},
        {"description": "proxies"},
    )


def test_a_queue_keeps_its_device_while_jobs_ask_for_it(
    cpu_queue: Queue, admin_user: User, launched: Launch
) -> None:
    (job,) = launched()
    for state in (State.QUEUED, State.FAILED):  # a failed job may be queued again
        Job.objects.filter(pk=job.pk).update(state=state)
        with pytest.raises(NotAllowedError, match="Jobs of cpu ask for the CPU"):
            queue_control.edit(admin_user, cpu_queue, device="cuda")
    Job.objects.filter(pk=job.pk).update(spec={"compute": {"device": "auto"}})
    assert queue_control.edit(admin_user, cpu_queue, device="cuda")
    cpu_queue.refresh_from_db()
    assert cpu_queue.device == "cuda"


def test_limits_are_set_lifted_and_told(cpu_queue: Queue, admin_user: User) -> None:
    assert queue_control.set_limits(
        admin_user, cpu_queue, max_running=4, max_running_team=None, max_hours=1.5
    )
    assert queue_control.set_limits(admin_user, cpu_queue, max_running=None)
    cpu_queue.refresh_from_db()
    assert (cpu_queue.max_running, cpu_queue.max_hours) == (None, 1.5)
    first, second = AuditEvent.objects.order_by("at")
    assert first.before == {"max_running": None, "max_hours": None}
    assert first.after == {"max_running": 4, "max_hours": 1.5}
    assert (second.before, second.after) == ({"max_running": 4}, {"max_running": None})


@pytest.mark.parametrize("limits", [{"max_hours": 0}, {"max_running": -1}])
def test_an_impossible_limit_is_refused(
    cpu_queue: Queue, admin_user: User, limits: dict[str, int]
) -> None:
    with pytest.raises(ValidationError):
        queue_control.set_limits(admin_user, cpu_queue, **limits)
    assert not AuditEvent.objects.exists()


def test_a_limit_that_is_no_limit_is_a_mistake_of_the_caller(
    cpu_queue: Queue, admin_user: User
) -> None:
    with pytest.raises(TypeError, match="paused"):
        queue_control.set_limits(admin_user, cpu_queue, paused=True)


def test_an_empty_queue_is_deleted_and_told(cpu_queue: Queue, admin_user: User) -> None:
    queue_control.delete(admin_user, cpu_queue)
    again = Queue(pk=cpu_queue.pk or 1, name="cpu")
    queue_control.delete(admin_user, again)  # by another administrator, too late
    assert not Queue.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.verb, event.object_name) == ("delete", "cpu")
    assert event.before is not None
    assert event.before["name"] == "cpu"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (State.QUEUED, "1 job waits, runs or pauses in cpu: move or cancel"),
        (State.SUCCEEDED, "keep cpu in their history: pause it instead"),
    ],
)
def test_a_queue_with_jobs_is_not_deleted(
    cpu_queue: Queue, admin_user: User, launched: Launch, state: str, sentence: str
) -> None:
    (job,) = launched()
    Job.objects.filter(pk=job.pk).update(state=state)
    with pytest.raises(NotAllowedError, match=sentence):
        queue_control.delete(admin_user, cpu_queue)
    assert Queue.objects.exists()
    assert not AuditEvent.objects.filter(verb="delete").exists()


def test_an_open_queue_wakes_slots_for_what_waits(
    cpu_queue: Queue,
    admin_user: User,
    launched: Launch,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    launched(seeds=(1, 2))
    Job.objects.filter(pk=launched()[0].pk).update(held=True)
    queue_control.pause(admin_user, cpu_queue)
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(bell, "_wake", lambda queue, slots: sent.append((queue, slots)))
    with django_capture_on_commit_callbacks(execute=True):
        assert queue_control.resume(admin_user, cpu_queue)
    assert sent == [("cpu", 2)]


def test_a_higher_limit_wakes_slots(
    cpu_queue: Queue,
    admin_user: User,
    launched: Launch,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    launched()
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(bell, "_wake", lambda queue, slots: sent.append((queue, slots)))
    with django_capture_on_commit_callbacks(execute=True):
        assert queue_control.set_limits(admin_user, cpu_queue, max_running=2)
    assert sent == [("cpu", 1)]
