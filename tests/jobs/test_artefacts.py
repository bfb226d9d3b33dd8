"""Files in the shared storage: seen by their rows, written under the fence."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from searchjobs import artefacts
from searchjobs.artefacts import StorageAwayError, fetch, publish
from searchjobs.claims import Claim
from searchjobs.fencing import StaleAttemptError
from searchjobs.models import Artefact, Job, Slot
from searchjobs.states import State
from tests.jobs.conftest import Launch, take

pytestmark = pytest.mark.django_db

Files = Callable[[], list[str]]


@pytest.fixture
def claim(launched: Launch, slot: Slot) -> Claim:
    launched()
    taken = take(slot)
    assert taken is not None
    return taken


@pytest.fixture
def stored(tmp_path: Path) -> Files:
    """A function that lists the files in the storage."""
    root = tmp_path / "artefacts"

    def find() -> list[str]:
        return sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.is_file()
        )

    return find


def checkpoint(folder: Path, epoch: int, content: bytes = b"weights") -> str:
    """Write what has the shape of a checkpoint, and return its name."""
    name = f"checkpoints/epoch-{epoch:05d}.pt"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", content * 100)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(buffer.getvalue())
    return name


def path_in_storage(claim: Claim, epoch: int) -> Path:
    row = Artefact.objects.get(job_id=claim.job_id, epoch=epoch)
    store = artefacts.storage()
    assert isinstance(store, FileSystemStorage)
    return Path(store.path(row.path))


def lose(claim: Claim) -> None:
    """Let another attempt take the job."""
    Job.objects.filter(pk=claim.job_id).update(fence=claim.fence + 1)


def test_a_published_file_is_found_by_its_row(
    claim: Claim, tmp_path: Path, stored: Files
) -> None:
    name = checkpoint(tmp_path, 3)
    assert publish(claim, tmp_path, name, 3)
    row = Artefact.objects.get()
    assert (row.name, row.epoch, row.fence) == (name, 3, claim.fence)
    assert row.size == (tmp_path / name).stat().st_size
    assert stored() == [row.path] == [f"{claim.job_uuid}/{claim.fence}/{name}"]
    with artefacts.open_artefact(row) as file:
        assert file.read() == (tmp_path / name).read_bytes()


def test_on_one_file_system_a_file_takes_its_room_once_and_outlives_its_folder(
    claim: Claim, tmp_path: Path
) -> None:
    name = checkpoint(tmp_path, 3)
    publish(claim, tmp_path, name, 3)
    there = path_in_storage(claim, 3)
    assert there.samefile(tmp_path / name)
    (tmp_path / name).unlink()
    assert there.exists()


def test_a_storage_of_another_kind_gets_a_copy(
    claim: Claim, tmp_path: Path, settings: Any
) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "artefacts": memory}
    name = checkpoint(tmp_path / "here", 3)
    publish(claim, tmp_path / "here", name, 3)
    assert fetch(claim.job_id, tmp_path / "there") == 3
    copy = (tmp_path / "there" / name).read_bytes()
    assert copy == (tmp_path / "here" / name).read_bytes()


def test_a_file_that_is_gone_is_not_published(claim: Claim, tmp_path: Path) -> None:
    assert not publish(claim, tmp_path, "checkpoints/epoch-00001.pt", 1)
    assert not Artefact.objects.exists()


def test_a_newer_file_of_the_same_name_takes_the_place_of_the_older(
    claim: Claim, tmp_path: Path, stored: Files
) -> None:
    publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    (tmp_path / "checkpoints" / "epoch-00003.pt").unlink()
    publish(claim, tmp_path, checkpoint(tmp_path, 3, b"other"), 3)
    row = Artefact.objects.get()
    assert stored() == [row.path]
    with artefacts.open_artefact(row) as file:
        assert b"other" in file.read()


def test_a_stale_attempt_leaves_neither_row_nor_file(
    claim: Claim, tmp_path: Path, stored: Files
) -> None:
    name = checkpoint(tmp_path, 3)
    lose(claim)
    with pytest.raises(StaleAttemptError):
        publish(claim, tmp_path, name, 3)
    assert (Artefact.objects.count(), stored()) == (0, [])


def test_an_attempt_that_goes_stale_while_it_uploads_is_never_seen(
    claim: Claim, tmp_path: Path
) -> None:
    upload = artefacts.send(claim, tmp_path / checkpoint(tmp_path, 3), "a.pt", 3)
    assert upload is not None
    lose(claim)
    with pytest.raises(StaleAttemptError):
        artefacts.record(claim, [upload])
    assert not Artefact.objects.exists()


@pytest.mark.parametrize("state", [State.QUEUED, State.CANCELLED])
def test_nothing_is_published_for_a_job_that_nobody_holds(
    claim: Claim, tmp_path: Path, stored: Files, state: str
) -> None:
    name = checkpoint(tmp_path, 3)
    Job.objects.filter(pk=claim.job_id).update(state=state)
    with pytest.raises(StaleAttemptError):
        publish(claim, tmp_path, name, 3)
    assert stored() == []


def test_a_storage_that_is_away_says_so_in_a_sentence(
    claim: Claim, tmp_path: Path
) -> None:
    (tmp_path / "artefacts").write_text("no folder")
    sentence = "could not write to the storage of artefacts: Not a directory"
    with pytest.raises(StorageAwayError, match=sentence):
        publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    assert not Artefact.objects.exists()


def test_the_newest_checkpoint_is_brought_if_it_is_newer_than_what_is_here(
    claim: Claim, tmp_path: Path
) -> None:
    away, here = tmp_path / "away", tmp_path / "here"
    for epoch in (3, 4):
        publish(claim, away, checkpoint(away, epoch), epoch)
    checkpoint(here, 2)
    assert fetch(claim.job_id, here) == 4
    assert artefacts.epoch_here(here) == 4
    assert sorted(path.name for path in (here / "checkpoints").iterdir()) == [
        "epoch-00002.pt",
        "epoch-00004.pt",
    ]
    assert fetch(claim.job_id, here) == 0


def damage_size(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def damage_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_size, damage_byte, Path.unlink])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    claim: Claim, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    away, here = tmp_path / "away", tmp_path / "here"
    for epoch in (3, 4):
        publish(claim, away, checkpoint(away, epoch), epoch)
    damage(path_in_storage(claim, 4))
    assert fetch(claim.job_id, here) == 3
    assert [path.name for path in (here / "checkpoints").iterdir()] == [
        "epoch-00003.pt"
    ]


def test_a_run_does_not_begin_anew_because_its_checkpoints_cannot_be_read(
    claim: Claim, tmp_path: Path
) -> None:
    publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    path_in_storage(claim, 3).unlink()
    with pytest.raises(StorageAwayError, match="none of them can be read"):
        fetch(claim.job_id, tmp_path / "here")
    checkpoint(tmp_path / "old", 2)
    assert fetch(claim.job_id, tmp_path / "old") == 0


def test_files_from_before_a_new_start_count_no_more(
    claim: Claim, tmp_path: Path
) -> None:
    publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    assert fetch(claim.job_id, tmp_path / "here", files_from=claim.fence + 1) == 0


def test_who_waits_for_a_checkpoint_may_give_up(claim: Claim, tmp_path: Path) -> None:
    publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)

    def cancelled() -> None:
        raise StaleAttemptError

    with pytest.raises(StaleAttemptError):
        fetch(claim.job_id, tmp_path / "here", meanwhile=cancelled)


def test_of_a_long_log_its_end_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "engine.log"
    assert artefacts.end_of(log, 0) == b""
    log.write_bytes(b"first attempt\nsecond attempt\n")
    assert artefacts.end_of(log, 14) == b"second attempt\n"
    assert artefacts.end_of(log, 1000) == log.read_bytes(), "the log was begun anew"
    monkeypatch.setattr(artefacts, "LOG_BYTES", 8)
    assert artefacts.end_of(log, 0) == b"attempt\n"
