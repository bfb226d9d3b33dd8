"""Forms that no page of ours sends: what is another team's, and what makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb import spec_form
from searchjobs import artefacts, subset_files
from searchjobs.engine import places
from searchjobs.models import Dataset, Evaluation, Queue, Subset, Team
from searchjobs.states import State
from searchjobs.subsets import launch_subset
from tests.site.factories import make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]

FORM = {"seeds": "1", "compute.device": "cpu"}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a site of its own."""
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def theirs(other_team_user: User, cpu_queue: Queue) -> Subset:
    """A subset of another team, with a file that says what it is."""
    others = Team.objects.get(memberships__user=other_team_user)
    choice = {"dataset": {"name": "digits"}, "selection": {"name": "random"}}
    return launch_subset(other_team_user, others, "theirs", choice)


def on(subset: str) -> dict[str, str]:
    chosen = {"selection.name": "subset", "dataset.name": "digits"}
    return spec_form.defaults(chosen) | {**FORM, "selection.subset": subset}


def choosing(**changes: str) -> dict[str, str]:
    chosen = {"selection.name": "random", "dataset.name": "digits"}
    typed = {name.replace("__", "."): value for name, value in changes.items()}
    return spec_form.defaults(chosen) | FORM | typed


def test_a_preview_tells_nothing_of_the_subset_of_another_team(
    client_for: ClientFor,
    user: User,
    theirs: Subset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(places, "subset_providers", [looked.append])
    by_path = places.subset_path(str(theirs.uuid))
    for named in (str(theirs.uuid), str(by_path), f"{by_path.parent}/./{by_path.name}"):
        for page in ("experiments:new-preview", "experiments:new"):
            answer = client_for(user).post(reverse(page), on(named))
            assert "There is no such subset in this team" in answer.content.decode()
    assert not looked, "nobody has looked for it"


def test_a_preview_tells_nothing_of_the_upload_of_another_team(
    client_for: ClientFor, user: User, root: Path
) -> None:
    upload = "5f0c3c1e-8a9f-4f4e-9b59-0f0b7d9f3c11"
    values = spec_form.defaults({"dataset.name": "uploaded"}) | FORM
    values["dataset.upload"] = upload
    for page in ("experiments:new-preview", "experiments:new", "subsets:new"):
        text = client_for(user).post(reverse(page), values).content.decode()
        assert "Your team has no such upload" in text
        assert "These images were removed" not in text


def test_a_storage_that_is_away_is_told_in_the_preview(
    client_for: ClientFor,
    user: User,
    team: Team,
    cpu_queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = {"dataset": {"name": "digits"}, "selection": {"name": "random"}}
    subset = launch_subset(user, team, "ours", choice)

    def away(_: object) -> None:
        raise artefacts.StorageAwayError("The storage is away.")

    monkeypatch.setattr(subset_files, "bring", away)
    page = reverse("experiments:new-preview")
    answer = client_for(user).post(page, on(str(subset.uuid)))
    assert "The storage is away." in answer.content.decode()


@pytest.mark.parametrize("content", ["array", "list", "home"])
def test_what_is_no_file_of_a_subset_is_told(
    client_for: ClientFor, maintainer: User, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "x.npz"
    if content == "array":
        path = path.with_suffix(".npy")
        np.save(path, np.zeros(3))
    elif content == "list":
        np.savez(path, about=np.array("[1]"))
    named = "~nobody-of-this-name/x.npz" if content == "home" else str(path)
    client = client_for(maintainer)
    answer = client.post(reverse("experiments:new-preview"), on(named))
    assert answer.status_code == 200
    assert "that can be read here" in answer.content.decode()


@pytest.mark.parametrize("part", ["method", "selection", "dataset"])
def test_a_part_that_is_not_there_makes_no_subset_and_is_told(
    client_for: ClientFor, user: User, team: Team, cpu_queue: Queue, part: str
) -> None:
    values = choosing(**{f"{part}__name": "nosuch"})
    answer = client_for(user).post(reverse("subsets:new"), values)
    assert answer.status_code == 200
    assert "nosuch" in answer.content.decode()
    assert not Subset.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset.path", "~nobody-of-this-name/images"),
        ("dataset.path", "/" + "a" * 5000),
        ("dataset.classes", "9" * 5000),
    ],
)
def test_a_source_that_makes_no_sense_is_told(
    client_for: ClientFor,
    maintainer: User,
    cpu_queue: Queue,
    tmp_path: Path,
    field: str,
    value: str,
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").write_bytes(b"")
    sent = {"name": "Pets", "dataset.name": "folder", "dataset.image_size": "8"}
    sent |= {"dataset.path": str(tmp_path / "pets"), field: value}
    answer = client_for(maintainer).post(reverse("datasets:new"), sent)
    assert answer.status_code == 200
    assert "field-error" in answer.content.decode()
    assert not Dataset.objects.exists()


def test_a_form_with_a_zero_byte_is_refused(
    client_for: ClientFor, user: User, team: Team, cpu_queue: Queue
) -> None:
    sent = {"name": "a\0b", "dataset.name": "digits"}
    answer = client_for(user).post(reverse("datasets:new"), sent)
    assert answer.status_code == 400
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("channels", "9" * 5000, "must be whole numbers above 0"),
        ("cells", "9" * 5000, "must be whole numbers above 0"),
        ("channels", ",".join(map(str, range(1, 12))), "give at most 10"),
    ],
)
def test_a_training_of_numbers_without_sense_is_told(
    client_for: ClientFor,
    user: User,
    team: Team,
    cpu_queue: Queue,
    field: str,
    value: str,
    words: str,
) -> None:
    run = make_run(user, team, cpu_queue, finished=2, state=State.SUCCEEDED)
    page = reverse("evaluations:new", args=[run.uuid])
    answer = client_for(user).post(page, {field: value})
    assert words in answer.content.decode()
    assert not Evaluation.objects.exists()
