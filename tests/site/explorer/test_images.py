"""Images of a run: read once, kept in files, refused in a sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User

from nasweb.explorer import images
from nasweb.explorer.images import (
    ReadingError,
    UnavailableError,
    folder,
    pictures,
    read,
)
from searchjobs.engine.data.source import sources
from searchjobs.models import Queue, Run, Team
from tests.site.explorer.made_up import on_images
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db


def archive(path: Path, side: int = 8, seed: int = 1) -> dict[str, Any]:
    """Write 20 images of two classes; return the section of a spec."""
    draw = np.random.default_rng(seed)
    np.savez(
        path,
        images=draw.integers(0, 256, (20, side, side, 3), dtype=np.uint8),
        labels=np.arange(20) % 2,
    )
    return {"name": "npz", "path": str(path)}


def fingerprint(section: dict[str, Any]) -> str:
    source = sources.get(section["name"])
    return source.load(source.Options.model_validate(section)).fingerprint


@pytest.fixture
def run(fresh: None, tmp_path: Path, user: User, team: Team, cpu_queue: Queue) -> Run:
    section = archive(tmp_path / "a.npz")
    run = make_run(user, team, cpu_queue, spec=digits_spec(dataset=section))
    source = sources.get("npz")
    return on_images(run, source.load(source.Options.model_validate(section)))


def test_images_are_read_once_and_found_in_their_file_afterwards(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pictures(run, wait=30)
    assert first.pixels.shape == (20, 8, 8, 3)
    assert first.labels.tolist() == [0, 1] * 10
    images.forget()
    (tmp_path / "a.npz").unlink()  # the file is right whatever becomes of the source
    again = pictures(run)
    assert (again.pixels == first.pixels).all()
    assert isinstance(again.pixels, np.memmap)


def test_who_comes_while_they_are_read_is_told_to_wait(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = images.read

    def read_slowly(*given: Any) -> Any:
        time.sleep(0.3)
        return slow(*given)

    monkeypatch.setattr(images, "read", read_slowly)
    with pytest.raises(ReadingError, match="are being read"):
        pictures(run)
    assert len(pictures(run, wait=30)) == 20


def test_changed_images_are_refused_in_a_sentence(run: Run, tmp_path: Path) -> None:
    archive(tmp_path / "a.npz", seed=2)
    with pytest.raises(UnavailableError, match="has changed since it was used"):
        pictures(run, wait=30)
    assert not list(folder().glob("*")) if folder().exists() else True


def test_images_that_are_not_here_are_told_and_tried_again_later(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    with pytest.raises(UnavailableError, match="not on the site's machine"):
        pictures(run, wait=30)
    (tmp_path / "b.npz").rename(tmp_path / "a.npz")
    with pytest.raises(UnavailableError, match="not on the site's machine"):
        pictures(run, wait=30)  # a moment later nothing is tried
    monkeypatch.setattr(images, "RETRY_SECONDS", 0.0)
    assert len(pictures(run, wait=30)) == 20


def test_what_went_wrong_is_forgotten_once_it_is_due_to_be_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.npz").unlink()
    for number in range(3):
        run.structure["data_fingerprint"] = f"0123456{number}"
        with pytest.raises(UnavailableError):
            pictures(run, wait=30)
    assert len(images._failures) == 3
    monkeypatch.setattr(images, "RETRY_SECONDS", 0.0)
    with pytest.raises(UnavailableError):
        pictures(run, wait=30)
    assert len(images._failures) == 1


def test_a_run_that_has_not_started_says_so(
    fresh: None, user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue)
    with pytest.raises(UnavailableError, match="Nobody knows yet"):
        pictures(run)


def test_a_fingerprint_never_leads_out_of_the_folder(run: Run) -> None:
    run.structure["data_fingerprint"] = "../../etc"
    with pytest.raises(UnavailableError):
        pictures(run)


def test_a_data_set_that_is_too_large_is_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 20 * 8 * 8 * 3 - 1)
    with pytest.raises(UnavailableError, match="20 images take"):
        pictures(run, wait=30)


def test_the_site_downloads_nothing(tmp_path: Path) -> None:
    section = {"name": "cifar10", "path": str(tmp_path), "download": True}
    with pytest.raises(UnavailableError, match="no CIFAR-10 at"):
        read(section, "0123456789abcdef")
    assert not list(tmp_path.iterdir())


def test_a_source_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not know"):
        read({"name": "of a plugin that is gone"}, "0123456789abcdef")


def test_large_images_are_kept_small(tmp_path: Path) -> None:
    section = archive(tmp_path / "large.npz", side=128)
    found = read(section, fingerprint(section))
    assert found.pixels.shape == (20, 64, 64, 3)


def test_what_was_asked_for_least_recently_makes_room(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MOST_KEPT", 10_000)
    kept = []
    for number in range(3):
        section = archive(tmp_path / f"{number}.npz", seed=number)
        found = read(section, fingerprint(section))
        images._store(found)
        place = folder() / found.fingerprint
        os.utime(place, (number, number))
        kept.append(place)
    assert [place.exists() for place in kept] == [False, True, True]


def test_a_damaged_file_is_read_anew(run: Run) -> None:
    found = pictures(run, wait=30)
    (folder() / found.fingerprint / "pixels.npy").write_bytes(b"not an array")
    images.forget()
    assert len(pictures(run, wait=30)) == 20
