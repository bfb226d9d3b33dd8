"""A real Chromium that notes every complaint and every request to another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Request, sync_playwright

from tests.factories import PASSWORD


@dataclass
class Notes:
    """What a page must not cause."""

    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self, page: Page, host: str) -> None:
        def request_made(request: Request) -> None:
            if urlsplit(request.url).netloc not in {host, ""}:
                self.foreign.append(request.url)

        page.on("request", request_made)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in {"error", "warning"}
                else None
            ),
        )


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def page(live_site: str, notes: Notes) -> Iterator[Page]:
    """A page of a fresh browser on the site; nothing is loaded yet.

    Playwright keeps an event loop running in this thread, and under one Django's
    database refuses to work.  So the browser ends with the test, and a test names
    this fixture after those that make rows.
    """
    system = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        context = browser.new_context(
            base_url=live_site, viewport={"width": 1440, "height": 1000}
        )
        opened = context.new_page()
        notes.watch(opened, urlsplit(live_site).netloc)
        yield opened
        browser.close()


@pytest.fixture
def log_in(page: Page) -> Callable[[User], None]:
    """A function that logs a user in by the form, as a person does."""

    def typed(user: User) -> None:
        page.goto("/")
        page.get_by_label("Username").fill(user.get_username())
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="Log in").wait_for(state="detached")

    return typed
