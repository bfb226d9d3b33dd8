"""The pages of data sets: what a team sees of its own, and nobody else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from searchjobs import uploads
from searchjobs.datasets import register
from searchjobs.models import Dataset, Job, Queue, Team
from searchjobs.states import State
from tests.jobs.zips import pets, picture, zipped
from tests.site.factories import digits_spec, make_run
from tests.site.made_datasets import checked, page_of, text

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def folder(root: Path) -> Path:
    for name, content in pets(count=8).items():
        (root / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "pets" / name).write_bytes(content)
    return root / "pets"


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


# The list -------------------------------------------------------------------------


def test_the_list_shows_the_data_sets_of_the_team_and_no_others(
    user: User,
    team: Team,
    other_team_user: User,
    cpu_queue: Queue,
    client_for: ClientFor,
) -> None:
    checked(user, team, cpu_queue, unreadable_count=4)
    checked(other_team_user, Team.objects.get(name="Others"), cpu_queue, name="Theirs")

    shown = text(client_for(user).get("/datasets/"))

    assert "Pets" in shown
    assert ">303<" in shown
    assert "Theirs" not in shown
    assert "Fashion-MNIST" in shown, "what the site can read"


def test_a_list_of_many_needs_no_more_queries(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(user)
    checked(user, team, cpu_queue)
    few = queries(client, "/datasets/")
    for number in range(15):
        checked(user, team, cpu_queue, name=f"More {number}")

    assert queries(client, "/datasets/") == few


def test_an_empty_list_says_what_to_do(
    user: User, viewer: User, client_for: ClientFor
) -> None:
    assert "upload a zip file" in text(client_for(user).get("/datasets/"))
    assert "Your role is viewer" in text(client_for(viewer).get("/datasets/"))


def test_the_navigation_leads_there(user: User, client_for: ClientFor) -> None:
    shown = text(client_for(user).get("/datasets/"))

    assert '<a href="/datasets/" aria-current="page">Data sets</a>' in shown


# Registering ----------------------------------------------------------------------


def test_the_form_has_the_options_of_the_source(
    user: User, client_for: ClientFor
) -> None:
    client = client_for(user)

    folder = text(client.get("/datasets/new/"))
    digits = text(client.post("/datasets/new/fields/", {"dataset.name": "digits"}))

    assert 'name="dataset.path"' in folder
    assert 'name="dataset.image_size" value="32"' in folder
    assert 'name="dataset.per_class"' in digits
    assert 'name="dataset.path"' not in digits
    assert 'value="uploaded"' not in folder, "uploads have a form of their own"


def test_registering_leads_to_its_page(
    user: User, cpu_queue: Queue, folder: Path, client_for: ClientFor
) -> None:
    answer = client_for(user).post(
        "/datasets/new/",
        {
            "name": "Pets",
            "licence": "Ours.",
            "dataset.name": "folder",
            "dataset.path": str(folder),
            "dataset.image_size": "8",
            "dataset.classes": "dog, cat",
        },
        follow=True,
    )

    dataset = Dataset.objects.get()
    assert answer.redirect_chain == [(page_of(dataset), 302)]
    assert dataset.source["classes"] == ["dog", "cat"]
    assert "waits in queue cpu" in text(answer)
    assert "Ours." in text(answer)


def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(
    user: User, cpu_queue: Queue, client_for: ClientFor, root: Path
) -> None:
    nowhere = str(root / "nowhere")
    answer = client_for(user).post(
        "/datasets/new/",
        {
            "name": "",
            "dataset.name": "folder",
            "dataset.path": nowhere,
            "dataset.image_size": "many",
        },
    )

    shown = text(answer)
    assert "Give the data set a name." in shown
    assert 'value="many"' in shown
    assert f'value="{nowhere}"' in shown
    assert not Dataset.objects.exists()

    again = client_for(user).post(
        "/datasets/new/", {"name": "x", "dataset.path": nowhere}
    )
    place = text(again).index('id="f-dataset-path-error"')
    assert f"There is no folder {nowhere}" in text(again)[place : place + 300]


# Uploading ------------------------------------------------------------------------


def sent(client: Client, content: bytes, **more: str) -> Any:
    file = SimpleUploadedFile("pets.zip", content, "application/zip")
    given = {"name": "Pets", "image_size": "8", "file": file, **more}
    return client.post("/datasets/upload/", given, follow=True)


def test_an_upload_leads_to_its_page(
    user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    answer = sent(client_for(user), zipped(pets()).getvalue())

    dataset = Dataset.objects.get()
    assert answer.redirect_chain == [(page_of(dataset), 302)]
    assert dataset.uploaded
    assert "Uploaded images" in text(answer)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(pets() | {"../evil.png": picture()}), "leads out of its folder"),
        (zipped({"a/0.bmp": bytes(10_000_000)}, 8), "more than 100 times larger"),
        (zipped(pets() | {"bird/": b""}), "has no image; add some"),
        (io.BytesIO(b"no zip"), "This is not a zip file"),
    ],
)
def test_a_refused_upload_says_why_at_the_file(
    user: User,
    cpu_queue: Queue,
    client_for: ClientFor,
    root: Path,
    content: io.BytesIO,
    words: str,
) -> None:
    answer = sent(client_for(user), content.getvalue())

    shown = text(answer)
    place = shown.index('id="f-file-error"')
    assert words in shown[place : place + 400]
    assert not Dataset.objects.exists()
    assert [path for path in root.parent.rglob("*") if path.is_file()] == []


def test_no_file_and_a_file_too_large_are_told(
    user: User, cpu_queue: Queue, client_for: ClientFor, settings: Any
) -> None:
    settings.NASWEB_UPLOAD_MB = 1
    client = client_for(user)

    assert "Choose the zip file" in text(
        client.post("/datasets/upload/", {"name": "x"})
    )
    shown = text(sent(client, bytes(1_100_000)))
    assert "The file has 1 MB, and 1 MB are allowed" in shown


def test_a_wrong_size_stands_at_its_field(
    user: User, cpu_queue: Queue, client_for: ClientFor, root: Path
) -> None:
    answer = sent(client_for(user), zipped(pets()).getvalue(), image_size="tiny")

    shown = text(answer)
    assert 'id="f-image_size-error"' in shown
    assert list((root / "uploads").iterdir()) == []


# One data set ---------------------------------------------------------------------


def test_the_page_tells_what_the_check_found(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    broken = [{"path": "cat/<b>.png", "sentence": "It is damaged or cut off."}]
    dataset = checked(
        user, team, cpu_queue, unreadable=broken, unreadable_count=1, licence="CC0"
    )

    shown = text(client_for(user).get(page_of(dataset)))

    assert ">303<" in shown
    assert "cat/&lt;b&gt;.png" in shown
    assert "It is damaged or cut off." in shown
    assert "measured on these images" in shown
    assert "0.4000" in shown
    assert "balance b = 0.987" in shown
    assert f"/experiments/new/?dataset={dataset.uuid}" in shown
    assert "CC0" in shown


@pytest.mark.parametrize(
    ("source", "mean", "words"),
    [
        ({"name": "cifar10"}, [125.3 / 255, 123.0 / 255, 113.9 / 255], "published"),
        ({"name": "cifar10"}, [0.1, 0.2, 0.3], "measured on"),
        ({"name": "npz", "normalise": "given"}, [0.5, 0.5, 0.5], "given by whoever"),
    ],
)
def test_the_page_says_where_the_constants_come_from(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    source: dict[str, Any],
    mean: list[float],
    words: str,
) -> None:
    dataset = checked(user, team, cpu_queue, source=source, mean=mean)

    assert words in text(client_for(user).get(page_of(dataset)))


def test_another_team_finds_nothing_of_it(
    user: User,
    team: Team,
    other_team_user: User,
    cpu_queue: Queue,
    client_for: ClientFor,
) -> None:
    dataset = checked(user, team, cpu_queue)
    stranger = client_for(other_team_user)

    assert {
        stranger.get(page_of(dataset)).status_code,
        stranger.get(page_of(dataset, "status")).status_code,
        stranger.get(page_of(dataset, "sheet")).status_code,
        stranger.post(page_of(dataset, "check")).status_code,
        stranger.post(page_of(dataset, "edit"), {"name": "Mine"}).status_code,
        stranger.post(page_of(dataset, "remove")).status_code,
        stranger.get(f"/experiments/new/?dataset={dataset.uuid}").status_code,
    } == {404}
    assert Dataset.objects.filter(name="Pets").exists()


def test_what_uses_it_is_listed_with_a_bounded_number_of_queries(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue, source={"name": "digits"})
    make_run(user, team, cpu_queue, name="On all digits")
    client = client_for(user)
    few = queries(client, page_of(dataset))
    for number in range(12):
        spec = digits_spec(dataset={"name": "digits", "per_class": 50 + number})
        make_run(user, team, cpu_queue, name=f"On some {number}", spec=spec)

    shown = text(client.get(page_of(dataset)))

    assert "On all digits" in shown
    assert "On some 11" in shown
    assert "13 experiments" in shown
    assert queries(client, page_of(dataset)) <= few
    assert "it stays" in text(client.post(page_of(dataset, "remove"), follow=True))


def test_removing_leads_back_to_the_list(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)

    answer = client_for(user).post(page_of(dataset, "remove"), follow=True)

    assert "Pets is removed." in text(answer)
    assert not Dataset.objects.exists()


def test_checking_again_queues_a_job_and_says_so(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)
    client = client_for(user)

    shown = text(client.post(page_of(dataset, "check"), follow=True))

    assert "Its images are being read again." in shown
    assert "waits in queue cpu" in shown
    assert "Samples are here once the check has read" in shown
    assert ">303<" in shown, "what is known stays until the check tells more"
    part = client.get(page_of(dataset, "status"))
    assert "HX-Refresh" not in part.headers
    dataset.refresh_from_db()
    Job.objects.filter(pk=dataset.check_job_id).update(state=State.SUCCEEDED)
    assert client.get(page_of(dataset, "status")).headers["HX-Refresh"] == "true"


def test_a_verb_on_a_check_of_the_past_leads_home(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    dataset = checked(user, team, cpu_queue)
    client = client_for(user)
    assert dataset.check_job is not None
    former = reverse("work:act", args=[dataset.check_job.uuid, "cancel"])
    assert client.post(former).headers["Location"] == page_of(dataset)

    client.post(page_of(dataset, "check"))

    assert client.post(former).headers["Location"] == "/"


def test_a_launch_starts_from_it(
    user: User, team: Team, cpu_queue: Queue, folder: Path, client_for: ClientFor
) -> None:
    source = {"name": "folder", "path": str(folder), "image_size": 8}
    dataset = register(user, team, "Pets", source)

    shown = text(client_for(user).get(f"/experiments/new/?dataset={dataset.uuid}"))

    assert f'value="{folder}"' in shown
    assert 'name="dataset.image_size" value="8"' in shown
    assert 'placeholder="DARTS · Pets"' in shown, "the name that a run of it gets"


def test_a_data_set_that_is_not_there_is_404(user: User, client_for: ClientFor) -> None:
    assert client_for(user).get(f"/datasets/{uuid4()}/").status_code == 404


def test_the_upload_page_tells_what_a_team_has_used(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    sent(client_for(user), zipped(pets()).getvalue())

    shown = text(client_for(user).get("/datasets/upload/"))

    assert uploads.used(team) > 0
    assert "of 10,240 MB" in shown
