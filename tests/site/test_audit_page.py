"""The audit log: who, when, what, before and after; filters and pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from nasweb.pages.installation import audit as page
from searchjobs import audit, queue_control
from searchjobs.models import AuditEvent, Queue
from tests.factories import make_queue, make_user

pytestmark = pytest.mark.django_db
AUDIT = "/installation/audit/"


@pytest.fixture
def admin(admin_user: User, client_for: Callable[[User], Client]) -> Client:
    return client_for(admin_user)


def shown(client: Client, query: str = "") -> list[str]:
    """Return verb and object of the events on the page."""
    events = client.get(f"{AUDIT}{query}").context["events"]
    return [f"{event.verb} {event.object_name}" for event, _ in events]


def test_the_page_tells_who_did_what_and_what_it_was_before(
    admin: Client, admin_user: User, cpu_queue: Queue
) -> None:
    queue_control.pause(admin_user, cpu_queue, "new <driver>")
    queue_control.set_limits(admin_user, cpu_queue, max_running=4)
    answer = admin.get(AUDIT)
    assert [changes for _, changes in answer.context["events"]] == [
        [("max running", "none", "4")],
        [("paused", "no", "yes"), ("reason", "", "new <driver>")],
    ]
    html = answer.content.decode()
    assert admin_user.username in html
    assert "new &lt;driver&gt;" in html


def test_what_has_gone_keeps_its_name(
    admin: Client, admin_user: User, cpu_queue: Queue
) -> None:
    queue_control.delete(admin_user, cpu_queue)
    assert shown(admin) == ["delete cpu"]


def test_events_are_found_by_verb_object_actor_and_days(
    admin: Client, admin_user: User, cpu_queue: Queue
) -> None:
    gpu = make_queue("gpu")
    other = make_user("olga")
    audit.record(admin_user, "pause", cpu_queue)
    audit.record(other, "pause", gpu)
    audit.record(None, "resume", gpu)
    old = audit.record(admin_user, "limit", gpu)
    week_ago = timezone.now() - timedelta(days=8)
    AuditEvent.objects.filter(pk=old.pk).update(at=week_ago)
    assert shown(admin) == ["resume gpu", "pause gpu", "pause cpu", "limit gpu"]
    assert shown(admin, "?verb=pause") == ["pause gpu", "pause cpu"]
    assert shown(admin, "?object=GP") == ["resume gpu", "pause gpu", "limit gpu"]
    assert shown(admin, f"?object={cpu_queue.pk}") == ["pause cpu"]
    assert len(shown(admin, "?object=queue")) == 4
    assert shown(admin, "?actor=olga") == ["pause gpu"]
    assert shown(admin, "?days=7&object=gpu") == ["resume gpu", "pause gpu"]
    assert shown(admin, "?actor=nobody") == []


@pytest.mark.parametrize("days", ["", "-1", "many", "9" * 30])
def test_days_that_are_no_number_hide_nothing(
    admin: Client, admin_user: User, cpu_queue: Queue, days: str
) -> None:
    audit.record(admin_user, "pause", cpu_queue)
    assert shown(admin, f"?days={days}") == ["pause cpu"]


def test_older_events_stand_on_later_pages_and_keep_the_filter(
    admin: Client,
    admin_user: User,
    cpu_queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    monkeypatch.setattr(page, "PAGE", 2)
    for verb in ("one", "two", "pause", "pause", "pause"):
        audit.record(admin_user, verb, cpu_queue)
    with django_assert_max_num_queries(10):
        html = admin.get(f"{AUDIT}?verb=pause").content.decode()
    assert "page 1 of 2" in html
    assert 'href="?verb=pause&amp;page=2"' in html
    assert shown(admin, "?verb=pause&page=2") == ["pause cpu"]


def test_an_event_without_values_has_no_differences() -> None:
    assert page.differences(AuditEvent(before=None, after=None)) == []
    event = AuditEvent(before={"a": [1, 2]}, after={"a": None, "held_by": True})
    assert page.differences(event) == [("a", "1, 2", "none"), ("held by", "", "yes")]
