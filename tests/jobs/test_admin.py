from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from searchjobs.models import Attempt, AuditEvent, Job, Membership, Queue, Slot, Team
from searchjobs.states import State
from tests.jobs.conftest import Launch, take

pytestmark = pytest.mark.django_db

#: All but those that stand inside the page of another.
MODELS = [
    m
    for m in apps.get_app_config("searchjobs").get_models()
    if m not in {Attempt, Membership}
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_every_list_and_page_of_the_admin_opens(
    launched: Launch, slot: Slot, admin_client: Client, model: type
) -> None:
    launched()
    take(slot)
    name = model._meta.model_name  # type: ignore[attr-defined]
    assert (
        admin_client.get(reverse(f"admin:searchjobs_{name}_changelist")).status_code
        == 200
    )
    row = model.objects.first()  # type: ignore[attr-defined]
    if row is not None:
        address = reverse(f"admin:searchjobs_{name}_change", args=[row.pk])
        assert admin_client.get(address).status_code == 200


def test_a_job_is_not_edited_by_hand(launched: Launch, admin_client: Client) -> None:
    (job,) = launched()
    address = reverse("admin:searchjobs_job_change", args=[job.pk])
    assert admin_client.post(address, {"state": State.SUCCEEDED}).status_code == 403
    assert Job.objects.get().state == State.QUEUED


@pytest.mark.parametrize("what", ["queue", "worker", "slot"])
def test_what_has_verbs_of_its_own_is_not_edited_here(
    slot: Slot, cpu_queue: Queue, admin_client: Client, what: str
) -> None:
    row = {"queue": cpu_queue, "worker": slot.worker, "slot": slot}[what]
    for page in ("change", "delete"):
        address = reverse(f"admin:searchjobs_{what}_{page}", args=[row.pk])
        data = {"paused": "on", "drain_requested": "on", "post": "yes"}
        assert admin_client.post(address, data).status_code == 403
    assert admin_client.post(reverse(f"admin:searchjobs_{what}_add")).status_code == 403
    row.refresh_from_db()
    assert not getattr(row, "paused", False)
    assert not getattr(row, "drain_requested", False)
    assert not AuditEvent.objects.exists()


def test_who_comes_into_a_team_and_who_leaves_it_is_written_down(
    team: Team, user: User, other_team_user: User, admin_client: Client
) -> None:
    address = reverse("admin:searchjobs_team_change", args=[team.pk])
    membership = team.memberships.get()
    data = {
        "name": team.name,
        "slug": team.slug,
        "memberships-TOTAL_FORMS": "2",
        "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": membership.pk,
        "memberships-0-team": team.pk,
        "memberships-0-user": user.pk,
        "memberships-0-role": membership.role,
        "memberships-0-DELETE": "on",
        "memberships-1-team": team.pk,
        "memberships-1-user": other_team_user.pk,
        "memberships-1-role": "viewer",
    }
    assert admin_client.post(address, data).status_code == 302
    events = AuditEvent.objects.filter(object_type="membership", team=team)
    told = {event.verb: event.after or event.before for event in events}
    assert told["add"]["name"].startswith("otto in ")
    assert told["delete"]["name"].startswith("mia in ")


def test_a_team_that_is_removed_is_written_down(
    team: Team, admin_client: Client
) -> None:
    address = reverse("admin:searchjobs_team_delete", args=[team.pk])
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Team.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.verb, event.before) == ("delete", {"name": "Digits"})


def test_nobody_but_staff_sees_the_admin(
    user: User, client_for: Callable[[User], Client]
) -> None:
    address = reverse("admin:searchjobs_job_changelist")
    assert client_for(user).get(address).status_code == 302
