"""A person launches a search in the browser and watches it live."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs.models import Queue
from tests.browser.conftest import Notes

pytestmark = pytest.mark.browser

EPOCHS = 60
EPOCH_SECONDS = 60
"""How long an epoch of the tiny search may take on a busy machine."""

POINTS = """name => {
    const chart = document.querySelector(`[data-chart="${name}"]`);
    return chart.data
        ? Math.max(0, ...chart.data.filter(t => t.meta && t.meta.field)
                              .map(t => t.x.length))
        : 0;
}"""
RANGE = """name => {
    const chart = document.querySelector(`[data-chart="${name}"]`);
    return chart.layout.xaxis.range;
}"""
STRENGTHS = """() => {
    const chart = document.querySelector('[data-chart="alpha"]');
    return chart.data ? chart.data[0].z.flat() : [];
}"""


def points(page: Page, chart: str) -> int:
    """Return how many epochs the longest growing line of a chart has."""
    return int(page.evaluate(POINTS, chart))


def wait_for_points(page: Page, chart: str, count: int) -> None:
    wait_until(lambda: points(page, chart) >= count, f"{count} points of {chart}", page)


def wait_until(condition: Callable[[], bool], what: str, page: Page) -> None:
    """Ask again and again from outside: the site's policy forbids the page to
    evaluate text, and Playwright's own waiting function does that."""
    deadline = time.monotonic() + EPOCH_SECONDS
    while not condition():
        assert time.monotonic() < deadline, (
            f"waited in vain for {what}; the page says: "
            + page.locator(".run-progress").inner_text()
        )
        page.wait_for_timeout(50)


def launch_tiny_search(page: Page) -> None:
    """Fill the launch form: pruned digits, small enough for seconds."""
    page.goto("/experiments/new/")
    page.get_by_role("link", name="BDP on digits").click()
    page.get_by_label(re.compile("^Epochs")).fill(str(EPOCHS))
    page.get_by_text("Optimisers, schedules").click()
    page.get_by_label(re.compile("^Cells per stage N")).fill("1")
    page.get_by_label(re.compile("^Images per class")).fill("20")
    preview = page.get_by_role("complementary", name="Before you launch")
    expect(preview).to_contain_text(f"in {EPOCHS} epochs")
    page.get_by_role("button", name="Launch").first.click()
    page.wait_for_url("**/runs/*/")


def zoom(page: Page, chart: str) -> list[float]:
    """Drag over the middle of a chart; return the range of epochs that is left."""
    plot = page.locator(f'[data-chart="{chart}"] .nsewdrag').first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=5)
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=5)
    before = page.evaluate(RANGE, chart)
    page.mouse.up()
    wait_until(lambda: page.evaluate(RANGE, chart) != before, "the zoom", page)
    return list(page.evaluate(RANGE, chart))


def test_a_search_is_launched_watched_live_and_a_second_one_cancelled(
    cpu_queue: Queue,
    user: User,
    worker: Any,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    launch_tiny_search(page)
    page.evaluate("window.marker = 'the page of the launch'")

    # Both charts and the heat map gain points.
    wait_for_points(page, "accuracy", 2)
    assert points(page, "remaining") >= 2
    strengths = page.evaluate(STRENGTHS)
    shown = int(page.locator("#epoch-shown").inner_text())
    accuracy, remaining = points(page, "accuracy"), points(page, "remaining")
    assert len(strengths) == 6 * 5
    wait_for_points(page, "accuracy", accuracy + 1)
    wait_for_points(page, "remaining", remaining + 1)
    assert int(page.locator("#epoch-shown").inner_text()) > shown
    assert page.evaluate(STRENGTHS) != strengths

    # Zoom and slider stay where the reader put them.
    zoomed = zoom(page, "accuracy")
    slider = page.get_by_role("slider", name="epoch")
    slider.press("Home")
    expect(page.locator("#epoch-shown")).to_have_text("1")
    expect(page.get_by_label("follow live")).not_to_be_checked()
    first_epoch = page.evaluate(STRENGTHS)
    wait_for_points(page, "accuracy", points(page, "accuracy") + 2)
    assert page.evaluate(RANGE, "accuracy") == zoomed
    expect(page.locator("#epoch-shown")).to_have_text("1")
    assert page.evaluate(STRENGTHS) == first_epoch
    page.get_by_label("follow live").check()
    assert int(page.locator("#epoch-shown").inner_text()) > shown

    # To the end, on the page of the beginning.
    state = page.locator('[data-live="label"]')
    expect(state).to_have_text("succeeded", timeout=EPOCHS * EPOCH_SECONDS * 1000)
    assert points(page, "accuracy") == EPOCHS
    head = page.locator("[data-tile]").all_inner_texts()
    assert not any("so far" in tile for tile in head), "what it cost as a whole"
    assert page.evaluate("window.marker") == "the page of the launch"
    page.reload()
    assert page.locator("[data-tile]").all_inner_texts() == head

    # A second run, cancelled while it runs.
    page.get_by_role("link", name="Clone").click()
    page.get_by_role("button", name="Launch").first.click()
    page.wait_for_url("**/runs/*/")
    wait_for_points(page, "accuracy", 1)
    page.get_by_role("button", name="Cancel").click()
    expect(state).to_have_text("cancelled", timeout=5_000)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()

    assert notes.complaints == []
    assert notes.foreign == []
