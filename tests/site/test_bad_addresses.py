"""Addresses that no row can match: refused, and no fault of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse

from searchjobs.models import Queue, Team
from tests.site.factories import make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


@pytest.mark.parametrize("field", ["verb", "object", "actor"])
def test_a_zero_byte_in_a_filter_of_the_audit_log_is_refused(
    client_for: ClientFor, field: str
) -> None:
    client = client_for(User.objects.create_superuser("root"))
    answer = client.get(f"/installation/audit/?{field}=%00")
    assert answer.status_code == 400
    assert "Not understood" in answer.content.decode()


def test_a_zero_byte_in_the_name_of_a_file_is_refused(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue)
    folder = reverse("runs:files", args=[run.uuid])
    client = client_for(user)
    assert client.get(f"{folder}a%00b").status_code == 400
    assert client.get(f"{folder}a-b").status_code == 404


def test_it_is_refused_asynchronously_too() -> None:
    answer = asyncio.run(AsyncClient().get("/accounts/login/?next=%00"))
    assert answer.status_code == 400
