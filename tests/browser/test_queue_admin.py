"""An administrator runs the queues with mouse and keyboard; rows and audit follow.

One site and one browser serve all tests of this module; the rows are each test's own.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from searchjobs.models import AuditEvent, Job, Queue, Run, Slot, Team
from searchjobs.states import State
from tests import servers
from tests.browser.conftest import Notes
from tests.factories import make_queue, make_team, make_user
from tests.jobs.conftest import make_slot
from tests.site.factories import digits_spec, make_run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SPEC = digits_spec(epochs=3)


@pytest.fixture(scope="module")
def shared_site(django_db_setup: None) -> Iterator[str]:
    with servers.running_site() as address:
        yield address


@pytest.fixture(scope="module")
def shared_browser() -> Iterator[Browser]:
    """A browser for all tests.  Playwright keeps an event loop in this thread, under
    which Django refuses its database unless it is told that this is well."""
    system = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def enter(
    shared_site: str, shared_browser: Browser, notes: Notes
) -> Iterator[Callable[[User, str], Page]]:
    """A function that opens a page as a user who has logged in."""
    contexts = []

    def opened(user: User, path: str = "/queues/") -> Page:
        client = Client()
        client.force_login(user)
        context = shared_browser.new_context(
            base_url=shared_site, viewport={"width": 1440, "height": 1000}
        )
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies(
            [{"name": name, "value": client.cookies[name].value, "url": shared_site}]
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        notes.watch(page, urlsplit(shared_site).netloc)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert notes.foreign == []


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def slot(cpu_queue: Queue) -> Slot:
    return make_slot("node1", device_name="CPU, 8 cores", utilisation=40.0)


@pytest.fixture
def line(user: User, team: Team, cpu_queue: Queue) -> list[Run]:
    """Three runs of one team that wait, in this order."""
    return [
        queued(user, team, cpu_queue, name, place)
        for place, name in enumerate(["first", "second", "third"])
    ]


def queued(user: User, team: Team, queue: Queue, name: str, position: int) -> Run:
    run = make_run(user, team, queue, name=name, spec=SPEC, state="queued")
    Job.objects.filter(pk=run.job_id).update(position=position)
    return run


def event(verb: str) -> AuditEvent:
    """Return the one event that there is, of this verb."""
    found = AuditEvent.objects.get()
    assert (found.verb, found.actor and found.actor.username) == (verb, "root")
    return found


def order(page: Page) -> list[str]:
    rows = page.locator("tr[data-job]").evaluate_all(
        "rows => rows.map(row => row.dataset.title)"
    )
    return [title.split(" ")[0] for title in rows]


def names() -> list[str]:
    """Return the line as it stands in the database."""
    jobs = Job.objects.filter(state=State.QUEUED).order_by("position")
    return list(jobs.values_list("run__experiment__name", flat=True))


def row(page: Page, name: str) -> Locator:
    return page.locator("tr[data-job]").filter(has_text=f"{name} · seed 1")


def menu_of(page: Page, name: str) -> Locator:
    page.get_by_role("button", name=f"Change {name} · seed 1").click()
    return page.get_by_role("dialog", name=f"{name} · seed 1")


def told(page: Page, sentence: str | re.Pattern[str]) -> None:
    expect(page.locator("#told")).to_contain_text(sentence)


def drag(page: Page, name: str, below: str) -> None:
    """Take a run by its handle and let it go under another one."""
    handle = row(page, name).locator("[data-handle]")
    target = row(page, below).bounding_box()
    assert target is not None
    handle.hover()
    page.mouse.down()
    page.mouse.move(target["x"] + 30, target["y"] + target["height"] / 2, steps=4)
    page.mouse.move(target["x"] + 30, target["y"] + 0.8 * target["height"], steps=2)
    page.mouse.up()


def test_pause_asks_for_a_reason_and_resume_opens_the_queue_again(
    admin: User, slot: Slot, cpu_queue: Queue, enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    page.locator("summary[aria-label='Pause cpu']").click()
    page.get_by_label("Reason, shown to all").fill("driver update at noon")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.get_by_text("“driver update at noon”")).to_be_visible()
    expect(page.get_by_text(re.compile("paused by root, "))).to_be_visible()
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.paused_by) == (True, admin)
    assert (event("pause").after or {})["reason"] == "driver update at noon"
    AuditEvent.objects.all().delete()

    page.get_by_role("button", name="Resume cpu").click()
    expect(page.get_by_text("The queue cpu is open.")).to_be_visible()
    cpu_queue.refresh_from_db()
    assert (cpu_queue.paused, cpu_queue.pause_reason) == (False, "")
    event("resume")


def test_a_waiting_run_is_cancelled_from_its_menu(
    admin: User, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    menu = menu_of(page, "second")
    menu.get_by_text("Cancel…").click()
    menu.get_by_role("button", name="Cancel this run").click()
    told(page, "is being cancelled")
    expect(page.locator("tr[data-job]")).to_have_count(2)
    assert Job.objects.get(run=line[1]).state == State.CANCELLED
    assert event("cancel").object_id == str(line[1].job.uuid)


def test_a_slot_is_drained_and_undrained(
    admin: User, slot: Slot, enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    page.get_by_role("button", name="Drain node1 : 0").click()
    expect(page.get_by_role("rowheader", name="node1 : 0 draining")).to_be_visible()
    slot.refresh_from_db()
    assert slot.drain_requested
    event("drain")
    AuditEvent.objects.all().delete()
    page.get_by_role("button", name="Undrain node1 : 0").click()
    expect(
        page.get_by_role("button", name="Drain node1 : 0", exact=True)
    ).to_be_visible()
    slot.refresh_from_db()
    assert not slot.drain_requested
    event("undrain")


def test_a_worker_is_drained_on_its_page(
    admin: User, slot: Slot, enter: Callable[..., Page]
) -> None:
    page = enter(admin, "/installation/workers/")
    page.get_by_role("button", name="Drain the worker node1").click()
    expect(page.get_by_role("button", name="Undrain the worker node1")).to_be_visible()
    slot.worker.refresh_from_db()
    assert slot.worker.drain_requested
    assert event("drain").object_type == "worker"


def test_a_run_is_dragged_to_another_place(
    admin: User, slot: Slot, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    assert order(page) == ["first", "second", "third"]
    drag(page, "first", below="second")
    told(page, "The job has its new place.")
    assert order(page) == ["second", "first", "third"]
    assert names() == ["second", "first", "third"]
    assert event("reorder").object_id == str(line[0].job.uuid)
    drag(page, "second", below="third")
    expect(row(page, "second").locator(".place")).to_contain_text("3")
    assert names() == ["first", "third", "second"]


def test_escape_lets_a_dragged_run_go_where_it_was(
    admin: User, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    box = row(page, "third").bounding_box()
    assert box is not None
    row(page, "first").locator("[data-handle]").hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 10, steps=4)
    expect(row(page, "first")).to_have_class("dragged")
    page.keyboard.press("Escape")
    expect(row(page, "first")).not_to_have_class("dragged")
    page.mouse.up()
    page.wait_for_timeout(200)
    assert names() == ["first", "second", "third"]
    assert not AuditEvent.objects.exists()


def test_a_run_is_moved_by_the_arrow_keys_and_keeps_the_focus(
    admin: User, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    handle = page.get_by_role("button", name=re.compile("^Place of third · seed 1: 3"))
    handle.focus()
    page.keyboard.press("ArrowUp")
    told(page, "one place further ahead")
    moved = page.get_by_role("button", name=re.compile("^Place of third · seed 1: 2"))
    expect(moved).to_be_focused()
    assert names() == ["first", "third", "second"]
    event("reorder")
    page.keyboard.press("ArrowDown")
    told(page, "one place further back")
    assert names() == ["first", "second", "third"]


def test_a_drop_that_the_fair_share_makes_void_is_answered_in_a_sentence(
    admin: User, slot: Slot, line: list[Run], enter: Callable[..., Page]
) -> None:
    other = make_team("Others")
    stranger = queued(make_user("otto", other), other, line[0].job.queue, "theirs", 9)
    page = enter(admin)
    assert order(page) == ["first", "theirs", "second", "third"]
    drag(page, "first", below="theirs")
    told(page, "because between teams the fair share decides")
    assert order(page) == ["first", "theirs", "second", "third"]
    assert Job.objects.get(pk=stranger.job_id).position == 9
    assert not AuditEvent.objects.exists()


def test_a_run_is_moved_to_another_queue(
    admin: User, line: list[Run], enter: Callable[..., Page]
) -> None:
    night = make_queue("night")
    page = enter(admin)
    menu = menu_of(page, "first")
    menu.get_by_label("Queue").select_option("night")
    menu.get_by_role("button", name="Move").click()
    told(page, "waits at the end of night")
    waiting = page.get_by_role("region", name="Waiting in night")
    expect(waiting).to_contain_text("first · seed 1")
    assert Job.objects.get(run=line[0]).queue == night
    found = event("move")
    assert (found.before, found.after) == ({"queue": "cpu"}, {"queue": "night"})


def test_a_run_is_held_with_a_reason_and_released(
    admin: User, slot: Slot, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    menu = menu_of(page, "first")
    menu.get_by_label("Hold").fill("waits for data")
    menu.get_by_role("button", name="Hold").click()
    expect(row(page, "first")).to_contain_text("held: waits for data")
    assert order(page) == ["second", "third", "first"]
    job = Job.objects.get(run=line[0])
    assert (job.held, job.hold_reason) == (True, "waits for data")
    event("hold")
    AuditEvent.objects.all().delete()
    menu_of(page, "first").get_by_role("button", name="Release").click()
    told(page, "Slots may take the job again.")
    assert order(page) == ["first", "second", "third"]
    assert not Job.objects.get(run=line[0]).held
    event("release")


def test_a_priority_is_changed_from_the_menu(
    admin: User, slot: Slot, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    menu = menu_of(page, "third")
    menu.get_by_label("Priority").select_option("high")
    menu.get_by_role("button", name="Set").click()
    told(page, "has high priority")
    assert order(page) == ["third", "first", "second"]
    assert Job.objects.get(run=line[2]).priority == Job.Priority.HIGH
    event("priority")


def test_the_list_is_drawn_anew_but_never_under_a_hand(
    admin: User, slot: Slot, line: list[Run], enter: Callable[..., Page]
) -> None:
    page = enter(admin)
    asked: list[float] = []
    page.on(
        "request",
        lambda request: (
            asked.append(time.monotonic()) if request.url.endswith("/queues/") else None
        ),
    )
    chart = page.locator("[data-chart=usage]")
    chart.evaluate("chart => { chart.dataset.known = 'yes'; }")
    page.locator("summary[aria-label='Pause cpu']").click()
    reason = page.get_by_label("Reason, shown to all")
    reason.fill("half a sen")
    page.wait_for_timeout(5_600)
    assert asked == []
    expect(reason).to_have_value("half a sen")
    page.keyboard.press("Escape")
    Job.objects.filter(run=line[0]).update(state=State.CANCELLED)
    page.get_by_role("heading", name="Slots").click()
    expect(page.locator("tr[data-job]")).to_have_count(2, timeout=8_000)
    assert chart.get_attribute("data-known") == "yes"  # the chart was not drawn anew


def test_a_member_sees_the_page_without_its_controls(
    user: User, slot: Slot, line: list[Run], enter: Callable[..., Page], notes: Any
) -> None:
    page = enter(user)
    expect(page.get_by_role("region", name="Waiting in cpu")).to_contain_text("second")
    assert (
        page.locator("[data-handle], [data-menu], .queue-verbs, .row-verb").count() == 0
    )
    assert page.get_by_role("link", name="Installation").count() == 0
    assert notes.complaints == []
