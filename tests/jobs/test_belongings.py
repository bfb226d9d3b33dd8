"""What a spec may name: files where its author may reach, and data sets that stay."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from searchjobs import belongings, datasets, uploads
from searchjobs.engine import places
from searchjobs.engine.contracts import derivations, stopping_rules
from searchjobs.engine.problems import SpecError
from searchjobs.engine.registry import Options, Part, paths_of, setting
from searchjobs.engine.spec import PARTS
from searchjobs.evaluations import launch_training
from searchjobs.launch import launch
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import Dataset, Experiment, Job, Queue, Team
from searchjobs.states import State
from searchjobs.subsets import launch_subset
from tests.jobs.zips import pets, zipped

pytestmark = pytest.mark.django_db

CELL = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
SPACE = {"name": "nas-bench-201", "channels": 2, "cells": 1}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, beside what is none of it."""
    place = tmp_path / "data"
    place.mkdir()
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(place))
    return place


def images(path: Path) -> dict[str, Any]:
    """Write images to a file, and return the section that names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(path, images=pixels, labels=np.arange(40) % 2)
    return {"name": "npz", "path": str(path)}


def searching(user: User, team: Team, section: dict[str, Any]) -> None:
    spec = {"space": SPACE, "dataset": section, "selection": {"name": "full"}}
    launch(user, team, "x", {**spec, "training": {"epochs": 1, "batch_size": 4}}, [1])


def choosing(user: User, team: Team, section: dict[str, Any]) -> None:
    choice = {"name": "random", "keep_train": 0.5}
    launch_subset(user, team, "x", {"dataset": section, "selection": choice})


def training(user: User, team: Team, section: dict[str, Any]) -> None:
    spec = {"space": SPACE, "architecture": CELL, "dataset": section}
    launch_training(
        user, team, {**spec, "training": {"epochs": 1, "batch_size": 8}}, [1]
    )


def registering(user: User, team: Team, section: dict[str, Any]) -> None:
    datasets.register(user, team, "Ours", section)


ASKING = [searching, choosing, training, registering]
Asking = Callable[[User, Team, dict[str, Any]], None]


def said(error: pytest.ExceptionInfo[SpecError]) -> dict[str, str]:
    return {problem.field: problem.sentence for problem in error.value.problems}


@pytest.mark.parametrize("ask", ASKING)
def test_members_name_files_of_the_data_folder_and_maintainers_any(
    ask: Asking,
    user: User,
    maintainer: User,
    team: Team,
    cpu_queue: Queue,
    root: Path,
    tmp_path: Path,
) -> None:
    outside = images(tmp_path / "elsewhere" / "images.npz")
    with pytest.raises(SpecError) as caught:
        ask(user, team, outside)
    assert said(caught) == {
        "dataset.path": f"{outside['path']} lies outside of the data folder {root}, "
        "where members name files; ask a maintainer of the team to register it as a "
        "data set."
    }
    assert not Job.objects.exists()
    ask(maintainer, team, outside)
    if ask is not registering:  # whose name is taken by now
        ask(user, team, images(root / "deep" / "images.npz"))


def test_nothing_is_fetched_to_where_a_member_may_not_reach(
    user: User, team: Team, cpu_queue: Queue, tmp_path: Path
) -> None:
    section = {"name": "mnist", "path": str(tmp_path / "theirs"), "download": True}
    for ask in ASKING:
        with pytest.raises(SpecError, match="lies outside of the data folder"):
            ask(user, team, section)
    assert not (tmp_path / "theirs").exists()


def test_where_a_maintainer_has_registered_a_data_set_members_search(
    user: User,
    maintainer: User,
    team: Team,
    other_team_user: User,
    cpu_queue: Queue,
    tmp_path: Path,
) -> None:
    outside = images(tmp_path / "images.npz")
    registering(maintainer, team, outside)
    searching(user, team, {**outside, "per_class": 10})
    others = Team.objects.get(name="Others")
    other_team_user.memberships.update(role="member")
    with pytest.raises(SpecError, match="lies outside of the data folder"):
        searching(other_team_user, others, outside)


def test_a_registered_place_is_none_to_fetch_to(
    user: User, maintainer: User, team: Team, tmp_path: Path
) -> None:
    source = {"name": "cifar10", "path": str(tmp_path), "download": False}
    Dataset.objects.create(team=team, name="C", source=source, author=maintainer)
    assert not belongings.problems(user, team, {"dataset": source})
    fetched = {"dataset": {**source, "download": True}}
    assert [p.field for p in belongings.problems(user, team, fetched)] == [
        "dataset.path"
    ]
    assert not belongings.problems(maintainer, team, fetched)


@pytest.mark.parametrize(
    ("named", "near"),
    [
        ("{root}/pets", True),
        ("{root}/laid/pets", True),  # by a link of an administrator
        ("{root}/../elsewhere", False),
        ("{root}/laid/../pets", False),  # which is beside where the link leads
        ("{root}", True),
        ("{root}x/pets", False),
        ("/", False),
        ("~nobody-of-this-name/pets", False),
        ("{root}/uploads", False),
        ("{root}/uploads/5f0c3c1e-8a9f-4f4e-9b59-0f0b7d9f3c11", False),
        ("{root}/pets/../subsets/x.npz", False),
        ("{root}/loop", True),  # it leads nowhere, which its source says
    ],
)
def test_what_lies_in_the_data_folder_is_told_by_where_it_leads(
    user: User, team: Team, root: Path, tmp_path: Path, named: str, near: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "laid").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root / "loop")
    path = named.format(root=root)
    found = belongings.problems(user, team, {"dataset": {"name": "npz", "path": path}})
    assert [problem.field for problem in found] == ([] if near else ["dataset.path"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("path", "/scores.csv"), ("weights", "/net.pth"), ("subset", "/subset.npz")],
)
def test_files_of_a_selection_are_bound_to_the_data_folder_too(
    user: User, maintainer: User, team: Team, root: Path, option: str, value: str
) -> None:
    spec = {"selection": {"name": "x", option: value}}
    (problem,) = belongings.problems(user, team, spec)
    assert problem.field == f"selection.{option}"
    assert "put it there, or ask a maintainer" in problem.sentence
    assert not belongings.problems(maintainer, team, spec)
    spec["selection"][option] = f"{root}{value}"
    assert not belongings.problems(user, team, spec)


class _ForeignOptions(Options):
    name: Literal["foreign"] = "foreign"
    model: str = setting("", "Network", "Where it lies.", names="files")
    model_name: str = setting("", "Name", "What it is called.")


class _Foreign(Part):
    name = "foreign"
    Options = _ForeignOptions


def test_a_file_that_a_part_of_another_package_names_is_bound_too(
    user: User, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parts in (derivations, stopping_rules):
        monkeypatch.setattr(parts, "_parts", {**parts._parts, "x": _Foreign})
    belongings._paths.cache_clear()
    named = {"name": "foreign", "model": "/a.pth", "model_name": "/b"}
    spec = {"derivation": named, "stopping": [{"name": "darts-es"}, named]}
    try:
        found = belongings.problems(user, team, spec)
    finally:
        belongings._paths.cache_clear()
    fields = {problem.field for problem in found}
    assert fields == {"derivation.model", "stopping.1.model"}


def test_every_option_that_is_called_a_file_or_a_folder_is_marked_as_one() -> None:
    called = {
        (section, part.name, option)
        for section, parts in PARTS.items()
        for part in parts.all()
        for option, field in part.Options.model_fields.items()
        if field.annotation is str
        and {"file", "folder"} & {*f"{field.title} {field.description}".lower().split()}
    }
    marked = {
        (section, part.name, option)
        for section, parts in PARTS.items()
        for part in parts.all()
        for option in paths_of(part)
    }
    assert called <= marked
    assert ("selection", "transfer", "weights") in called


def test_a_subset_by_its_path_is_refused_once(user: User, team: Team) -> None:
    path = places.subset_path("5f0c3c1e-8a9f-4f4e-9b59-0f0b7d9f3c11")
    spec = {"selection": {"name": "subset", "subset": str(path)}}
    (problem,) = belongings.problems(user, team, spec)
    assert "no such subset" in problem.sentence


# A data set that is removed while something is launched on it ----------------------


@pytest.fixture
def uploaded(
    transactional_db: None, user: User, team: Team, cpu_queue: Queue
) -> Dataset:
    file = zipped(pets(count=20))
    dataset = datasets.register_upload(user, team, "Pets", file, image_size="8")
    Job.objects.update(state=State.SUCCEEDED)
    return Dataset.objects.get(pk=dataset.pk)


def meanwhile(pool: ThreadPoolExecutor, do: Callable[[], None]) -> Any:
    """Do it in another thread, with a connection of its own, and see that it waits."""

    def work() -> None:
        try:
            do()
        finally:
            connection.close()

    found = pool.submit(work)
    assert not wait([found], 1).done, "it waits for the first"
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", ASKING[:3])
def test_who_removes_a_data_set_waits_for_a_launch_on_it_and_is_refused(
    ask: Asking, uploaded: Dataset, user: User, team: Team
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ask(user, team, dict(uploaded.source))
            removal = meanwhile(pool, lambda: datasets.remove(user, uploaded))
        with pytest.raises(NotAllowedError, match="use it"):
            removal.result(10)
    assert uploads.used(team) > 0


@pytest.mark.django_db(transaction=True)
def test_who_launches_on_a_data_set_that_is_being_removed_is_told(
    uploaded: Dataset, user: User, team: Team
) -> None:
    section = dict(uploaded.source)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            datasets.remove(user, uploaded)
            launching = meanwhile(pool, lambda: searching(user, team, section))
        with pytest.raises(SpecError) as caught:
            launching.result(10)
    assert "Your team has no such upload" in said(caught)["dataset.upload"]
    assert not Experiment.objects.exists()
