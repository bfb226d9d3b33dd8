"""Data sets of a team: registered, checked by a job, uploaded, removed."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from searchjobs import datasets, uploads
from searchjobs.engine.problems import SpecError
from searchjobs.launch import launch
from searchjobs.lifecycle import NotAllowedError, cancel
from searchjobs.models import Artefact, AuditEvent, Dataset, Job, Queue, Slot, Team
from searchjobs.states import State
from searchjobs.subsets import launch_subset
from searchjobs.supervisor import supervise
from tests.factories import make_team, make_user
from tests.jobs.conftest import take
from tests.jobs.zips import pets, picture, zipped

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Path:
    """The data folder, inside a folder in which nothing else may appear."""
    place = tmp_path / "around" / "data"
    place.mkdir(parents=True)
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(place))
    settings.NASWEB_DATA_ROOT = place
    return place


@pytest.fixture
def one_slot(slot: Slot) -> Callable[[], int]:
    """A function that does all waiting jobs in this process; returns how many."""

    def work() -> int:
        done = 0
        while (taken := take(slot)) is not None:
            supervise(taken)
            done += 1
        return done

    return work


@pytest.fixture
def folder(root: Path) -> Path:
    """A folder of pets, of which one cannot be read."""
    for name, content in (pets() | {"cat/cut.png": picture(1)[:-40]}).items():
        (root / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "pets" / name).write_bytes(content)
    return root / "pets"


def source(folder: Path, **more: Any) -> dict[str, Any]:
    return {"name": "folder", "path": str(folder), "image_size": 8, **more}


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def told(error: pytest.ExceptionInfo[SpecError]) -> dict[str, str]:
    return {problem.field: problem.sentence for problem in error.value.problems}


def upload(
    user: User, team: Team, content: dict[str, bytes] | None = None, name: str = "Pets"
) -> Dataset:
    file = zipped(pets() if content is None else content)
    return datasets.register_upload(user, team, name, file, image_size="8")


def test_a_registered_data_set_waits_for_its_check(
    user: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    dataset = datasets.register(user, team, " Pets ", source(folder), licence="Ours.")

    assert (dataset.name, dataset.licence, dataset.uploaded) == ("Pets", "Ours.", False)
    assert dataset.source["normalise"] == "auto", "every option stands there"
    job = dataset.check_job
    assert job is not None
    assert (job.kind, job.state, job.queue) == ("check", State.QUEUED, cpu_queue)
    assert job.title == "check of Pets"
    assert AuditEvent.objects.filter(verb="register").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_check_counts_measures_and_lists_what_is_broken(
    user: User, team: Team, cpu_queue: Queue, folder: Path, one_slot: Callable[[], int]
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))

    assert one_slot() == 1

    dataset.refresh_from_db()
    assert dataset.check_job is not None
    assert dataset.check_job.state == State.SUCCEEDED, dataset.check_job.error
    assert dataset.classes == ["cat", "dog"]
    assert dataset.class_counts == [3, 3]
    assert dataset.unreadable_count == 1
    assert dataset.unreadable == [
        {"path": "cat/cut.png", "sentence": "It is damaged or cut off."}
    ]
    assert len(dataset.mean) == len(dataset.std) == 3
    assert len(dataset.fingerprint) == 16
    assert dataset.checked is not None
    names = dataset.check_job.artefacts.values_list("name", flat=True)
    assert "samples.npz" in names


@pytest.mark.django_db(transaction=True)
def test_a_check_that_fails_says_why_and_leaves_what_was_known(
    user: User, team: Team, cpu_queue: Queue, folder: Path, one_slot: Callable[[], int]
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))
    one_slot()
    dataset.refresh_from_db()
    first = dataset.check_job
    folder.rename(folder.with_name("gone"))

    datasets.check(user, dataset)
    one_slot()

    dataset.refresh_from_db()
    assert dataset.check_job is not None
    assert dataset.check_job.state == State.FAILED
    assert "There is no folder" in dataset.check_job.error
    assert dataset.class_counts == [3, 3]
    assert not Artefact.objects.filter(job=first).exists(), "files of the past go"


def test_one_check_at_a_time(
    user: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))

    with pytest.raises(NotAllowedError, match="A check of it is queued"):
        datasets.check(user, dataset)
    with pytest.raises(NotAllowedError, match="cancel it first"):
        datasets.remove(user, dataset)


@pytest.mark.django_db(transaction=True)
def test_of_two_that_ask_for_a_check_at_the_same_time_one_is_refused(
    user: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))
    Job.objects.update(state=State.SUCCEEDED)

    def click() -> None:
        try:
            datasets.check(user, Dataset.objects.get(pk=dataset.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            datasets.check(user, dataset)
            second = pool.submit(click)
            assert not wait([second], 0.5).done, "it waits for the first"
        with pytest.raises(NotAllowedError, match="A check of it is queued"):
            second.result(10)
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("  ", "name", "Give the data set a name."),
        ("x" * 81, "name", "Use at most 80 characters in a name."),
        ("Taken", "name", "choose another name."),
    ],
)
def test_a_wrong_name_is_told(
    user: User,
    team: Team,
    cpu_queue: Queue,
    folder: Path,
    name: str,
    field: str,
    words: str,
) -> None:
    datasets.register(user, team, "Taken", source(folder))

    with pytest.raises(SpecError) as caught:
        datasets.register(user, team, name, source(folder))
    assert words in told(caught)[field]
    assert Dataset.objects.count() == 1


def test_a_wrong_source_is_told_at_its_field(
    user: User, team: Team, cpu_queue: Queue, root: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.register(user, team, "Pets", source(root / "nowhere"))
    assert "There is no folder" in told(caught)["dataset.path"]
    assert not Job.objects.exists()


def test_viewers_and_strangers_register_nothing(
    viewer: User, other_team_user: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    for stranger in (viewer, other_team_user):
        with pytest.raises(PermissionDenied):
            datasets.register(stranger, team, "Pets", source(folder))
        with pytest.raises(PermissionDenied):
            upload(stranger, team)


def test_an_upload_lies_in_the_data_folder_and_nowhere_else(
    user: User, team: Team, cpu_queue: Queue, root: Path
) -> None:
    dataset = upload(user, team)

    assert dataset.uploaded
    place = f"data/uploads/{dataset.source['upload']}"
    assert files(root.parent) == [
        f"{place}/.left-out.json",
        *(f"{place}/{name}" for name in sorted(pets())),
    ]


@pytest.mark.django_db(transaction=True)
def test_an_upload_is_checked_like_any_other(
    user: User, team: Team, cpu_queue: Queue, one_slot: Callable[[], int]
) -> None:
    content = pets() | {"cat/cut.png": picture(1)[:-40], "notes.txt": b"notes"}
    dataset = upload(user, team, content)

    one_slot()

    dataset.refresh_from_db()
    assert dataset.class_counts == [3, 3]
    assert dataset.unreadable == [
        {"path": "notes.txt", "sentence": "It lies in no class folder."},
        {"path": "cat/cut.png", "sentence": "It is damaged or cut off."},
    ]


@pytest.mark.parametrize(
    "file",
    [
        zipped({"../../../evil.png": picture()}),
        zipped(pets() | {"bird/": b""}),
        io.BytesIO(b"no zip file"),
        zipped({"a/0.bmp": bytes(10_000_000)}, 8),
    ],
    ids=["zip slip", "empty class", "no zip", "bomb"],
)
def test_a_refused_upload_leaves_nothing(
    user: User, team: Team, cpu_queue: Queue, root: Path, file: io.BytesIO
) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.register_upload(user, team, "Pets", file)

    assert list(told(caught)) == ["file"]
    assert files(root.parent) == []
    assert list((root / "uploads").iterdir()) == []
    assert not Dataset.objects.exists()


def test_an_upload_under_a_taken_name_is_not_even_unpacked(
    user: User, team: Team, cpu_queue: Queue, root: Path
) -> None:
    upload(user, team)
    before = files(root)

    with pytest.raises(SpecError) as caught:
        upload(user, team)
    assert list(told(caught)) == ["name"]
    assert files(root) == before


def test_a_wrong_size_takes_the_unpacked_files_with_it(
    user: User, team: Team, cpu_queue: Queue, root: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        datasets.register_upload(user, team, "Pets", zipped(pets()), image_size="two")
    assert "dataset.image_size" in told(caught)
    assert files(root) == []


def half_a_megabyte() -> dict[str, bytes]:
    return {
        f"{name}/{number}.png": picture(number, size=300)
        for number, name in enumerate(("cat", "dog"))
    }


def test_a_team_has_a_quota(
    user: User, team: Team, cpu_queue: Queue, settings: Any, root: Path
) -> None:
    settings.NASWEB_TEAM_UPLOADS_MB = 1
    large = half_a_megabyte()
    upload(user, team, large, "First")
    assert 500_000 < uploads.used(team) < 1_000_000

    with pytest.raises(SpecError) as caught:
        upload(user, team, large, "Second")
    assert "more than the 1 MB that it may have" in told(caught)["file"]
    assert len(list((root / "uploads").iterdir())) == 1

    other = make_team("Other")
    upload(make_user("olga", other), other, large, "Second")


@pytest.mark.django_db(transaction=True)
def test_of_two_uploads_at_once_the_second_is_counted_with_the_first(
    user: User, team: Team, cpu_queue: Queue, settings: Any, root: Path
) -> None:
    settings.NASWEB_TEAM_UPLOADS_MB = 1

    def second() -> None:
        try:
            upload(user, team, half_a_megabyte(), "Second")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with uploads.unpacked(team, zipped(half_a_megabyte())) as first:
            waiting = pool.submit(second)
            assert not wait([waiting], 1).done, "it waits for the first"
            Dataset.objects.create(
                team=team,
                author=user,
                name="First",
                uploaded=True,
                source={"name": "uploaded", "upload": first},
            )
        with pytest.raises(SpecError) as caught:
            waiting.result(10)
    assert "more than the 1 MB that it may have" in told(caught)["file"]
    assert [place.name for place in (root / "uploads").iterdir()] == [first]


def test_what_a_killed_site_has_left_is_swept_after_a_day(
    user: User, team: Team, cpu_queue: Queue, root: Path, monkeypatch: Any
) -> None:
    left = root / "uploads" / f"{uploads.PART}left"
    (left / "cat").mkdir(parents=True)
    upload(user, team, name="First")
    assert left.is_dir()

    monkeypatch.setattr(uploads, "PART_SECONDS", -1.0)
    upload(user, team, name="Second")
    assert not left.exists()


def search_on(dataset: Dataset, **more: Any) -> dict[str, Any]:
    return {
        "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
        "dataset": {**dataset.source, **more},
        "training": {"epochs": 2, "batch_size": 2},
    }


def test_another_team_cannot_search_on_an_upload(
    user: User, team: Team, other_team_user: User, cpu_queue: Queue
) -> None:
    dataset = upload(user, team, pets(count=8))
    others = Team.objects.get(name="Others")

    with pytest.raises(SpecError) as caught:
        launch(other_team_user, others, "Theirs", search_on(dataset), [1])
    assert "Your team has no such upload" in told(caught)["dataset.upload"]
    with pytest.raises(SpecError, match="Your team has no such upload"):
        launch_subset(
            other_team_user, others, "Theirs", {"dataset": dict(dataset.source)}
        )
    with pytest.raises(SpecError, match="Your team has no such upload"):
        datasets.register(other_team_user, others, "Theirs", dataset.source)
    assert not datasets.uses(dataset).count()


def test_what_is_used_stays_and_what_is_not_goes_with_its_files(
    user: User,
    team: Team,
    cpu_queue: Queue,
    root: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    dataset = upload(user, team)
    assert dataset.check_job is not None
    cancel(user, dataset.check_job)
    experiment = launch(user, team, "Ours", search_on(dataset, per_class=2), [1])

    with pytest.raises(NotAllowedError, match="1 experiment, subset or training"):
        datasets.remove(user, dataset)
    assert list(datasets.uses(dataset).experiments) == [experiment]

    experiment.runs.all().delete()
    experiment.delete()
    with django_capture_on_commit_callbacks(execute=True):
        datasets.remove(user, dataset)

    assert files(root) == []
    assert not Dataset.objects.exists()
    assert AuditEvent.objects.filter(verb="remove").count() == 1


def test_only_its_author_and_maintainers_change_or_remove_it(
    user: User, maintainer: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))
    other = make_user("mo", team)

    with pytest.raises(PermissionDenied):
        datasets.edit(other, dataset, name="Mine", licence="")
    with pytest.raises(PermissionDenied):
        datasets.remove(other, dataset)
    assert datasets.edit(maintainer, dataset, name="Our pets", licence="CC0")
    assert not datasets.edit(maintainer, dataset, name="Our pets", licence="CC0")
    dataset.refresh_from_db()
    assert (dataset.name, dataset.licence) == ("Our pets", "CC0")


def test_a_folder_is_never_removed_with_its_data_set(
    user: User, team: Team, cpu_queue: Queue, folder: Path
) -> None:
    dataset = datasets.register(user, team, "Pets", source(folder))
    assert dataset.check_job is not None
    cancel(user, dataset.check_job)
    before = files(folder)

    datasets.remove(user, dataset)

    assert files(folder) == before


@pytest.mark.django_db(transaction=True)
def test_a_search_leaves_out_what_a_check_on_the_disk_has_found(
    user: User, team: Team, cpu_queue: Queue, folder: Path, one_slot: Callable[[], int]
) -> None:
    given = {"name": "imagenet", "path": str(folder), "image_size": 8}
    dataset = datasets.register(user, team, "Pets", given)
    one_slot()
    dataset.refresh_from_db()

    assert dataset.class_counts == [3, 3]
    assert datasets.searched_source(dataset) == {
        **dataset.source,
        "leave_out": ["cat/cut.png"],
    }
