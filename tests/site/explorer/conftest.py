"""A real search of digits with BDP, recorded with its files as a worker does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from nasweb.explorer import images
from searchjobs import artefacts
from searchjobs.engine.events import Event, Progress, SamplesPruned
from searchjobs.engine.search import search
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import validate
from searchjobs.launch import launch
from searchjobs.models import Job, Queue, Run, Slot, Team
from searchjobs.recorder import Recorder
from tests.jobs.conftest import make_slot, take, tiny, use_artefacts_folder

EPOCHS = 4
"""Two events of T and of V: the window is two epochs."""


@dataclass(frozen=True)
class Searched:
    """The events of a search and the folder of its files."""

    spec: dict[str, Any]
    events: list[Event]
    folder: Path


def searched(folder: Path, **selection: Any) -> Searched:
    """Run the engine on digits; ``selection`` changes options of BDP."""
    given = tiny(EPOCHS)
    given["selection"] = {**given["selection"], "class_limit": True, **selection}
    spec: SearchSpec = validate(given)
    return Searched(given, list(search(spec, folder)), folder)


@pytest.fixture(scope="session")
def bdp(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return searched(tmp_path_factory.mktemp("bdp"))


@pytest.fixture(scope="session")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """The control: as many samples, by chance."""
    return searched(tmp_path_factory.mktemp("chance"), criterion="random")


def recorded(user: User, team: Team, name: str, of: Searched, slot: Slot) -> Run:
    """Make the rows and files of a search, as its worker would."""
    launch(user, team, name, of.spec, [1])
    taken = take(slot)
    assert taken is not None
    recorder = Recorder(taken)
    for event in of.events:
        if isinstance(event, Progress):
            continue
        recorder.record(event)
        if isinstance(event, SamplesPruned) and event.artefact:
            assert artefacts.publish(taken, of.folder, event.artefact, event.epoch)
    Job.objects.filter(pk=taken.job_id).update(state="succeeded")
    return Run.objects.select_related("job", "experiment").get(pk=recorder.run.pk)


@pytest.fixture
def slot(db: None, cpu_queue: Queue) -> Slot:
    return make_slot()


@pytest.fixture
def fresh(tmp_path: Path, settings: Any, monkeypatch: Any) -> Iterator[None]:
    """A storage and a folder of images of this test alone."""
    use_artefacts_folder(settings, tmp_path / "artefacts")
    settings.NASWEB_HOME = tmp_path / "home"
    images.forget()
    yield
    images.forget()


@pytest.fixture
def run(fresh: None, user: User, team: Team, slot: Slot, bdp: Searched) -> Run:
    return recorded(user, team, "BDP on digits", bdp, slot)


@pytest.fixture
def control(run: Run, user: User, team: Team, slot: Slot, by_chance: Searched) -> Run:
    return recorded(user, team, "By chance", by_chance, slot)
