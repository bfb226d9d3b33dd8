"""Files as a user brings them: the real ones, and small ones made on the spot."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from nas_201_api import ArchResults, ResultsCount

from searchjobs.benchmark_import.csv_table import REQUIRED
from searchjobs.engine.spaces.nas_bench_201.encoding import all_architectures

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = "the table is not committed: set NASWEB_SHARED_DATA to the folder that has"


def brought(*names: str) -> Path:
    """Return a file of the folder with a user's data, or skip and say which it was."""
    folder = Path(os.environ.get("NASWEB_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder.joinpath(*names)
    if not path.exists():
        pytest.skip(f"{SKIPPED} {Path(*names)}")
    return path


def real_csv() -> Path:
    return brought("nasbench201.csv.gz")


def real_folder() -> Path:
    return brought("nats_sample", "NATS-tss-v1_0-3ffb9-simple")


def real_rows() -> list[dict[str, str]]:
    with gzip.open(real_csv(), "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def made_up_rows(indexes: Iterable[int]) -> list[dict[str, str]]:
    """Return rows of the CSV with values that differ by column and architecture."""
    names = all_architectures()
    accuracies = [
        name for name in REQUIRED if name not in {"index", "arch", "n_trials"}
    ]
    return [
        {
            "index": str(index),
            "arch": names[index],
            "n_trials": str(2 + index % 2),
            **{
                name: f"{10 + (index * 7919 % 15625) / 200 + column:.4f}"
                for column, name in enumerate(accuracies)
            },
        }
        for index in indexes
    ]


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def trial(
    dataset: str, seed: int, epochs: int, accuracies: dict[str, float], encoding: str
) -> ResultsCount:
    """Return one training as the package keeps it; the last epoch has the values."""
    curve = dict.fromkeys(range(epochs), 50.0)
    config = {"channel": 16, "num_cells": 5, "arch_str": encoding, "class_num": 10}
    result = ResultsCount(
        dataset, None, curve, curve, 0.8, 113.9, config, seed, epochs, None
    )
    result.update_train_info(curve, None, curve, curve)
    keys = [f"{name}@{epoch}" for name in accuracies for epoch in range(epochs)]
    values = dict.fromkeys(keys, 1.0)
    values |= {f"{name}@{epochs - 1}": value for name, value in accuracies.items()}
    result.update_eval(values, dict.fromkeys(keys, 0.5), dict.fromkeys(keys, 2.0))
    return result


def record(
    index: int, epochs: int, trials: Iterable[tuple[str, int, dict[str, float]]]
) -> dict[str, Any]:
    """Return the state of the package's record of one architecture."""
    encoding = all_architectures()[index]
    results = ArchResults(index, encoding)
    for dataset, seed, accuracies in trials:
        results.update(
            dataset, seed, trial(dataset, seed, epochs, accuracies, encoding)
        )
    return results.state_dict()


def full_record(index: int, value: float) -> dict[str, Any]:
    """Return 200 epochs of one architecture; two trials, mean ``value`` on CIFAR-10."""
    halves = {"x-valid": value + 1, "x-test": value + 2, "ori-test": 1.5}
    return record(
        index,
        200,
        [
            ("cifar10-valid", 777, {"x-valid": value - 1, "ori-test": 3.0}),
            ("cifar10-valid", 888, {"x-valid": value + 1, "ori-test": 4.0}),
            ("cifar10", 777, {"ori-test": value + 3}),
            ("cifar100", 777, halves),
            ("ImageNet16-120", 777, halves),
        ],
    )


def less_record(index: int, value: float) -> dict[str, Any]:
    """Return 12 epochs as version 1.0 has them: on CIFAR-10's halves only."""
    return record(
        index, 12, [("cifar10-valid", 111, {"x-valid": value, "ori-test": 2})]
    )


def write_pth(path: Path, infos: dict[int, dict[str, Any]], **others: Any) -> Path:
    """Save records in the layout of the official file."""
    names = list(all_architectures())
    content = {
        "meta_archs": names,
        "total_archs": len(names),
        "arch2infos": infos,
        "evaluated_indexes": set(infos),
        **others,
    }
    torch.save(content, path)
    return path
