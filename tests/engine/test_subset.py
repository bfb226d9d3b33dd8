"""The file of a subset, and the searches that read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchjobs.engine.events import SamplesPruned
from searchjobs.engine.problems import SearchError, SpecError
from searchjobs.engine.search import search
from searchjobs.engine.selection.subset import StoredSubset, SubsetOptions
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.subset import NAME, make_subset
from searchjobs.engine.subset_spec import validate_subset

from .conftest import tiny

DIGITS = {"name": "digits", "per_class": 20}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subset")
    spec = validate_subset(
        {
            "dataset": DIGITS,
            "selection": {"name": "random", "keep_train": 0.5},
            "compute": {"device": "cpu", "threads": 1},
        }
    )
    list(make_subset(spec, folder))
    return folder / NAME


def changed(made: Path, path: Path, **arrays: np.ndarray) -> Path:
    """Write the file of a subset with other arrays in it."""
    with np.load(made, allow_pickle=False) as found:
        np.savez(path, **{**found, **arrays})
    return path


def spec_with(path: Path, **dataset: Any) -> SearchSpec:
    return tiny(
        space={"name": "nas-bench-201", "channels": 4, "cells": 1},
        training={"epochs": 1, "batch_size": 25},
        dataset=DIGITS | dataset,
        selection={"name": "subset", "subset": str(path)},
    )


def test_a_subset_writes_nowhere_but_into_the_folder_of_the_run(
    made: Path, tmp_path: Path
) -> None:
    with np.load(made, allow_pickle=False) as found:
        about = json.loads(str(found["about"]))
    about["events"]["T"]["artefact"] = "../elsewhere/stolen.npz"
    about = np.array(json.dumps(about))
    path = changed(made, tmp_path / "changed.npz", about=about)

    list(search(spec_with(path), tmp_path / "run"))

    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "run/prunings/epoch-0000-T.npz").is_file()


def test_a_subset_of_other_ids_than_those_of_the_split_is_refused(
    made: Path, tmp_path: Path
) -> None:
    with np.load(made, allow_pickle=False) as found:
        ids = found["ids_T"] + 1
    path = changed(made, tmp_path / "changed.npz", ids_T=ids)

    with pytest.raises(SearchError, match="other samples of T than the split"):
        list(search(spec_with(path)))


def test_a_subset_whose_columns_do_not_fit_is_no_subset(
    made: Path, tmp_path: Path
) -> None:
    with np.load(made, allow_pickle=False) as found:
        kept = found["kept_T"][1:]
    path = changed(made, tmp_path / "changed.npz", kept_T=kept)

    options = SubsetOptions(subset=str(path))
    (problem,) = StoredSubset.problems(options, spec_with(made), {})

    assert "is not the file of a subset" in problem.sentence


def test_a_subset_fits_however_its_images_are_normalised(made: Path) -> None:
    constants = {"normalise": "given", "mean": [0.5] * 3, "std": [0.5] * 3}
    spec = spec_with(made, **constants)

    assert StoredSubset.problems(spec.selection, spec, {}) == []


def test_classes_too_small_for_their_share_keep_what_was_planned_all_the_same() -> None:
    """Six of each class in T: 0.9 of a sample a class is nine of the ten classes."""
    spec = tiny(
        space={"name": "nas-bench-201", "channels": 4, "cells": 1},
        dataset={"name": "digits", "per_class": 12},
        split={"stratified": True},
        training={"epochs": 1, "batch_size": 8},
        selection={"name": "class-random", "keep_train": 0.15},
    )

    (event,) = (each for each in search(spec) if isinstance(each, SamplesPruned))

    assert (event.before, event.after) == (60, 9)
    assert event.class_counts_after == [1] * 9 + [0]


@pytest.mark.parametrize("given", [{"dataset": "digits"}, {"augmentation": 3}])
def test_a_section_that_is_no_mapping_is_told_in_a_sentence(
    given: dict[str, Any],
) -> None:
    with pytest.raises(SpecError, match="should be a valid dictionary"):
        validate_subset(given, check_data=False)
