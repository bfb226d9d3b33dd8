"""The Data tab of a run and the pages below it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb.explorer.images import pictures
from searchjobs.models import Run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


@pytest.fixture
def member(run: Run, user: User, client_for: ClientFor) -> Client:
    """A member of the team, on a site that has read the images."""
    pictures(run, wait=60)
    return client_for(user)


def text(response: object) -> str:
    return re.sub(r"\s+", " ", response.content.decode())  # type: ignore[attr-defined]


def test_the_tab_lists_every_event_of_a_set(run: Run, member: Client) -> None:
    page = text(member.get(reverse("runs:data", args=[run.uuid])))
    assert "Events of T" in page
    print(page[page.index('id="events"') :][:6000])
    sheet = re.search(r"url\(&#x27;([^)]+)&#x27;\)|url\('([^)]+)'\)", page)
    assert sheet
    answer = member.get((sheet[1] or sheet[2]).replace("&amp;", "&"))
    assert answer["Content-Type"] == "image/png"
    image = member.get(reverse("runs:data-image", args=[run.uuid, 5]))
    assert image.status_code == 200


def test_two(run: Run, control: Run, member: Client) -> None:
    page = member.get(
        reverse("runs:data-overlap", args=[run.uuid]), {"with": str(control.uuid)}
    )
    print(text(page)[9000:16000])
    assert page.status_code == 200
