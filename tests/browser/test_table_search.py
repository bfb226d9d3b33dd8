"""A search on the benchmark table, watched in a browser while its rows come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Page, expect

from searchjobs.engine import places
from searchjobs.engine.events import EpochFinished, Event, Finished, Progress
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.table_search import search_table
from searchjobs.launch import launch
from searchjobs.models import Job, Queue, Team
from searchjobs.recorder import Recorder
from tests.browser.conftest import Notes
from tests.browser.test_live_run import points, wait_for_points
from tests.engine.made_up_table import made_up_table, write_table
from tests.jobs.conftest import make_slot, take

pytestmark = pytest.mark.browser
SPEC = {"method": {"name": "reinforce", "repeats": 60, "points": 12, "budget": 6000}}


@pytest.fixture
def told(
    user: User,
    team: Team,
    cpu_queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Recorder, list[Event]]:
    """A run of which the first half is recorded, and the events of the rest."""
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    write_table(places.table_path("nas-bench-201"))
    launch(user, team, "on the table", SPEC, [1])
    taken = take(make_slot())
    assert taken is not None
    recorder = Recorder(taken)
    spec = SearchSpec.model_validate(Job.objects.get().spec)
    table = made_up_table()
    events = [e for e in search_table(spec, table=table) if not isinstance(e, Progress)]
    for event in events[:7]:
        recorder.record(event)
    return recorder, events[7:]


def test_the_charts_of_the_repeats_grow_with_the_simulated_time(
    transactional_db: None,
    told: tuple[Recorder, list[Event]],
    user: User,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    recorder, rest = told
    run = recorder.run
    log_in(user)
    page.goto(f"/runs/{run.uuid}/")
    wait_for_points(page, "best", 6)
    before = points(page, "best")
    expect(page.locator('[data-tile="seconds"]')).to_contain_text("3,000")
    record_in_a_thread(recorder, rest)
    wait_for_points(page, "best", before + 6)
    expect(page.locator('[data-tile="seconds"]')).to_contain_text("6,000")
    expect(page.locator('[data-live="summary"]')).to_contain_text("point 12 of 12")
    expect(page.locator("#cell-epoch")).to_have_text(" of point 12")
    expect(page.locator('[data-chart="picks"] .bars .point').first).to_be_attached()
    assert notes.complaints == []
    assert notes.foreign == []


def record_in_a_thread(recorder: Recorder, events: list[Event]) -> None:
    """Record outside of Playwright's event loop, as a worker does."""

    def work() -> None:
        try:
            for event in events:
                if isinstance(event, EpochFinished | Finished):
                    recorder.record(event)
        finally:
            connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
