"""A derived architecture is trained from scratch by jobs of its own, one a seed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from searchjobs.engine.problems import SpecError
from searchjobs.evaluations import launch_training
from searchjobs.models import Evaluation, Job, Queue, Slot, Team
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.jobs.conftest import take

pytestmark = pytest.mark.django_db(transaction=True)

CELL = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
TRAINING: dict[str, Any] = {
    "space": {"name": "nas-bench-201", "channels": 2, "cells": 1},
    "architecture": CELL,
    "dataset": {"name": "digits", "per_class": 20},
    "training": {"epochs": 3, "batch_size": 32},
    "compute": {"device": "cpu", "threads": 1},
}


def test_each_seed_gives_a_curve_and_an_accuracy_on_images_it_never_trained_on(
    user: User, team: Team, slot: Slot
) -> None:
    made = launch_training(user, team, TRAINING, [7, 8])
    for _ in made:
        taken = take(slot)
        assert taken is not None
        supervise(taken)
    assert not Job.objects.exclude(state=State.SUCCEEDED).exists()
    rows = list(Evaluation.objects.filter(pk__in=[each.pk for each in made]))
    assert {row.seed for row in rows} == {7, 8}
    for row in rows:
        assert [point["epoch"] for point in row.curve] == [1, 2, 3]
        assert row.split == "held-out"
        assert row.accuracy == pytest.approx(100 * row.curve[-1]["accuracy"])
        assert row.architecture.encoding == CELL
        assert row.parameters is not None
        assert row.parameters > 0
        assert row.job.attempts.get().epochs == 3
    assert rows[0].fingerprint == rows[1].fingerprint
    assert rows[0].curve != rows[1].curve


def test_what_cannot_be_trained_is_told_in_sentences_and_leaves_no_row(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    with pytest.raises(SpecError) as caught:
        launch_training(user, team, {**TRAINING, "architecture": "skip"}, [])
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["seeds", "architecture"]
    assert not Job.objects.exists()
