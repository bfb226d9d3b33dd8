"""A subset is chosen by a job of its own, and searches use what it chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User

from searchjobs import subset_files
from searchjobs.engine import places
from searchjobs.engine.problems import SpecError
from searchjobs.engine.subset import read_subset
from searchjobs.launch import launch
from searchjobs.models import DatasetStatistics, Job, Queue, Run, Slot, Subset, Team
from searchjobs.states import State
from searchjobs.subsets import launch_subset
from searchjobs.supervisor import supervise
from tests.jobs.conftest import take

pytestmark = pytest.mark.django_db(transaction=True)

CHOICE: dict[str, Any] = {
    "dataset": {"name": "digits"},
    "selection": {"name": "class-random", "keep_train": 0.25, "keep_valid": 0.5},
    "compute": {"device": "cpu"},
}
SEARCH: dict[str, Any] = {
    "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
    "dataset": {"name": "digits"},
    "training": {"epochs": 2, "batch_size": 32},
    "compute": {"device": "cpu"},
}


def do_next(slot: Slot) -> None:
    """Do the next job in the slot, as its worker does."""
    taken = take(slot)
    assert taken is not None
    supervise(taken)


def test_searches_of_any_seed_train_on_the_very_samples_that_the_job_has_chosen(
    user: User, team: Team, slot: Slot
) -> None:
    subset = launch_subset(user, team, "a quarter", CHOICE)
    do_next(slot)
    subset.job.refresh_from_db()
    assert subset.job.state == State.SUCCEEDED, subset.job.error
    subset.refresh_from_db()
    chosen = subset.sets["T"]
    assert (chosen["before"], sum(chosen["class_counts_after"])) == (
        898,
        chosen["after"],
    )
    spec = {**SEARCH, "selection": {"name": "subset", "subset": str(subset.uuid)}}
    experiment = launch(user, team, "on a quarter", spec, [1, 2])
    assert experiment.subset == subset
    for _ in experiment.seeds:
        do_next(slot)
    jobs = list(Job.objects.filter(run__experiment=experiment))
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 2
    file = read_subset(places.subset_path(str(subset.uuid)))
    kept = file.arrays["T"]["ids"][file.arrays["T"]["kept"]]
    for run in Run.objects.filter(experiment=experiment):
        before = DatasetStatistics.objects.get(run=run, epoch=0, set="T")
        assert before.event is not None
        assert (before.remaining, run.remaining_train) == (len(kept), len(kept))
        assert run.plan["remaining"]["T"][0] == len(kept)
        path = run.job.artefacts.get(name=before.event["artefact"])
        with np.load(_stored(path), allow_pickle=False) as stored:
            assert np.array_equal(stored["ids"][~stored["removed"]], kept)


def _stored(artefact: Any) -> Path:
    from searchjobs.artefacts import storage

    return Path(storage().path(artefact.path))


def test_a_subset_of_another_team_is_not_there(
    user: User, team: Team, other_team_user: User, cpu_queue: Queue
) -> None:
    others = Team.objects.get(memberships__user=other_team_user)
    subset = launch_subset(other_team_user, others, "theirs", CHOICE)
    spec = {**SEARCH, "selection": {"name": "subset", "subset": str(subset.uuid)}}
    with pytest.raises(SpecError, match="There is no such subset in this team"):
        launch(user, team, "x", spec, [1])


def test_a_wrong_choice_is_told_in_sentences_and_leaves_no_row(
    user: User, team: Team
) -> None:
    everything = {"name": "random", "keep_train": 1, "keep_valid": 1}
    with pytest.raises(SpecError) as caught:
        launch_subset(user, team, " ", {**CHOICE, "selection": everything})
    assert [problem.field for problem in caught.value.problems] == [
        "name",
        "selection.keep_train",
    ]
    assert not Subset.objects.exists()
    assert not Job.objects.exists()


def test_a_subset_that_is_not_finished_has_no_file(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    subset = launch_subset(user, team, "soon", CHOICE)
    path = places.subset_path(str(subset.uuid))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"of a former attempt")
    subset_files.bring(subset.uuid)
    assert not path.exists()
