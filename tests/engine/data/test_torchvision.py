"""MNIST, Fashion-MNIST and SVHN: found, counted, refused when they are others.

The files have the published format and the published number of images of each class;
the pixels are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.data.source import DataError, sources

Mnist, Fashion, Svhn = (
    sources.get(name) for name in ("mnist", "fashion-mnist", "svhn")
)


@pytest.fixture(autouse=True)
def _no_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "root"))


def labels_of(source: Any) -> np.ndarray:
    labels = np.repeat(np.arange(10), source.counts).astype(np.uint8)
    return np.random.default_rng(1).permutation(labels)


def write_idx(root: Path, source: Any, labels: np.ndarray) -> np.ndarray:
    """Write images that hold their own number; return the labels."""
    folder = root / source.folder / "raw"
    folder.mkdir(parents=True)
    numbers = np.arange(len(labels), dtype=">u4")
    images = np.zeros((len(labels), 28 * 28), dtype=np.uint8)
    images[:, :4] = numbers.view(np.uint8).reshape(-1, 4)
    shape = np.array([len(labels), 28, 28], dtype=">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + shape + images.tobytes()
    )
    (folder / "train-labels-idx1-ubyte").write_bytes(
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
