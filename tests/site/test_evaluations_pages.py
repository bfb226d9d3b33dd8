"""Cells that are trained from scratch: started from a run, watched, told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from searchjobs.claims import claim
from searchjobs.engine.training import train_cell
from searchjobs.engine.training_spec import TrainingSpec
from searchjobs.evaluation_recording import EvaluationRecording
from searchjobs.evaluations import launch_training
from searchjobs.launch import launch
from searchjobs.models import Dataset, Evaluation, Job, Queue, Run, Team
from searchjobs.queueing import end
from searchjobs.states import State
from tests.jobs.conftest import make_slot, tiny

pytestmark = pytest.mark.django_db

CELL = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
TRAINING: dict[str, Any] = {
    "space": {"name": "nas-bench-201", "channels": 2, "cells": 1},
    "architecture": CELL,
    "dataset": {"name": "digits", "per_class": 20},
    "training": {"epochs": 2, "batch_size": 32},
    "compute": {"device": "cpu", "threads": 1},
}
Log = Callable[[User], Client]


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    experiment = launch(user, team, "tiny", tiny(), [1])
    run = experiment.runs.get()
    run.job.state = State.CANCELLED
    run.job.save()
    run.architectures = [{"architecture": CELL, "derivation": "argmax", "epoch": 3}]
    run.save()
    return run


@pytest.fixture
def trained(user: User, team: Team, cpu_queue: Queue) -> Evaluation:
    """One of two trainings has ended, as a worker records it."""
    launch_training(user, team, TRAINING, [1, 2])
    taken = claim(make_slot())
    assert taken is not None
    recording = EvaluationRecording(taken)
    for event in train_cell(TrainingSpec.model_validate(taken.spec)):
        recording.record(event)
    end(taken.job_id, taken.fence, State.SUCCEEDED, "succeeded", error="")
    return Evaluation.objects.get(job_id=taken.job_id)


def sent(**changes: str) -> dict[str, str]:
    return {
        "architecture": CELL,
        "images": "search",
        "channels": "2, 4",
        "cells": "1",
        "seeds": "7, 8",
        "device": "cpu",
        "recipe": "less-is-more",
        "shown.recipe": "less-is-more",
        "epochs": "2",
        "batch_size": "32",
        **changes,
    }


def test_an_architecture_of_a_run_is_trained_at_each_width_with_each_seed(
    client_for: Log, user: User, run: Run
) -> None:
    client, address = client_for(user), reverse("evaluations:new", args=[run.uuid])
    assert CELL in client.get(address).content.decode()
    answer = client.post(address, sent())
    made = list(Evaluation.objects.order_by("channels", "seed"))
    assert answer["Location"] == reverse("evaluations:detail", args=[made[0].uuid])
    assert [(each.channels, each.seed) for each in made] == [
        *((2, 7), (2, 8), (4, 7), (4, 8))
    ]
    assert {each.run_id for each in made} == {run.pk}
    spec = made[0].spec
    assert spec["training"]["learning_rate"] == 0.01  # of the recipe
    assert spec["training"]["epochs"] == 2
    assert spec["dataset"] == run.experiment.spec["dataset"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"channels": "wide"}, "Channels must be whole numbers above 0"),
        ({"epochs": "0"}, "Epochs must be at least 1"),
        ({"seeds": ""}, "Seeds"),
        ({"architecture": "nonsense"}, "architecture"),
        ({"images": "dataset:gone"}, "These images are gone; choose others."),
    ],
)
def test_what_is_wrong_stands_in_the_form_and_nothing_is_started(
    client_for: Log, user: User, run: Run, changes: dict[str, str], sentence: str
) -> None:
    address = reverse("evaluations:new", args=[run.uuid])
    page = client_for(user).post(address, sent(**changes)).content.decode()
    assert "Nothing was started." in page
    assert sentence in page
    assert not Evaluation.objects.exists()
    assert not Job.objects.filter(kind=Job.Kind.TRAINING).exists()


def test_the_page_says_what_the_accuracy_is_and_that_it_was_trained_here(
    client_for: Log, user: User, trained: Evaluation
) -> None:
    address = reverse("evaluations:detail", args=[trained.uuid])
    page = client_for(user).get(address).content.decode()
    assert trained.accuracy is not None
    assert f"{trained.accuracy:.2f} <small>%</small>" in page
    assert "top-1 on held-out images, after the last epoch, this seed" in page
    assert "trained here from scratch, not a table look-up" in page
    assert "n = 1 of 2 launched with these settings" in page


def test_a_page_that_is_open_gets_the_epochs_that_it_misses_and_no_others(
    client_for: Log, user: User, trained: Evaluation
) -> None:
    address = reverse("evaluations:points", args=[trained.uuid])
    client = client_for(user)
    everything = client.get(address).json()
    assert [point["epoch"] for point in everything["points"]] == [1, 2]
    assert everything["over"] is True
    missed = client.get(address, {"after": "1"}).json()["points"]
    assert [point["epoch"] for point in missed] == [2]


def test_a_training_says_by_name_on_which_registered_data_set_it_is(
    client_for: Log, user: User, team: Team, trained: Evaluation, run: Run
) -> None:
    section = {"name": "uploaded", "upload": "5f0c3c1e-8a9f-4f4e-9b59-0f0b7d9f3c11"}
    Evaluation.objects.update(spec={**trained.spec, "dataset": section})
    run.experiment.spec["dataset"] = section
    run.experiment.save()
    pets = Dataset.objects.create(team=team, name="Pets", source=section, author=user)
    link = f'<a href="{reverse("datasets:detail", args=[pets.uuid])}">Pets</a>'
    client = client_for(user)
    for address in (
        reverse("evaluations:list"),
        reverse("evaluations:detail", args=[trained.uuid]),
    ):
        assert link in client.get(address).content.decode()
    form = client.get(reverse("evaluations:new", args=[run.uuid])).content.decode()
    assert "those of the search (Pets)" in form


def test_the_row_of_a_training_tells_of_the_seeds_that_are_done(
    client_for: Log, user: User, trained: Evaluation
) -> None:
    (row,) = client_for(user).get(reverse("evaluations:list")).context["rows"]
    assert [each.seed for each in row["members"]] == [1, 2]
    # whichever of them it is: another may wait, or have failed
    Evaluation.objects.filter(pk=trained.pk).update(seed=3)
    (row,) = client_for(user).get(reverse("evaluations:list")).context["rows"]
    assert row["first"].split == ""
    assert row["split"] == "held-out images"


def test_the_mean_counts_a_seed_once_however_often_it_was_trained(
    client_for: Log, user: User, team: Team, trained: Evaluation
) -> None:
    for _ in range(2):
        launch_training(user, team, TRAINING, [2])
    for pk, accuracy in zip(
        Evaluation.objects.order_by("seed", "pk").values_list("pk", flat=True),
        (60.0, 70.0, 70.0, 70.0),
        strict=True,
    ):
        Evaluation.objects.filter(pk=pk).update(accuracy=accuracy)
    (row,) = client_for(user).get(reverse("evaluations:list")).context["rows"]
    assert len(row["members"]) == 4
    assert (row["accuracy"].n, row["accuracy"].mean) == (2, 65.0)
    page = client_for(user).get(reverse("evaluations:detail", args=[trained.uuid]))
    assert "n = 2 of 2 launched with these settings" in page.content.decode()


def test_settings_have_the_labels_of_their_own_parts(
    client_for: Log, user: User, trained: Evaluation
) -> None:
    spec = {**trained.spec, "dataset": {"name": "npz", "path": "/data/pets.npz"}}
    Evaluation.objects.update(spec=spec)
    page = client_for(user).get(reverse("evaluations:detail", args=[trained.uuid]))
    assert "<dt>File</dt><dd>/data/pets.npz</dd>" in page.content.decode()


def test_a_training_outlives_the_package_of_its_source(
    client_for: Log, user: User, trained: Evaluation
) -> None:
    section = {"name": "their-camera", "shots": 3}
    Evaluation.objects.update(spec={**trained.spec, "dataset": section})
    for address in (
        reverse("evaluations:list"),
        reverse("evaluations:detail", args=[trained.uuid]),
    ):
        page = client_for(user).get(address)
        assert page.status_code == 200
        assert "their-camera (not installed here)" in page.content.decode()


def test_for_another_team_there_is_no_such_training(
    client_for: Log, other_team_user: User, trained: Evaluation, run: Run
) -> None:
    client = client_for(other_team_user)
    for name in ("detail", "points", "status"):
        address = reverse(f"evaluations:{name}", args=[trained.uuid])
        assert client.get(address).status_code == 404
    new = reverse("evaluations:new", args=[run.uuid])
    assert client.get(new).status_code == 404
    assert client.post(new, sent()).status_code == 404
    page = client.get(reverse("evaluations:list")).content.decode()
    assert str(trained.uuid) not in page


def test_a_viewer_sees_a_training_and_may_start_none(
    client_for: Log, viewer: User, trained: Evaluation, run: Run
) -> None:
    client = client_for(viewer)
    address = reverse("evaluations:detail", args=[trained.uuid])
    assert client.get(address).status_code == 200
    new = reverse("evaluations:new", args=[run.uuid])
    assert client.post(new, sent()).status_code == 403


def test_seeds_that_were_launched_later_stand_in_the_row_of_the_first(
    client_for: Log, user: User, team: Team, trained: Evaluation
) -> None:
    launch_training(user, team, {**TRAINING, "training": {"epochs": 3}}, [1])
    launch_training(user, team, TRAINING, [9])
    page = client_for(user).get(reverse("evaluations:list"))
    seeds = [{each.seed for each in row["members"]} for row in page.context["rows"]]
    assert {1, 2, 9} in seeds
    assert len(seeds) == 2


def test_the_list_asks_as_often_for_many_as_for_one(
    client_for: Log,
    user: User,
    team: Team,
    trained: Evaluation,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, address = client_for(user), reverse("evaluations:list")
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        assert client.get(address).status_code == 200
    assert len(few) <= 6
    launch_training(user, team, TRAINING, [3, 4, 5])
    with django_assert_num_queries(len(few)):
        client.get(address)
