"""The training of one cell: it goes on where it was stopped, and what cannot be
trained is told before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchjobs.engine.events import CellEpoch, CellTrained, Checkpointed
from searchjobs.engine.problems import SearchError, SpecError
from searchjobs.engine.training import train_cell
from searchjobs.engine.training_spec import validate_training

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


def test_a_training_that_is_resumed_tells_the_rest_to_the_last_bit(
    tmp_path: Path,
) -> None:
    spec = validate_training(
        {
            "space": {"channels": 4, "cells": 1},
            "architecture": CELL,
            "dataset": {"name": "digits", "per_class": 30},
            "training": {"epochs": 3, "batch_size": 32},
            "compute": {"device": "cpu", "threads": 1},
        }
    )
    whole = [event for event in train_cell(spec) if isinstance(event, CellEpoch)]
    for event in train_cell(spec, tmp_path):
        if isinstance(event, Checkpointed):
            break

    rest = [
        event
        for event in train_cell(spec, tmp_path, resume=True)
        if isinstance(event, CellEpoch)
    ]

    clock = {"seconds"}
    assert [each.model_dump(exclude=clock) for each in rest] == [
        each.model_dump(exclude=clock) for each in whole[1:]
    ]


def test_a_share_held_out_that_leaves_nothing_to_train_on_is_refused() -> None:
    spec = validate_training(
        {
            "space": {"channels": 4, "cells": 1},
            "architecture": CELL,
            "dataset": {"name": "digits", "per_class": 9},
            "training": {"epochs": 1, "batch_size": 8, "held_out": 0.9},
            "compute": {"device": "cpu", "threads": 1},
        }
    )

    with pytest.raises(SpecError, match="0 of the 90 images are left") as told:
        list(train_cell(spec))
    assert told.value.problems[0].field == "training.held_out"


@pytest.mark.parametrize("given", [{"dataset": "digits"}, {"augmentation": 3}])
def test_a_section_that_is_no_mapping_is_told_in_a_sentence(
    given: dict[str, Any],
) -> None:
    with pytest.raises(SpecError, match="should be a valid dictionary"):
        validate_training({"architecture": CELL, **given}, check_data=False)


def test_test_images_measure_and_may_not_change_between_two_attempts(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(1)
    arrays = {"x": draw.integers(0, 256, (20, 8, 8, 3), np.uint8), "y": [0, 1] * 10}
    file = tmp_path / "images.npz"

    def write(tests: int) -> None:
        part = {"x_test": arrays["x"][:tests], "y_test": arrays["y"][:tests]}
        np.savez(file, **arrays, **(part if tests else {}))

    write(6)
    spec = validate_training(
        {
            "space": {"channels": 4, "cells": 1},
            "architecture": CELL,
            "dataset": {"name": "npz", "path": str(file)},
            "training": {"epochs": 2, "batch_size": 8},
            "compute": {"device": "cpu", "threads": 1},
        }
    )

    *_, found = train_cell(spec, tmp_path)
    assert isinstance(found, CellTrained)
    assert (found.split, found.images) == ("test", 6)

    for tests in (4, 0):  # fewer, and none, so that a share would be held out
        write(tests)
        with pytest.raises(SearchError, match="have changed since this training"):
            list(train_cell(spec, tmp_path, resume=True))
