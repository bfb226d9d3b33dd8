from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from searchjobs.models import Experiment, Queue, Run, Slot, Team
from tests.jobs.conftest import Launch, take, tiny

pytestmark = pytest.mark.django_db


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tiny()))
    return path


def call(name: str, *arguments: object) -> str:
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_spec_file_is_launched_like_the_form(
    spec: Path, user: User, team: Team, cpu_queue: Queue
) -> None:
    who = ("--user", user.username, "--team", team.slug)
    said = call("launch_search", spec, *who, "--seeds", "3-4")
    assert [run.seed for run in Run.objects.all()] == [3, 4]
    assert Experiment.objects.get().name == "small"
    assert said.count("in cpu") == 2


def test_a_maintainer_launches_at_high_priority(
    spec: Path, maintainer: User, team: Team, cpu_queue: Queue
) -> None:
    who = ("--user", maintainer.username, "--team", team.slug)
    call("launch_search", spec, *who, "--priority", "high")
    assert Run.objects.get().job.priority == 10


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--seeds", "a,b"), "'a' is none."),
        (("--user", "nobody"), "There is no user nobody"),
        (("--team", "nobody"), "There is no team nobody; there are digits."),
        (("--queue", "nowhere"), "There is no queue nowhere; there are cpu."),
        (("--user", "vera"), "You may not launch experiments for Digits"),
        (("--priority", "high"), "Only maintainers of the team launch at high"),
        (("--priority", "urgent"), "invalid choice: 'urgent'"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence_and_makes_no_row(
    spec: Path,
    user: User,
    viewer: User,
    team: Team,
    cpu_queue: Queue,
    option: tuple[str, str],
    sentence: str,
) -> None:
    who = ("--user", user.username, "--team", team.slug)
    with pytest.raises(CommandError) as said:
        call("launch_search", spec, *who, *option)
    assert sentence in str(said.value)
    assert not Experiment.objects.exists()


def test_a_missing_file_is_told_in_a_sentence(user: User, team: Team) -> None:
    who = ("--user", user.username, "--team", team.slug)
    with pytest.raises(CommandError, match="cannot be read; check the path"):
        call("launch_search", "nowhere.yaml", *who)


def test_the_status_names_workers_their_jobs_and_what_waits(
    launched: Launch, slot: Slot
) -> None:
    running, _ = launched(seeds=(1, 2))
    take(slot)
    said = call("worker_status")
    assert f"{slot.worker.name}: alive" in said
    assert f"slot 0: {running.uuid} starting" in said
    assert "queue cpu: 1 wait, 1 run" in said


def test_an_empty_site_says_how_to_start_a_worker(db: None) -> None:
    assert "`make run` starts one" in call("worker_status")
