"""The files of a run: listed for its team, and sent in pieces."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from searchjobs import artefacts
from searchjobs.models import Artefact, Queue, Run, Team
from tests.jobs.conftest import use_artefacts_folder
from tests.servers import running_site
from tests.site.factories import make_run

ClientFor = Callable[[User], Client]
NAME = "checkpoints/epoch-00007.pt"
CONTENT = bytes(range(256)) * 40_000  # 10 MB: many pieces


@pytest.fixture(autouse=True)
def _own_storage(tmp_path: Path, settings: Any) -> None:
    use_artefacts_folder(settings, tmp_path / "artefacts")


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    run = make_run(user, team, cpu_queue, finished=7)
    add(run, NAME, 7, CONTENT)
    return run


def add(run: Run, name: str, epoch: int | None, content: bytes) -> None:
    path = f"{run.job.uuid}/1/{name}"
    artefacts.storage().save(path, artefacts.ContentFile(content))
    Artefact.objects.create(
        job=run.job, name=name, epoch=epoch, fence=1, path=path, size=len(content)
    )


def address(run: Run, name: str = NAME) -> str:
    return reverse("runs:file", args=[run.uuid, name])


@pytest.mark.django_db
def test_the_page_lists_files_by_kind_with_epoch_size_and_attempt(
    run: Run, user: User, client_for: ClientFor
) -> None:
    add(run, "checkpoints/epoch-00006.pt", 6, b"older")
    add(run, "logs/attempt-0001.log", None, b"epoch 1 of 20\n")
    text = client_for(user).get(reverse("runs:files", args=[run.uuid])).content.decode()
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == ["Checkpoints", "Logs"]
    assert text.index("epoch-00007.pt") < text.index("epoch-00006.pt")
    assert "2 files, 10 MB" in text
    assert f'href="{address(run)}"' in text


@pytest.mark.django_db
def test_a_run_without_files_says_when_they_come(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue)
    page = client_for(user).get(reverse("runs:files", args=[run.uuid]))
    assert "Checkpoints come with the epochs" in page.content.decode()


@pytest.mark.django_db
def test_a_file_comes_as_an_attachment_that_is_not_kept_by_caches(
    run: Run, user: User, client_for: ClientFor
) -> None:
    answer = client_for(user).get(address(run))
    assert b"".join(answer.streaming_content) == CONTENT  # type: ignore[arg-type]
    name = f"run-{run.uuid}-epoch-00007.pt"
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Length"] == str(len(CONTENT))
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["checkpoints/epoch-00009.pt", "../../secret_key", "..%2f..%2fsecret_key"]
)
def test_only_what_has_a_row_is_sent(
    run: Run, user: User, client_for: ClientFor, name: str
) -> None:
    page = reverse("runs:files", args=[run.uuid])
    assert client_for(user).get(f"{page}{name}").status_code == 404


@pytest.mark.django_db
def test_a_file_of_one_run_is_not_found_under_another(
    run: Run, user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    other = make_run(user, team, cpu_queue, name="other")
    assert client_for(user).get(address(other)).status_code == 404


@pytest.mark.django_db
def test_other_teams_and_strangers_get_nothing(
    run: Run, other_team_user: User, client_for: ClientFor
) -> None:
    assert client_for(other_team_user).get(address(run)).status_code == 404
    assert Client().get(address(run)).status_code == 302


@pytest.mark.django_db
def test_a_storage_that_is_away_is_told_on_the_page_of_the_files(
    run: Run, user: User, client_for: ClientFor
) -> None:
    (Path(artefacts.storage().path("")) / str(run.job.uuid)).rename(
        Path(artefacts.storage().path("")) / "elsewhere"
    )
    answer = client_for(user).get(address(run), follow=True)
    assert answer.redirect_chain == [(reverse("runs:files", args=[run.uuid]), 302)]
    assert "could not read the storage of artefacts" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_real_site_sends_it_whole(
    run: Run, user: User, client_for: ClientFor
) -> None:
    session = client_for(user).cookies["sessionid"].value
    with running_site() as site:
        request = urllib.request.Request(
            f"{site}{address(run)}", headers={"Cookie": f"sessionid={session}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.read() == CONTENT
