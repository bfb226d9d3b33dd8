"""Tables whose values are trained cells: ours are trainings, never look-ups."""

# ruff: noqa: F811 - the fixtures of the neighbour file are used by their names
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from searchjobs.models import Evaluation, Job, Run, Team
from searchjobs.states import State
from tests.reproductions import CONVOLUTIONS, POOLS, end
from tests.site.test_reproductions_page import (  # noqa: F401 - fixtures, too
    address,
    images,
    launched,
    line_of,
    looked_up,
    text_of,
)

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


def trained(
    run: Run,
    channels: int,
    accuracy: float,
    *,
    seed: int = 777,
    epochs: int = 200,
    learning_rate: float = 0.01,
) -> None:
    """Store a training of a run's cell, as a training job leaves it."""
    run.refresh_from_db()
    assert run.architecture is not None
    job = Job.objects.create(
        kind=Job.Kind.TRAINING,
        team=run.experiment.team,
        author=run.experiment.author,
        queue=run.job.queue,
        spec={},
        state=State.SUCCEEDED,
        queued=timezone.now(),
    )
    Evaluation.objects.create(
        job=job,
        architecture=run.architecture,
        run=run,
        spec={
            "space": {"name": "nas-bench-201", "channels": channels, "cells": 5},
            "training": {"epochs": epochs, "learning_rate": learning_rate},
            "seed": seed,
        },
        fingerprint="f",
        seed=seed,
        dataset="cifar100",
        channels=channels,
        cells=5,
        epochs=epochs,
        epoch=epochs,
        split="test",
        accuracy=accuracy,
    )


def test_trained_cells_are_read_apart_from_the_table(
    launched: Callable[[str], Any], user: User, team: Team, client_for: ClientFor
) -> None:
    name = "less-is-more-1"
    runs = launched(name)[f"{name}-darts-v1-rs-75"]
    page = text_of(client_for(user).get(address(name)))
    assert "none of ours is trained yet" in page
    end(runs[0], CONVOLUTIONS)
    end(runs[1], POOLS)
    for seed, accuracy in ((777, 60.0), (888, 62.0)):
        trained(runs[0], 16, accuracy, seed=seed)
    trained(runs[1], 16, 41.0)
    # another protocol is never averaged in
    trained(runs[1], 16, 99.0, epochs=10)
    trained(runs[1], 16, 98.0, learning_rate=0.1)
    narrow, wide, _, aside = line_of(team, name, "RS, r = .75").values
    assert (narrow.ours.n, narrow.ours.mean, narrow.trainings) == (2, 51.0, 3)
    assert narrow.deviation == pytest.approx(11.0)
    assert wide.ours.n == 0, "no look-up stands in for a training"
    assert aside.ours.mean == pytest.approx(85.0), "it has a column of its own"
    assert aside.deviation is None
    words = text_of(client_for(user).get(address(name)))
    assert (
        "cells trained from scratch (CIFAR-100, test set, 200 epochs, N = 5, learning "
        "rate 0.01)" in words
    )
    assert "3 trainings" in words


def test_of_a_width_the_protocol_with_most_trainings_counts_alone(
    launched: Callable[[str], Any], team: Team
) -> None:
    name = "less-is-more-1"
    run = launched(name)[f"{name}-darts-v1-rs-75"][0]
    end(run, CONVOLUTIONS)
    for seed, rate, accuracy in ((1, 0.1, 70.0), (2, 0.1, 74.0), (3, 0.01, 60.0)):
        trained(run, 32, accuracy, seed=seed, learning_rate=rate)
    wide = line_of(team, name, "RS, r = .75").values[1]
    assert (wide.ours.mean, wide.trainings) == (72.0, 2)


def test_the_same_seed_again_is_no_other_training(
    launched: Callable[[str], Any], team: Team
) -> None:
    name = "less-is-more-1"
    run = launched(name)[f"{name}-darts-v1-rs-75"][0]
    end(run, CONVOLUTIONS)
    for seed, accuracy in ((1, 70.0), (2, 76.0), (2, 76.0)):
        trained(run, 32, accuracy, seed=seed)
    wide = line_of(team, name, "RS, r = .75").values[1]
    assert (wide.ours.mean, wide.trainings) == (73.0, 2)


def test_cells_that_another_team_trained_are_not_read(
    launched: Callable[[str], Any], team: Team, other_team_user: User
) -> None:
    name = "less-is-more-1"
    run = launched(name)[f"{name}-darts-v1-rs-75"][0]
    end(run, CONVOLUTIONS)
    trained(run, 16, 60.0)
    others = Team.objects.exclude(pk=team.pk).get()
    Job.objects.filter(kind=Job.Kind.TRAINING).update(team=others)
    assert line_of(team, name, "RS, r = .75").values[0].ours.n == 0
