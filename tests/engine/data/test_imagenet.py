"""Images that stay on the disk: read by loader processes, the same to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from searchjobs.engine.data import on_disk
from searchjobs.engine.data.dataset import ResidentImages
from searchjobs.engine.data.source import DataError, Images, sources
from searchjobs.engine.events import EpochFinished
from searchjobs.engine.problems import SearchError
from searchjobs.engine.search import search
from searchjobs.engine.sections import Augmentation
from searchjobs.engine.training import train_cell
from searchjobs.engine.training_spec import validate_training
from searchjobs.engine.validation import validate

ImageNet, Folder = sources.get("imagenet"), sources.get("folder")
CONSTANTS = {"normalise": "given", "mean": "0.4, 0.5, 0.6", "std": "0.2, 0.25, 0.3"}
CPU = torch.device("cpu")
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 12 photographs, none of them square."""
    draw = np.random.default_rng(3)
    for label in ("n01440764", "n01443537"):
        folder = tmp_path / "imagenet" / "train" / label
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 256, (20, 16 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{label}_{number:02}.JPEG")
    return tmp_path / "imagenet"


def options(root: Path, **given: Any) -> Any:
    return ImageNet.Options(
        **{"path": str(root), "image_size": 8, "workers": 2, **CONSTANTS, **given}
    )


def both(root: Path, **given: Any) -> tuple[ResidentImages, ResidentImages]:
    """Return the same images in memory and on the disk."""
    same = Folder.Options(path=str(root), image_size=8, **CONSTANTS)
    return (
        ResidentImages(Folder.load(same), CPU),
        ResidentImages(ImageNet.load(options(root, **given)), CPU),
    )


def shuffled(seed: int, size: int = 5) -> list[torch.Tensor]:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))
    return list(order.split(size))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_images_in_memory(root: Path, workers: int) -> None:
    there, here = both(root, workers=workers)
    augmentation = Augmentation(crop_padding=2, cutout=3)
    streams = {"T": shuffled(1), "V": shuffled(2)}
    draws = [torch.Generator().manual_seed(7) for _ in range(2)]
    for epoch in range(2):
        for name, batches in streams.items():
            here.expect(name, batches)
        for step in range(5):
            for batches in streams.values():
                ids = batches[step]
                expected = there.batch(ids, augmentation, draws[0])
                found = here.batch(ids, augmentation, draws[1])
                assert torch.equal(found.images, expected.images), (epoch, step)
                assert torch.equal(found.labels, expected.labels)
                assert found.ids is ids


def test_ids_that_nobody_expected_are_read_at_once(root: Path) -> None:
    there, here = both(root)
    here.expect("T", shuffled(1))
    ids = torch.tensor([23, 0, 7])

    assert torch.equal(here.batch(ids).images, there.batch(ids).images)


def test_a_sequence_that_is_left_unfinished_is_forgotten(root: Path) -> None:
    there, here = both(root)
    for seed in (1, 2, 3):
        batches = shuffled(seed)
        here.expect("T", batches)
        for ids in batches[:2]:
            assert torch.equal(here.batch(ids).images, there.batch(ids).images)


def test_reading_ahead_draws_nothing_from_the_search(root: Path) -> None:
    _, here = both(root)
    torch.manual_seed(5)
    before = torch.get_rng_state()

    batches = shuffled(1)
    here.expect("T", batches)
    here.batch(batches[0])

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_stops_with_its_name(
    root: Path, workers: int
) -> None:
    (root / "train" / "n01440764" / "n01440764_03.JPEG").write_bytes(b"broken")
    here = ResidentImages(ImageNet.load(options(root, workers=workers)), CPU)
    batches = [torch.arange(24)]
    here.expect("T", batches)

    with pytest.raises(SearchError, match=r"n01440764_03\.JPEG cannot be used"):
        here.batch(batches[0])


def loaded(given: Any) -> tuple[list[int], Images]:
    loading, told = ImageNet.loading(given), []
    while True:
        try:
            told.append(next(loading))
        except StopIteration as end:
            return told, end.value


def test_a_check_finds_what_is_broken_and_a_search_leaves_it_out(root: Path) -> None:
    broken = "train/n01440764/n01440764_03.JPEG"
    (root / broken).write_bytes(b"broken")

    told, images = loaded(options(root))

    assert told == [24]
    assert [each.path for each in images.unreadable] == [broken]
    assert images.labels.tolist() == [0] * 11 + [1] * 12
    left = options(root, leave_out=[broken])
    assert ImageNet.look(left).class_counts == (11, 12)
    same = ImageNet.load(left)
    assert same.fingerprint == images.fingerprint
    assert torch.equal(on_disk.in_memory(same.pixels), on_disk.in_memory(images.pixels))


