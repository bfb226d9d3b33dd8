"""A run that went back opens at the epoch of its result, with decimals that tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs.models import EpochRecord, Queue, Run, Team
from tests.browser.conftest import Notes
from tests.site.factories import make_run

pytestmark = pytest.mark.browser

DIGITS = """() => document.querySelector('[data-chart="alpha"]').data[0].texttemplate"""
CLOSE = [0.2004, 0.1998, 0.2010, 0.1994, 0.1994]
APART = [0.10, 0.15, 0.20, 0.25, 0.30]


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue, transactional_db: None) -> Run:
    """Eight epochs, of which the first has close strengths; the result is epoch 3."""
    run = make_run(user, team, cpu_queue, finished=8, state="succeeded")
    for epoch, row in ((1, CLOSE), (3, APART)):
        strengths = {"cell": [row] * 6}
        EpochRecord.objects.filter(run=run, epoch=epoch).update(strengths=strengths)
    run.architectures = [
        {
            "derivation": "selective-stop",
            "epoch": 3,
            "architecture": EpochRecord.objects.get(run=run, epoch=3).genotype,
            "connected": True,
            "criterion": "SS nor_conv_3x3",
        }
    ]
    run.save()
    return run


def test_slider_and_cell_open_at_the_result_and_fields_can_be_told_apart(
    run: Run,
    user: User,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    page.goto(f"/runs/{run.uuid}/")
    expect(page.locator("#epoch-shown")).to_have_text("3")
    expect(page.locator("#cell-epoch")).to_have_text(" of epoch 3")
    expect(page.locator("#follow")).not_to_be_checked()
    expect(page.get_by_text("to which SS conv 3×3 went back")).to_be_visible()
    assert page.evaluate(DIGITS) == "%{z:.2f}"
    page.get_by_role("slider", name="epoch").press("Home")
    assert page.evaluate(DIGITS) == "%{z:.4f}"
    page.locator("#follow").check()
    expect(page.locator("#epoch-shown")).to_have_text("8")
    assert not notes.complaints
