"""What only some methods tell, on an open page: marks, slider, late charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs import bell
from searchjobs.models import EpochRecord, Queue, Run, Team
from tests.browser.conftest import Notes
from tests.site.factories import add_epoch, make_run

pytestmark = pytest.mark.browser

ALL = [[True] * 5 for _ in range(6)]
PRUNED = [[False, *[True] * 4], *ALL[1:]]
SHAPES = """name => document.querySelector(`[data-chart="${name}"]`).layout.shapes
    .map(s => [s.type, s.x0, s.x1, s.y0])"""
HOVER = """() => document.querySelector('[data-chart="alpha"]').data[0].customdata"""
WORDS = """name => document.querySelector(`[data-chart="${name}"]`).layout.annotations
    .map(a => a.text)"""


def tell(record: EpochRecord, **method: Any) -> None:
    """Put what a method reports of an epoch into its row, as the recorder does."""
    record.report["method"] = method
    record.save(update_fields=["report"])


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue, transactional_db: None) -> Run:
    """Four epochs: an operation goes at epoch 2, an edge is decided at epoch 3."""
    run = make_run(user, team, cpu_queue, finished=4)
    decided = [None, None, "skip_connect", None, None, None]
    without = [[0.5, 0.4, 0.6, 0.6, 0.6] for _ in range(6)]
    for record in EpochRecord.objects.filter(run=run):
        tell(
            record,
            stage=1,
            allowed={"cell": PRUNED if record.epoch >= 2 else ALL},
            decided={"cell": decided if record.epoch >= 3 else [None] * 6},
            importance={"cell": without} if record.epoch >= 3 else {},
        )
    return run


def test_marks_follow_the_slider_and_new_charts_come_with_their_first_values(
    run: Run,
    user: User,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    page.goto(f"/runs/{run.uuid}/")
    expect(page.locator("#epoch-shown")).to_have_text("4")
    shapes = page.evaluate(SHAPES, "alpha")
    assert ["rect", -0.5, 0.5, -0.5] in shapes  # none of the first edge is covered
    assert ["line", -0.5, 0.5, -0.5] in shapes  # and struck
    assert ["rect", -0.5, 4.5, 1.5] in shapes  # the third edge is framed as a whole
    words = page.evaluate(HOVER)
    assert "no more" in words[0][0]
    assert words[2][1] == "<br>decided at epoch 3"
    boxes = page.evaluate(SHAPES, "importance")
    assert boxes == [["rect", 0.5, 1.5, row - 0.5] for row in range(6)]

    slider = page.get_by_role("slider", name="epoch")
    slider.press("Home")
    assert len(page.evaluate(SHAPES, "alpha")) == 6  # what the genotype takes
    expect(page.locator('[data-empty="importance"]')).to_contain_text("on trial")
    slider.press("End")
    page.locator("#follow").check()

    assert page.locator('[data-chart="scalar-temperature"]').count() == 0
    page.wait_for_timeout(500)  # the stream is open
    notify(run)
    expect(page.get_by_role("heading", name="Temperature")).to_be_visible(
        timeout=20_000
    )
    assert page.evaluate(WORDS, "losses") == ["stage 2"]
    assert page.evaluate(SHAPES, "losses")[-1][:3] == ["line", 4.5, 4.5]
    assert not notes.complaints


def notify(run: Run) -> None:
    """Add the first epoch of a second stage, with a curve that was not there before.

    In a thread of its own: Playwright's event loop keeps Django from its database here.
    """
    from threading import Thread

    def work() -> None:
        from django.db import connection

        tell(add_epoch(run), stage=2, scalars={"temperature": 7.5})
        bell.ring(run.uuid, "5")
        connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join()
