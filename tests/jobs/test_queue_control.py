from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from searchjobs import bell, queue_control
from searchjobs.models import AuditEvent, Queue
from tests.jobs.conftest import Launch

pytestmark = pytest.mark.django_db


def test_a_queue_that_is_paused_twice_keeps_its_first_reason_and_one_event(
    cpu_queue: Queue, admin_user: User
) -> None:
    assert queue_control.pause(admin_user, cpu_queue, "new driver")
    assert not queue_control.pause(admin_user, cpu_queue, "another")
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.pause_reason) == (True, "new driver")
    event = AuditEvent.objects.get()
    assert (event.actor, event.verb) == (admin_user, "pause")
    assert event.after == {"paused": True, "reason": "new driver"}


def test_a_reason_is_cut_to_what_the_column_holds(
    cpu_queue: Queue, admin_user: User
) -> None:
    assert queue_control.pause(admin_user, cpu_queue, "x" * 500)
    cpu_queue.refresh_from_db()
    assert cpu_queue.pause_reason == "x" * 200


def test_nobody_but_an_administrator_pauses_or_resumes_a_queue(
    cpu_queue: Queue, maintainer: User
) -> None:
    for verb in (queue_control.pause, queue_control.resume):
        with pytest.raises(PermissionDenied, match="Only an administrator may"):
            verb(maintainer, cpu_queue)
    assert not AuditEvent.objects.exists()


def test_an_open_queue_wakes_slots_for_what_waits(
    cpu_queue: Queue,
    admin_user: User,
    launched: Launch,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    launched(seeds=(1, 2))
    queue_control.pause(admin_user, cpu_queue)
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(bell, "_wake", lambda queue, slots: sent.append((queue, slots)))
    with django_capture_on_commit_callbacks(execute=True):
        assert queue_control.resume(admin_user, cpu_queue)
    assert sent == [("cpu", 2)]
