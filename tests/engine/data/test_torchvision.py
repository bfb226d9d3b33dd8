"""MNIST, Fashion-MNIST and SVHN: found, counted, refused when they are others.

The files have the published format and the published number of images of each class;
the pixels are made up.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import SVHN

from searchjobs.engine.data.source import DataError, sources

Mnist, Fashion, Svhn = (
    sources.get(name) for name in ("mnist", "fashion-mnist", "svhn")
)


@pytest.fixture(autouse=True)
def _no_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "root"))


def labels_of(source: Any, counts: tuple[int, ...] = ()) -> np.ndarray:
    labels = np.repeat(np.arange(10), counts or source.counts).astype(np.uint8)
    return np.random.default_rng(1).permutation(labels)


def write_idx(
    root: Path, source: Any, labels: np.ndarray, part: str = "train"
) -> np.ndarray:
    """Write images that hold their own number; return the labels."""
    folder = root / source.folder / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(len(labels), dtype=">u4")
    images = np.zeros((len(labels), 28 * 28), dtype=np.uint8)
    images[:, :4] = numbers.view(np.uint8).reshape(-1, 4)
    shape = np.array([len(labels), 28, 28], dtype=">u4").tobytes()
    (folder / f"{part}-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + shape + images.tobytes()
    )
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(
        b"\0\0\x08\x01" + shape[:4] + labels.tobytes()
    )
    return labels


@pytest.mark.parametrize("source", [Mnist, Fashion])
def test_the_training_images_come_in_their_published_order(
    source: Any, tmp_path: Path
) -> None:
    labels = write_idx(tmp_path, source, labels_of(source))

    images = source.load(source.Options(path=str(tmp_path)))

    assert images.labels.tolist() == labels.tolist()
    assert images.pixels.shape == (60_000, 3, 28, 28)
    for number in (0, 1, 4711, 59_999):
        read = images.pixels[number, :, 0, :4].int()
        value = read @ torch.tensor([1 << 24, 1 << 16, 1 << 8, 1], dtype=torch.int32)
        assert value.tolist() == [number] * 3
    assert source.look(source.Options(path=str(tmp_path))).class_counts == source.counts


@pytest.mark.parametrize("source", [Mnist, Fashion])
def test_the_test_images_are_those_of_their_own_files(
    source: Any, tmp_path: Path
) -> None:
    write_idx(tmp_path, source, labels_of(source)[:10])
    given = source.Options(path=str(tmp_path), per_class=3, classes="1, 4")
    assert source.load_test(given) is None, "the training images are alone"
    labels = write_idx(tmp_path, source, labels_of(source, source.test_counts), "t10k")

    images = source.load_test(given)

    kept = np.flatnonzero(np.isin(labels, (1, 4)))
    assert images.classes == (source.class_names[1], source.class_names[4])
    assert images.labels.tolist() == (labels[kept] == 4).astype(int).tolist()
    shown = torch.from_numpy(kept[:5].astype(">u4").view(np.uint8).reshape(5, 4))
    assert torch.equal(images.pixels[:5, 0, 0, :4], shown)


def test_other_test_files_under_the_same_names_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, Mnist, labels_of(Mnist)[:10])
    write_idx(tmp_path, Mnist, labels_of(Mnist, Mnist.test_counts)[:-1], "t10k")

    with pytest.raises(DataError, match=r"hold 9,999 test images instead of 10,000"):
        Mnist.load_test(Mnist.Options(path=str(tmp_path)))


def write_mat(path: Path, labels: np.ndarray) -> str:
    """Write images of one shade each, in the format of SVHN; return the md5."""
    shades = np.arange(len(labels), dtype=np.uint8)
    pixels = np.broadcast_to(shades, (32, 32, 3, len(labels)))
    savemat(path, {"X": pixels, "y": np.where(labels == 0, 10, labels)[:, None]})
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_house_numbers_have_test_images_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files; their checksums and counts take the place of the published ones."""
    counts = (2, *(1,) * 9)
    monkeypatch.setattr(Svhn, "test_counts", counts)
    given = Svhn.Options(path=str(tmp_path))
    (tmp_path / "train_32x32.mat").write_bytes(b"nobody reads it")
    assert Svhn.load_test(given) is None
    labels = labels_of(Svhn, counts)
    md5 = write_mat(tmp_path / "test_32x32.mat", labels)
    known = {**SVHN.split_list, "test": ["", "test_32x32.mat", md5]}
    monkeypatch.setattr(SVHN, "split_list", known)

    images = Svhn.load_test(given)

    assert images.labels.tolist() == labels.tolist()
    assert images.pixels[:, 2, 31, 31].tolist() == list(range(11))


@pytest.mark.parametrize(
    ("source", "images"), [(Mnist, 10_000), (Fashion, 10_000), (Svhn, 26_032)]
)
def test_as_many_test_images_are_expected_as_were_published(
    source: Any, images: int
) -> None:
    assert sum(source.test_counts) == images


def test_other_files_under_the_same_names_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, Mnist, labels_of(Mnist)[:-1])

    with pytest.raises(
        DataError, match=r"hold 59,999 images instead of 60,000"
    ) as told:
        Mnist.load(Mnist.Options(path=str(tmp_path)))
    assert told.value.field == "path"


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, Mnist, labels_of(Mnist))
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1_000_000])

    with pytest.raises(DataError, match="could not be read"):
        Mnist.load(Mnist.Options(path=str(tmp_path)))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, Mnist, labels_of(Mnist))
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"<html>" * 100)

    with pytest.raises(DataError, match="its files are damaged"):
        Mnist.load(Mnist.Options(path=str(tmp_path)))


def test_changed_house_numbers_are_refused_by_their_checksum(tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").write_bytes(b"another file")

    with pytest.raises(DataError, match="SVHN could not be read"):
        Svhn.load(Svhn.Options(path=str(tmp_path)))


@pytest.mark.parametrize("source", [Mnist, Fashion, Svhn])
def test_a_missing_data_set_says_what_to_give(source: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"There is no {source.label} at ") as told:
        source.look(source.Options(path=str(tmp_path / "nowhere")))
    assert told.value.field == "path"
    assert source.wanted in str(told.value)


@pytest.mark.parametrize(("source", "images"), [(Mnist, 60_000), (Svhn, 73_257)])
def test_with_a_download_allowed_nothing_need_be_there_to_look(
    source: Any, images: int
) -> None:
    assert source.look(source.Options(download=True)).images == images
