"""check(): every image is read, counted, measured; what is broken is listed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from searchjobs.engine import check as checking
from searchjobs.engine.check import check, load_check_yaml, validate_check
from searchjobs.engine.data import decode
from searchjobs.engine.data.source import sources
from searchjobs.engine.events import (
    DatasetChecked,
    JobStarted,
    Progress,
    Started,
    parse,
)
from searchjobs.engine.problems import SpecError
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.engine.words import log_line


def save(path: Path, seed: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Five cats, of which one is cut off, and three dogs, 8x8."""
    root = tmp_path / "pets"
    for number in range(5):
        save(root / "cat" / f"{number}.png", number)
    for number in range(3):
        save(root / "dog" / f"{number}.png", 10 + number)
    whole = (root / "cat" / "1.png").read_bytes()
    (root / "cat" / "1.png").write_bytes(whole[:-40])
    return root


def folder(root: Path, **more: Any) -> Any:
    return validate_check({"dataset": {"name": "folder", "path": str(root), **more}})


def test_the_last_event_tells_all_that_a_search_will_find(
    pets: Path, tmp_path: Path
) -> None:
    spec = folder(pets, image_size=8)

    first, *_, told = check(spec, tmp_path)

    assert isinstance(first, JobStarted)
    assert first.classes == ["cat", "dog"]
    assert isinstance(told, DatasetChecked)
    assert told.class_counts == [4, 3]
    assert told.unreadable_count == 1
    assert [vars(each) for each in told.unreadable] == [
        {"path": "cat/1.png", "sentence": "It is damaged or cut off."}
    ]
    images = sources.get("folder").load(spec.dataset)
    assert told.data_fingerprint == images.fingerprint
    assert (told.mean, told.std) == (list(images.mean), list(images.std))


def test_progress_counts_the_images(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "TOLD_EVERY", 3)

    told = [each for each in check(folder(pets), None) if isinstance(each, Progress)]

    assert [(each.step, each.steps) for each in told] == [(3, 8), (6, 8), (8, 8)]
    assert told[-1].seconds_left == 0


def test_the_samples_are_the_first_of_each_class(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SAMPLES_A_CLASS", 2)

    *_, told = check(folder(pets, image_size=8), tmp_path)

    assert isinstance(told, DatasetChecked)
    with np.load(tmp_path / told.artefact, allow_pickle=False) as found:
        assert found["labels"].tolist() == [0, 0, 1, 1]
        assert found["ids"].tolist() == [0, 1, 4, 5]
        images = sources.get("folder").load(folder(pets, image_size=8).dataset)
        assert torch.equal(
            torch.from_numpy(found["pixels"]), images.pixels[[0, 1, 4, 5]]
        )


def test_large_samples_are_made_smaller(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "large" / name / "0.png", 1, size=200)

    list(check(folder(tmp_path / "large", image_size=200), tmp_path))

    with np.load(tmp_path / checking.NAME, allow_pickle=False) as found:
        assert found["pixels"].shape == (2, 3, 96, 96)


def test_a_data_set_that_is_not_there_is_refused_at_its_field(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        folder(tmp_path / "nowhere")

    (problem,) = caught.value.problems
    assert problem.field == "dataset.path"


def test_the_spec_of_a_search_will_do(pets: Path) -> None:
    spec = load_check_yaml(
        f"dataset: {{name: folder, path: {pets}}}\nmethod: {{name: gdas}}\n"
    )

    assert spec.dataset.path == str(pets)


@pytest.mark.parametrize("text", ["- a list", "method: {name: darts}", "a: [b"])
def test_text_that_names_no_data_set_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        load_check_yaml(text)


def test_a_search_tells_what_it_leaves_out_and_plans_without_it(pets: Path) -> None:
    spec = validate(
        {
            "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
            "dataset": {"name": "folder", "path": str(pets), "image_size": 8},
            "training": {"batch_size": 2},
        }
    )

    started = next(search(spec))

    assert isinstance(started, Started)
    assert [each.path for each in started.unreadable] == ["cat/1.png"]
    assert started.unreadable_count == 1
    assert sum(started.plan.sizes.values()) == 7
    assert "cat/1.png: It is damaged" in str(log_line(started))


def test_the_command_writes_events_and_names_what_is_broken(
    pets: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "check.yaml"
    spec.write_text(folder(pets).to_yaml())

    done = subprocess.run(
        [
            *(sys.executable, "-m", "searchjobs.engine", "check", str(spec)),
            *("--out", str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    last = parse(done.stdout.splitlines()[-1])
    assert isinstance(last, DatasetChecked)
    written = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    assert json.loads(written[-1])["class_counts"] == [4, 3]
    assert "cat/1.png: It is damaged or cut off." in done.stderr
    assert (tmp_path / "out" / checking.NAME).is_file()
