"""A person looks at what a search has pruned: events, images, reasons, two runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs.launch import launch
from searchjobs.models import Queue, Run, Team
from tests.browser.conftest import Notes
from tests.jobs.conftest import tiny

pytestmark = pytest.mark.browser
#: Seconds that two tiny searches may take on a busy machine.
PATIENCE = 150_000
DRAWN = """name => {
    const chart = document.querySelector(`[data-chart="${name}"]`);
    return Boolean(chart && chart.data && chart.data.some(t => t.x && t.x.length));
}"""
BACKGROUND = """image => getComputedStyle(image).backgroundImage"""


@pytest.fixture
def runs(user: User, team: Team, cpu_queue: Queue, transactional_db: None) -> list[Run]:
    """Two searches that wait for a worker: BDP and its control."""
    found = []
    for criterion in ("low-high", "random"):
        spec = tiny(epochs=4)
        spec["selection"] |= {"criterion": criterion, "class_limit": True}
        launched = launch(user, team, f"BDP {criterion}", spec, [1])
        found.append(launched.runs.get())
    return found


def shown(page: Page) -> list[str]:
    """Return the ids of the images on the page."""
    links = page.locator(".shots a").evaluate_all("all => all.map(a => a.href)")
    return [link.rstrip("/").rpartition("/")[2] for link in links]


def sheets_loaded(page: Page, addresses: list[str]) -> None:
    """Every sheet that the page asked for came as an image."""
    assert addresses
    for address in addresses:
        answer = page.request.get(address)
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]


def test_events_images_reasons_and_two_runs(
    runs: list[Run],
    user: User,
    other_team_user: User,
    worker: Any,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    asked: list[str] = []
    page.on(
        "request",
        lambda request: (
            asked.append(request.url) if "sheet.png" in request.url else None
        ),
    )
    log_in(user)
    run, control = runs

    # Opened before there is anything, the tab takes events and images as they come.
    page.goto(f"/runs/{control.uuid}/data/")
    expect(page.locator("#events .empty")).to_be_visible()
    page.evaluate("window.marker = 'not loaded again'")
    expect(page.locator('[data-live="label"]')).to_have_text(
        "succeeded", timeout=PATIENCE
    )
    expect(page.locator("#events tbody tr")).to_have_count(2)
    page.locator(".shots").wait_for(timeout=60_000)
    for name in ("balance", "event-scores", "event-classes"):
        page.wait_for_function(DRAWN, arg=name)
    assert page.evaluate("window.marker") == "not loaded again"

    # The tab: charts, a row an event, the images as soon as they are read.
    page.goto(f"/runs/{run.uuid}/")
    page.get_by_role("link", name="Data", exact=True).click()
    expect(page.get_by_role("heading", name="Events of T")).to_be_visible()
    rows = page.locator("#events tbody tr")
    expect(rows).to_have_count(2)
    page.locator(".shots").wait_for(timeout=60_000)
    for name in ("remaining", "balance", "event-scores", "event-classes"):
        assert page.evaluate(DRAWN, name), name
    went = shown(page)
    assert f"Pruned at epoch 4 {len(went)}" in page.locator(".shot-kinds").inner_text()
    background = page.locator(".shot-image").first.evaluate(BACKGROUND)
    assert "sheet.png" in background

    # Another event, another set, what survives, one class.
    rows.nth(1).get_by_role("link").click()
    expect(page.locator("#events [aria-current=true]").last).to_contain_text("2")
    assert set(shown(page)).isdisjoint(went)
    page.get_by_role("link", name=re.compile("^Survive to the end")).click()
    expect(page.locator(".shot-kinds [aria-current]")).to_contain_text("Survive")
    assert "show=in" in page.url
    assert set(shown(page)).isdisjoint(went)
    survivors = len(shown(page))
    page.get_by_label("Class", exact=True).select_option("3")
    expect(page.locator(".pager")).to_contain_text("of this class")
    assert 0 < len(shown(page)) < survivors
    assert set(page.locator(".shot-name").all_inner_texts()) == {"3"}

    # One image that went: its portrait and the reason.
    find = page.get_by_role("searchbox")
    find.fill("nothing of the kind")
    find.press("Enter")
    expect(
        page.get_by_role("alert").filter(has_text="There is no class")
    ).to_be_visible()
    page.get_by_role("searchbox").fill(went[0])
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", name=f"image {went[0]}")).to_be_visible()
    expect(page.get_by_text("left T after epoch 4")).to_be_visible()
    expect(page.get_by_text(re.compile("lowest of .*were to go"))).to_be_visible()
    assert page.evaluate(DRAWN, "journey-T")

    # The other run.
    page.get_by_role("link", name="All images").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="The samples of two runs")).to_be_visible()
    expect(page.get_by_text("Jaccard index over the epochs")).to_be_visible()
    assert page.evaluate(DRAWN, "agreement")
    assert str(control.uuid) in page.url
    page.get_by_role("link", name=re.compile("^Only by this run")).click()
    expect(page.locator(".shots a").first).to_be_visible()
    assert "who=first" in page.url

    # On a phone nothing stands out of the page.
    page.set_viewport_size({"width": 390, "height": 844})
    for address in (
        f"/runs/{run.uuid}/data/",
        f"/runs/{run.uuid}/data/images/{went[0]}/",
        f"/runs/{run.uuid}/data/overlap/?with={control.uuid}",
    ):
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == 390, address

    sheets_loaded(page, asked)
    assert notes.complaints == []
    assert notes.foreign == []

    # To another team there is no such image.
    page.get_by_label("Account of").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username").wait_for()
    log_in(other_team_user)
    assert page.request.get(asked[0]).status == 404
    assert page.request.get(f"/runs/{run.uuid}/data/").status == 404
