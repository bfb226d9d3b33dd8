"""Uploaded images: known by an id, and by nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from searchjobs.engine.data.source import DataError, sources
from searchjobs.engine.data.sources.uploaded import LEFT_OUT

Uploaded, Folder = sources.get("uploaded"), sources.get("folder")
#: Written down: both processes of the suite must name their tests alike.
ID = "6f2f2f0e-3f57-4c4b-9b3c-6a5f3f0f9a11"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one upload of two cats and two dogs."""
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    draw = np.random.default_rng(1)
    for name in ("cat", "dog"):
        (tmp_path / "uploads" / ID / name).mkdir(parents=True)
        for number in range(2):
            pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            file = tmp_path / "uploads" / ID / name / f"{number}.png"
            Image.fromarray(pixels).save(file)
    return tmp_path


def test_the_id_finds_the_images(root: Path) -> None:
    options = Uploaded.Options(upload=ID, image_size=8)

    images = Uploaded.load(options)

    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert Uploaded.look(options).images == 4


def test_what_the_unpacking_left_out_is_told_with_what_cannot_be_read(
    root: Path,
) -> None:
    folder = root / "uploads" / ID
    (folder / LEFT_OUT).write_text(json.dumps([["a.txt", "It is no image."]]))
    (folder / "cat" / "1.png").write_bytes(b"")

    images = Uploaded.load(Uploaded.Options(upload=ID))

    assert [each.path for each in images.unreadable] == ["a.txt", "cat/1.png"]


def test_an_upload_of_sets_has_test_images(root: Path) -> None:
    folder, options = root / "uploads" / ID, Uploaded.Options(upload=ID, image_size=8)
    assert Uploaded.load_test(options) is None
    for part in ("train", "test"):
        shutil.copytree(folder, root / part)
    shutil.rmtree(folder)
    folder.mkdir()
    for part in ("train", "test"):
        (root / part).rename(folder / part)
    (folder / "test" / "dog" / "1.png").unlink()

    assert Uploaded.load(options).labels.tolist() == [0, 0, 1, 1]
    assert Uploaded.load_test(options).labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("upload", ["", "..", f"../uploads/{ID}", "cat", f"{ID}/cat"])
def test_a_path_is_no_id(root: Path, upload: str) -> None:
    with pytest.raises(DataError, match="known by an id") as caught:
        Uploaded.look(Uploaded.Options(upload=upload))
    assert caught.value.field == "upload"


def test_an_upload_that_is_gone_says_what_to_do(root: Path) -> None:
    with pytest.raises(DataError, match="upload them again"):
        Uploaded.look(Uploaded.Options(upload=str(uuid4())))


@pytest.mark.parametrize("below", ["", ID, f"{ID}/cat", f"../uploads/{ID}"])
def test_no_path_leads_to_uploads(root: Path, below: str) -> None:
    """Or a member of another team could list the folder, and read the ids there."""
    with pytest.raises(DataError, match="Uploaded images are no folder") as caught:
        Folder.look(Folder.Options(path=str(root / "uploads" / below)))
    assert ID not in str(caught.value)


def test_not_even_by_a_link(root: Path) -> None:
    (root / "elsewhere").symlink_to(root / "uploads")

    with pytest.raises(DataError, match="Uploaded images are no folder"):
        Folder.look(Folder.Options(path=str(root / "elsewhere")))


def test_the_folder_above_tells_no_id(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        Folder.look(Folder.Options(path=str(root)))
    assert ID not in str(caught.value)