def test_validation_images_beside_train_test_a_cell(root: Path) -> None:
    assert ImageNet.load_test(options(root)) is None
    shutil.copytree(root / "train", root / "val")
    broken = "val/n01443537/n01443537_00.JPEG"
    (root / broken).write_bytes(b"broken")

    told, images = loaded(options(root, per_class=5))
    found = ImageNet.load_test(options(root, per_class=5, leave_out=[broken]))

    assert told == [10, 10], "they are read, too, and are not counted"
    assert [each.path for each in images.unreadable] == [broken]
    assert images.labels.tolist() == [0] * 5 + [1] * 5
    assert found is not None
    assert found.labels.tolist() == [0] * 12 + [1] * 11
    there = Folder.load_test(Folder.Options(path=str(root), image_size=8, **CONSTANTS))
    assert torch.equal(on_disk.in_memory(found.pixels), there.pixels)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cell_trains_on_images_that_stay_on_the_disk(
    root: Path, workers: int
) -> None:
    shutil.copytree(root / "train", root / "val")

    def trained(source: str, **more: Any) -> list[Any]:
        spec = validate_training(
            {
                "space": {"channels": 4, "cells": 1},
                "architecture": CELL,
                "dataset": {"name": source, "path": str(root), "image_size": 8}
                | CONSTANTS
                | more,
                "training": {"epochs": 2, "batch_size": 7},
                "augmentation": {"crop_padding": 1},
                "compute": {"device": "cpu", "threads": 1},
            }
        )
        clock = {"seconds"}
        kinds = ("cell_epoch", "cell_trained")
        events = [each for each in train_cell(spec) if each.type in kinds]
        return [each.model_dump(exclude=clock) for each in events]

    found = trained("imagenet", workers=workers)
    assert found == trained("folder")
    assert (found[-1]["split"], found[-1]["images"]) == ("test", 24)


def test_the_fingerprint_follows_files_classes_and_size(root: Path) -> None:
    first = ImageNet.load(options(root)).fingerprint

    assert ImageNet.load(options(root)).fingerprint == first
    assert ImageNet.load(options(root, image_size=9)).fingerprint != first
    assert ImageNet.load(options(root, per_class=11)).fingerprint != first


def test_images_on_the_disk_are_not_measured(root: Path) -> None:
    given = {"normalise": "measured", "mean": None, "std": None}
    with pytest.raises(DataError, match="are not measured") as caught:
        ImageNet.look(options(root, **given))
    assert caught.value.field == "normalise"
    auto = {"normalise": "auto", "mean": None, "std": None}
    assert ImageNet.load(options(root, **auto)).mean == (0.485, 0.456, 0.406)


def test_too_many_images_at_once_are_refused(root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(on_disk, "MOST_BYTES", 3 * 8 * 8 * 20)
    here = ImageNet.load(options(root))

    with pytest.raises(SearchError, match="GB of memory at once"):
        on_disk.in_memory(here.pixels)


def spec(root: Path, source: str, **more: Any) -> Any:
    return validate(
        {
            "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
            "dataset": {"name": source, "path": str(root), "image_size": 8, **CONSTANTS}
            | more,
            "training": {"epochs": 2, "batch_size": 4},
            "augmentation": {"crop_padding": 1, "flip": True},
            "diagnostics": {"probe_samples": 8, "eigenvalue_every": 0},
            "compute": {"device": "cpu", "threads": 1},
        }
    )


def alphas(events: Any) -> list[Any]:
    return [each.alpha for each in events if isinstance(each, EpochFinished)]


def test_a_search_finds_the_same_as_with_its_images_in_memory(root: Path) -> None:
    expected = alphas(search(spec(root, "folder")))

    assert alphas(search(spec(root, "imagenet", workers=1))) == expected
    assert len(expected) == 2


def test_a_search_that_is_resumed_reads_the_same(root: Path, tmp_path: Path) -> None:
    whole = alphas(search(spec(root, "imagenet", workers=1)))
    out = tmp_path / "out"
    out.mkdir()
    for event in search(spec(root, "imagenet", workers=1), out):
        if event.type == "checkpointed" and event.epoch == 1:
            break

    rest = alphas(search(spec(root, "imagenet", workers=1), out, resume=True))

    assert rest == whole[1:]
