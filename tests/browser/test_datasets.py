"""A person uploads images, and sees what the check has found in them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from searchjobs.models import Queue, Team
from tests.browser.conftest import Notes
from tests.jobs.zips import picture, zipped

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def zip_file(tmp_path: Path) -> Path:
    content = {
        f"{name}/{number}.png": picture(100 * place + number, size=32)
        for place, name in enumerate(("cat", "dog", "mouse"))
        for number in range(14 - 3 * place)
    }
    file = tmp_path / "pets.zip"
    content["cat/cut.png"] = picture(1)[:-40]
    content["README.txt"] = b"our pets"
    file.write_bytes(zipped(content).getvalue())
    return file


def test_uploaded_images_are_checked_shown_and_searched_on(
    user: User,
    team: Team,
    cpu_queue: Queue,
    worker: subprocess.Popen[bytes],
    zip_file: Path,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    page.get_by_role("link", name="Data sets", exact=True).click()
    page.get_by_role("link", name="Upload images").click()
    page.get_by_label("Name").fill("Pets")
    page.get_by_label("Zip file").set_input_files(zip_file)
    page.get_by_role("button", name="Upload and check").click()

    # the page renews itself until the check has ended
    expect(page.get_by_role("heading", name="Samples")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("succeeded")).to_be_visible()
    expect(page.locator(".shot-image")).to_have_count(12 + 11 + 8)
    drawn = "each => getComputedStyle(each).backgroundImage"
    assert "samples.png" in page.locator(".shot-image").first.evaluate(drawn)
    expect(page.get_by_text("It is damaged or cut off.")).to_be_visible()
    expect(page.get_by_text("It lies in no class folder.")).to_be_visible()
    expect(page.locator("[data-chart=classes] .bars path")).to_have_count(3)
    page.get_by_role("link", name="dog").click()
    expect(page.locator(".shot-image")).to_have_count(11)
    page.get_by_role("link", name="Launch a search on it").click()
    expect(page.get_by_label("Data set", exact=True)).to_have_value("uploaded")
    assert notes.complaints == []
    assert notes.foreign == []


def test_another_source_brings_its_own_settings(
    user: User,
    team: Team,
    cpu_queue: Queue,
    page: Page,
    log_in: Callable[[User], None],
    notes: Notes,
) -> None:
    log_in(user)
    page.goto("/datasets/new/")
    page.get_by_label("Name").fill("Ours")
    page.get_by_label("Source").select_option("cifar10")

    expect(page.get_by_label("Download")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Ours")
    page.get_by_role("button", name="Register and check").click()
    expect(page.get_by_text("There is no CIFAR-10 at")).to_be_visible()
    assert notes.complaints == []
