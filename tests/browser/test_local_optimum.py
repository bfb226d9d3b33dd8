"""The warning of a local optimum, on a page that is open while it happens."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Page, expect

from searchjobs import bell, benchmark
from searchjobs.models import EpochRecord, Queue, Run, Team
from tests.browser.conftest import Notes
from tests.site.factories import add_epoch, make_run

pytestmark = pytest.mark.browser


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue, transactional_db: None) -> Run:
    return make_run(user, team, cpu_queue, finished=4)


def collapse(run: Run) -> None:
    """Add an epoch whose genotype takes a skip on every edge, and tell open pages.

    In a thread of its own: Playwright's event loop keeps Django from its database here.
    """
    thread = Thread(target=_collapse, args=[run])
    thread.start()
    thread.join()


def _collapse(run: Run) -> None:
    space = benchmark.space_named("nas-bench-201")
    encoding = space.encode({"cell": ["skip_connect"] * 6})
    add_epoch(run)
    run.architecture = benchmark.resolve_one(space.name, encoding)
    run.save(update_fields=["architecture"])
    EpochRecord.objects.filter(run=run, epoch=run.epoch).update(
        genotype=encoding, architecture=run.architecture
    )
    bell.ring(run.uuid, str(run.epoch))
    connection.close()


def test_the_warning_comes_with_the_epoch_that_deserves_it(
    run: Run,
    user: User,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    page.goto(f"/runs/{run.uuid}/")
    alert = page.locator('[data-live="alert"]')
    expect(alert).to_be_hidden()
    page.wait_for_timeout(500)  # the stream is open
    collapse(run)
    expect(alert).to_be_visible()
    expect(alert).to_contain_text("Local optimum since epoch 5: every edge")
    expect(alert).to_have_attribute("data-tone", "danger")
    assert notes.complaints == []
