"""Sheets: every image where the page says, kept by browsers, for the team alone."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nasweb.explorer import sheet
from nasweb.explorer.images import pictures
from searchjobs.models import Queue, Run, Team
from tests.site.explorer.made_up import digits, on_images
from tests.site.factories import make_run

ClientFor = Callable[[User], Client]


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, sheet.MOST), side=st.sampled_from([4, 8, 32, 64]))
def test_every_image_lies_where_its_cell_says(count: int, side: int) -> None:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (count, side, side, 3)).copy()
    images[:, 0, 0] = 200
    whole = np.array(Image.open(io.BytesIO(sheet.sheet(images))))
    width, height = sheet.scale(count, side)
    assert whole.shape[1] == pytest.approx(width / 100 * side)
    assert whole.shape[0] == pytest.approx(height / 100 * side)
    for number, cell in enumerate(sheet.cells(count, side)):
        # what CSS does: the share of the room that the window leaves
        left = round(cell.x / 100 * (whole.shape[1] - side))
        top = round(cell.y / 100 * (whole.shape[0] - side))
        window = whole[top : top + side, left : left + side]
        assert (window == images[number]).all()


@pytest.fixture
def run(fresh: None, user: User, team: Team, cpu_queue: Queue) -> Run:
    return on_images(make_run(user, team, cpu_queue, finished=1), digits())


def address(run: Run, ids: str = "3,1,4") -> str:
    return reverse("runs:data-sheet", args=[run.uuid]) + f"?v=1&ids={ids}"


@pytest.mark.django_db
def test_a_sheet_holds_the_images_asked_for_and_is_kept_for_good(
    run: Run, user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    answer = client.get(address(run))
    assert answer["Content-Type"] == "image/png"
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    known = pictures(run)
    whole = np.array(Image.open(io.BytesIO(answer.content)))
    assert (whole[1:9, 1:9] == known.pixels[3]).all()
    assert (whole[1:9, 11:19] == known.pixels[1]).all()

    again = client.get(address(run), headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again["Cache-Control"] == answer["Cache-Control"]
    others = client.get(address(run, "3,1,5"))
    assert others["ETag"] != answer["ETag"]


@pytest.mark.django_db
def test_a_sheet_is_for_the_team_alone(
    run: Run, viewer: User, other_team_user: User, client_for: ClientFor
) -> None:
    assert client_for(viewer).get(address(run)).status_code == 200
    etag = client_for(viewer).get(address(run))["ETag"]
    stranger = client_for(other_team_user)
    assert stranger.get(address(run)).status_code == 404
    kept = stranger.get(address(run), headers={"If-None-Match": etag})
    assert kept.status_code == 404
    assert Client().get(address(run)).status_code == 302
    assert client_for(viewer).post(address(run)).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize(
    "ids", ["", "1,,2", "-1", "x", "1797", "9" * 40, ",".join(["1"] * 121), "²"]
)
def test_ids_that_make_no_sense_are_not_found(
    ids: str, run: Run, user: User, client_for: ClientFor
) -> None:
    assert client_for(user).get(address(run, ids)).status_code == 404


@pytest.mark.django_db
def test_a_run_without_images_has_no_sheet(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue)
    assert client_for(user).get(address(run)).status_code == 404
