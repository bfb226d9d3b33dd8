"""An npz file of images: every layout that is understood, every fault named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchjobs.engine.data.source import DataError, sources

Npz = sources.get("npz")


def options(path: Path | str, **given: Any) -> Any:
    return Npz.Options(path=str(path), **given)


def images(count: int = 6, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(4)
    return generator.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)


LABELS = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.npz"


@pytest.mark.parametrize(
    "keys",
    [
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("images", "labels"),
        ("x", "y"),
    ],
)
def test_each_pair_of_names_is_understood(file: Path, keys: tuple[str, str]) -> None:
    np.savez(file, **{keys[0]: images(), keys[1]: LABELS})

    found = Npz.load(options(file))

    assert torch.equal(found.pixels, torch.from_numpy(images()).permute(0, 3, 1, 2))
    assert found.labels.tolist() == LABELS.tolist()
    assert found.labels.dtype == torch.int64
    assert found.classes == ("0", "1", "2")


def test_class_names_and_test_images_may_lie_beside(file: Path) -> None:
    np.savez_compressed(
        file,
        train_images=images(),
        train_labels=LABELS,
        test_images=images(2),
        test_labels=LABELS[:2],
        classes=np.array(["cat", "dog", "frog"]),
    )

    assert Npz.look(options(file)).classes == ("cat", "dog", "frog")
    assert Npz.load(options(file, classes="frog,cat")).labels.tolist() == [0, 1, 0, 1]


def with_test(file: Path, tests: np.ndarray, labels: list[int]) -> Any:
    """Write an npz file with test images and return options for it."""
    arrays = {"x_train": images(), "y_train": LABELS, "classes": list("abc")}
    np.savez(file, **arrays, x_test=tests, y_test=np.array(labels)[:, None])
    return options(file, per_class=1)


def test_test_images_are_those_of_their_own_arrays(file: Path) -> None:
    given = with_test(file, images(5)[::-1], [2, 1, 0, 2, 2])
    assert Npz.load(given).labels.tolist() == [0, 1, 2]

    found = Npz.load_test(given)

    assert found.classes == ("a", "b", "c")
    assert found.labels.tolist() == [2, 1, 0, 2, 2]
    expected = torch.from_numpy(images(5)[::-1].copy()).permute(0, 3, 1, 2)
    assert torch.equal(found.pixels, expected)
    kept = Npz.load_test(given.model_copy(update={"classes": ("c", "a")}))
    assert kept.labels.tolist() == [1, 0, 1, 1]


def test_a_file_without_test_images_has_none(file: Path) -> None:
    np.savez(file, x=images(), y=LABELS)

    assert Npz.load_test(options(file)) is None


@pytest.mark.parametrize(
    ("tests", "labels", "sentence"),
    [
        (images(3), [0, 1, 3], "The largest test label is 3, and there are 3 classes"),
        (images(3), [0, 1, 1], "There is no test image of the class 'c'"),
        (images(3)[:, :4, :4], [0, 1, 2], "The test images are 4x4 pixels and the"),
        (images(3) / 255, [0, 1, 2], r"images.npz \(test\) are float64; store them"),
        (images(3), [0, 1], "one label an image"),
    ],
)
def test_test_images_that_do_not_fit_are_refused_when_they_are_asked_for(
    file: Path, tests: np.ndarray, labels: list[int], sentence: str
) -> None:
    given = with_test(file, tests, labels)
    assert Npz.look(given).images == 3

    with pytest.raises(DataError, match=sentence):
        Npz.load_test(given)


def test_channels_may_come_first(file: Path) -> None:
    np.savez(file, x=images().transpose(0, 3, 1, 2), y=LABELS[:, None])

    found = Npz.load(options(file))

    assert torch.equal(found.pixels, torch.from_numpy(images()).permute(0, 3, 1, 2))


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 1), (6, 1, 8, 8)])
def test_shades_of_grey_become_three_equal_channels(
    file: Path, shape: tuple[int, ...]
) -> None:
    grey = images(channels=1).reshape(shape)
    np.savez(file, x=grey, y=LABELS)

    found = Npz.load(options(file))

    expected = torch.from_numpy(images(channels=1)[..., 0])[:, None]
    assert torch.equal(found.pixels, expected.expand(-1, 3, -1, -1))


def test_looking_says_what_loading_gives(file: Path) -> None:
    np.savez(file, x=images(), y=LABELS)
    given = options(file, per_class=1, image_size=4, classes=[2, 0])

    summary, found = Npz.look(given), Npz.load(given)

    assert list(summary.class_counts) == found.labels.bincount().tolist() == [1, 1]
    assert summary.classes == found.classes == ("0", "2")
    assert found.pixels.shape == (2, 3, 4, 4)


def test_looking_again_sees_a_changed_file(file: Path) -> None:
    np.savez(file, x=images(), y=LABELS)
    assert Npz.look(options(file)).images == 6
    np.savez(file, x=images(4), y=np.array([0, 1, 0, 1]))
    os.utime(file, (1, 1))

    assert Npz.look(options(file)).images == 4


BAD = [
    ({"a": images(), "b": LABELS}, "it should hold train_images and train_labels"),
    ({"x": images().astype(np.float32), "y": LABELS}, "store them as uint8"),
    ({"x": images()[..., :2], "y": LABELS}, "6 x 8 x 8 x 2"),
    ({"x": images(), "y": LABELS[:5]}, "one label an image"),
    ({"x": images(), "y": LABELS.astype(float)}, "whole numbers"),
    ({"x": images(), "y": LABELS.astype(int) - 1}, "whole numbers"),
    ({"x": images(), "y": LABELS.astype(int) * 1000}, "without gaps"),
    ({"x": images(), "y": LABELS, "classes": np.array(["a", "b"])}, "a name of its"),
    ({"x": images(), "y": LABELS, "classes": np.array(list("aba"))}, "a name of its"),
    ({"x": images(), "y": np.array([0, 0, 0, 2, 2, 2])}, "class '1' has no images"),
    ({"x": images()[:, :4], "y": LABELS}, "give an image size"),
    ({"x": images(), "y": LABELS.astype(object)}, "could run code"),
    ({"x": images().astype(object), "y": LABELS}, "store them as uint8"),
]


@pytest.mark.parametrize(("arrays", "sentence"), BAD)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(
    file: Path, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    np.savez(file, **arrays)

    with pytest.raises(DataError, match=sentence) as caught:
        Npz.look(options(file))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=sentence):
        Npz.load(options(file))


def test_a_file_that_is_not_an_npz_is_refused(file: Path) -> None:
    file.write_bytes(b"something else entirely")

    with pytest.raises(DataError, match="damaged or not an npz file"):
        Npz.look(options(file))


def test_a_truncated_file_is_refused(file: Path) -> None:
    np.savez(file, x=images(), y=LABELS)
    file.write_bytes(file.read_bytes()[:-200])

    with pytest.raises(DataError, match="damaged or not an npz file"):
        Npz.load(options(file))


def test_images_that_changed_on_the_disk_are_refused(file: Path) -> None:
    np.savez(file, x=images(), y=LABELS)
    Npz.look(options(file))
    content = bytearray(file.read_bytes())
    content[400] ^= 0xFF  # inside the images, after the header
    file.write_bytes(content)

    with pytest.raises(DataError, match="damaged"):
        Npz.load(options(file))


def test_a_file_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path, ""):
        with pytest.raises(DataError, match="give an npz file") as caught:
            Npz.look(options(path))
        assert caught.value.field == "path"
