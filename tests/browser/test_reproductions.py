"""From the list of the papers' tables to launched runs, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs.models import Queue, Team
from tests.browser.conftest import Notes
from tests.factories import make_queue, make_team, make_user
from tests.reproductions import stand_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def member(transactional_db: None, tmp_path: Path) -> User:
    """A member of a team that has images for the small scale, and a queue."""
    team: Team = make_team()
    user = make_user("mia", team)
    queue: Queue = make_queue()
    assert queue.name == "cpu"
    stand_in(user, team, tmp_path)
    return user


def test_a_table_is_found_planned_and_launched(
    member: User, page: Page, log_in: Callable[[User], None], notes: Notes
) -> None:
    log_in(member)
    page.get_by_role("link", name="Papers", exact=True).click()
    page.get_by_label("Scale", exact=True).select_option("paper")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("paper scale.")).to_be_visible()
    page.get_by_role("link", name="Table 1: DARTS with other shares").click()
    page.get_by_label("Scale", exact=True).select_option("CPU-small")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("15 missing")).to_be_visible()
    page.get_by_role("link", name="Launch what is missing").click()
    expect(page.get_by_label("Images", exact=True)).to_have_value(re.compile(".+"))
    expect(page.get_by_text("15 runs in 5 experiments")).to_be_visible()
    page.get_by_role("button", name="Launch 15 runs").click()
    expect(page.get_by_text("15 runs are queued.")).to_be_visible()
    expect(page.get_by_text("15 under way")).to_be_visible()
    expect(page.get_by_role("link", name="Launch what is missing")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 800})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390, "only the table scrolls"
    assert notes.complaints == []
    assert notes.foreign == []
