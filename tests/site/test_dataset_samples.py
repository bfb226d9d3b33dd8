"""The samples of a data set: sheets that only the team gets, and keeps."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from PIL import Image

from searchjobs.artefacts import storage
from searchjobs.models import Dataset, Queue, Team
from tests.site.made_datasets import checked, page_of, text

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


def sheet(client: Client, dataset: Dataset, **query: Any) -> Any:
    return client.get(page_of(dataset, "sheet"), query)


def test_a_sheet_holds_the_images_of_its_page(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue, classes=12)
    client = client_for(user)

    second = Image.open(io.BytesIO(sheet(client, dataset, page=2).content))

    assert second.size == (12 * 10, 2 * 10)
    pixels = np.array(second)[4::10, 4::10]
    assert pixels[:, :, 0].tolist() == [[10] * 12, [11] * 12]
    assert pixels[:, :, 1].tolist() == [list(range(12))] * 2


def test_the_sheet_of_a_class_holds_all_its_samples(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)

    answer = sheet(client_for(user), dataset, **{"class": 1})

    pixels = np.array(Image.open(io.BytesIO(answer.content)))[4::10, 4::10]
    assert pixels[:, :, 1].flatten().tolist() == list(range(24))
    assert set(pixels[:, :, 0].flatten().tolist()) == {1}


def test_a_sheet_is_kept_by_the_browser_and_nobody_between(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)
    client = client_for(user)

    first = sheet(client, dataset, page=1)
    again = client.get(
        page_of(dataset, "sheet"), {"page": 1}, headers={"If-None-Match": first["ETag"]}
    )

    assert first["Cache-Control"] == "private, max-age=31536000, immutable"
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("query", [{"page": "99"}, {"page": "x" * 50}, {"page": "0"}])
def test_a_page_that_is_not_there_is_no_fault(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    query: dict[str, str],
) -> None:
    dataset = checked(user, team, cpu_queue)
    client = client_for(user)

    assert client.get(page_of(dataset), query).status_code == 200
    assert sheet(client, dataset, **query).status_code in {200, 404}


def test_samples_that_are_gone_are_told(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)
    assert dataset.check_job is not None
    storage().delete(dataset.check_job.artefacts.get().path)
    client = client_for(user)

    assert 'role="status"' in text(client.get(page_of(dataset)))
    assert sheet(client, dataset, page=1).status_code == 503
