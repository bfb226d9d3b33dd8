"""ImageNet16-120: batches in the published format, opened only if they are genuine.

The batches here are small; their checksums take the place of the published ones.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.data.source import DataError, sources
from searchjobs.engine.data.sources._pickled_arrays import load_arrays

ImageNet16 = sources.get("imagenet16")
CLASSES, PER_BATCH = 240, 480


def options(path: Path | str = "", **given: Any) -> Any:
    return ImageNet16.Options(path=str(path), **given)


class Batches:
    """Ten batches of two images a class each, in an order of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        draw = np.random.default_rng(5)
        self.data = draw.integers(0, 256, (10, PER_BATCH, 768), dtype=np.uint8)
        labels = np.tile(np.arange(CLASSES) + 1, 2)
        self.labels = np.stack([draw.permutation(labels) for _ in range(10)])
        sums = []
        for number in range(10):
            content = {
                "data": self.data[number],
                "labels": self.labels[number].tolist(),
                "mean": self.data[number].mean(axis=0),
            }
            # the published files are of protocol 2
            sums.append(self.write(number, pickle.dumps(content, protocol=2)))
        monkeypatch.setattr(ImageNet16, "md5", tuple(sums))

    def write(self, number: int, content: bytes) -> str:
        return self.write_as(f"train_data_batch_{number + 1}", content)

    def write_as(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batches:
    return Batches(tmp_path / "ImageNet16", monkeypatch)


@pytest.mark.parametrize("subset", [120, 150, 200])
def test_the_first_classes_come_in_the_order_of_the_batches(
    batches: Batches, subset: int
) -> None:
    images = ImageNet16.load(options(batches.folder, subset=subset))

    expected = [
        (pixels, label - 1)
        for data, labels in zip(batches.data, batches.labels, strict=True)
        for pixels, label in zip(data, labels, strict=True)
        if label <= subset
    ]
    assert images.labels.tolist() == [label for _, label in expected]
    pixels = np.stack([pixels for pixels, _ in expected]).reshape(-1, 3, 16, 16)
    assert torch.equal(images.pixels, torch.from_numpy(pixels))
    assert len(images.classes) == subset
    assert images.classes[0] == "1"
    assert images.mean == pytest.approx((122.68 / 255, 116.66 / 255, 104.01 / 255))


def test_the_validation_images_of_imagenet_test_a_cell(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(batches.folder, per_class=3, classes="2, 120")
    assert ImageNet16.load_test(given) is None, "the training batches are alone"
    pixels, labels = batches.data[0], batches.labels[0]
    content = pickle.dumps({"data": pixels, "labels": labels.tolist()}, protocol=2)
    md5 = batches.write_as("val_data", content)
    monkeypatch.setattr(ImageNet16, "validation_md5", md5)

    images = ImageNet16.load_test(given)

    kept = np.flatnonzero(np.isin(labels, (2, 120)))
    assert images.classes == ("2", "120")
    assert images.labels.tolist() == (labels[kept] == 120).astype(int).tolist()
    expected = torch.from_numpy(pixels[kept]).view(-1, 3, 16, 16)
    assert torch.equal(images.pixels, expected)
    (batches.folder / "val_data").unlink()
    again = ImageNet16.load_test(given)
    assert again.fingerprint == images.fingerprint, "kept, as the training images are"


def test_changed_validation_images_are_never_opened(
    batches: Batches, tmp_path: Path
) -> None:
    batches.write_as("val_data", pickle.dumps(Bomb(tmp_path / "mark")))

    with pytest.raises(DataError, match=r"val_data is not the published file"):
        ImageNet16.load_test(options(batches.folder))
    assert not (tmp_path / "mark").exists()


def test_looking_counts_the_same(batches: Batches) -> None:
    assert ImageNet16.look(options(batches.folder)).class_counts == (20,) * 120


def test_a_second_reading_needs_no_batches(batches: Batches) -> None:
    first = ImageNet16.load(options(batches.folder))
    for file in batches.folder.glob("train_data_batch_*"):
        file.unlink()

    second = ImageNet16.load(options(batches.folder))

    assert torch.equal(second.pixels, first.pixels)
    assert second.fingerprint == first.fingerprint
    assert [each.name for each in batches.folder.iterdir()] == ["imagenet16-120.npz"]


def test_a_folder_that_may_not_be_written_leaves_the_subset_in_the_data_folder(
    batches: Batches, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a mode would not stop an administrator, as whom tests may run
    monkeypatch.setattr(os, "access", lambda *_: False)

    ImageNet16.load(options(batches.folder))

    assert (root / "imagenet16-120.npz").is_file()


def test_the_data_folder_is_searched(batches: Batches, root: Path) -> None:
    root.mkdir()
    batches.folder.rename(root / "ImageNet16")

    assert ImageNet16.look(options()).images == 2400


def test_a_missing_data_set_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no ImageNet16 at .*nowhere") as told:
        ImageNet16.look(options(tmp_path / "nowhere"))
    assert told.value.field == "path"


def test_a_missing_batch_is_named(batches: Batches) -> None:
    (batches.folder / "train_data_batch_7").unlink()

    with pytest.raises(DataError, match=r"train_data_batch_7 cannot be read"):
        ImageNet16.look(options(batches.folder))


def test_a_damaged_subset_says_how_to_get_a_new_one(batches: Batches) -> None:
    (batches.folder / "imagenet16-120.npz").write_bytes(b"PK\x03\x04 broken")

    with pytest.raises(DataError, match="is made anew"):
        ImageNet16.load(options(batches.folder))


class Bomb:
    """A pickle that leaves a mark if anybody opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_file_with_another_checksum_is_never_opened(
    batches: Batches, tmp_path: Path
) -> None:
    batches.write(2, pickle.dumps(Bomb(tmp_path / "mark")))

    with pytest.raises(DataError, match="checksum differs"):
        ImageNet16.load(options(batches.folder))
    assert not (tmp_path / "mark").exists()


def test_even_a_file_with_the_right_checksum_can_run_nothing(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = list(ImageNet16.md5)
    sums[2] = batches.write(2, pickle.dumps({"data": Bomb(tmp_path / "mark")}))
    monkeypatch.setattr(ImageNet16, "md5", tuple(sums))

    with pytest.raises(DataError, match="holds no images"):
        ImageNet16.load(options(batches.folder))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["u1", "<i8", ">i4", "f8"])
def test_arrays_of_every_protocol_are_rebuilt(
    protocol: int, kind: str, tmp_path: Path
) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    file = tmp_path / "arrays"
    file.write_bytes(pickle.dumps({"a": array, "b": array.T}, protocol=protocol))

    if protocol == 5:  # written by a call of a name that is not allowed
        with file.open("rb") as opened, pytest.raises(pickle.UnpicklingError):
            load_arrays(opened)
        return
    with file.open("rb") as opened:
        found = load_arrays(opened)

    assert np.array_equal(found["a"], array)
    assert np.array_equal(found["b"], array.T)


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "arrays"
    file.write_bytes(pickle.dumps({"a": np.array([object()])}, protocol=2))

    with file.open("rb") as opened, pytest.raises(pickle.UnpicklingError, match="'O8'"):
        load_arrays(opened)
