"""Fixtures of all tests: real servers, and people with roles in teams."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from nasweb.embedded import Server
from searchjobs import queueing
from searchjobs.models import Membership, Queue, Team
from tests import servers as real
from tests.factories import make_queue, make_team, make_user

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """End a terminated session like an interrupted one: fixtures stop their servers."""

    def stop(signal_number: int, frame: object) -> None:
        pytest.exit("terminated", returncode=128 + signal_number)

    signal.signal(signal.SIGTERM, stop)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files as ``tests.scheduling`` says; other ways are xdist's own."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.scheduling import OneWorkerAtATime

    return OneWorkerAtATime(config, log)


@pytest.fixture(scope="session")
def servers() -> Iterator[list[Server]]:
    """PostgreSQL and Redis, started once, and only if a test needs them."""
    with real.databases() as started:
        yield started


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    servers: list[Server], django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Have the servers before pytest-django makes the test database."""


@pytest.fixture(autouse=True)
def _leases_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The PostgreSQL of the tests has just started, and leases count from there."""
    monkeypatch.setattr(queueing, "LEASES_AFTER_START", 0)


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def user(team: Team) -> User:
    """A member of ``team``."""
    return make_user("mia", team)


@pytest.fixture
def maintainer(team: Team) -> User:
    return make_user("max", team, Membership.Role.MAINTAINER)


@pytest.fixture
def viewer(team: Team) -> User:
    return make_user("vera", team, Membership.Role.VIEWER)


@pytest.fixture
def other_team_user(db: None) -> User:
    """A maintainer of a team that has nothing to do with ``team``."""
    return make_user("otto", make_team("Others"), Membership.Role.MAINTAINER)


@pytest.fixture
def cpu_queue(db: None) -> Queue:
    return make_queue()


@pytest.fixture
def client_for() -> Callable[[User], Client]:
    """A function that returns a client in which that user is logged in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def worker(transactional_db: None) -> Iterator[subprocess.Popen[bytes]]:
    """A real Celery worker with one slot on the database of this test; it comes up
    while the test starts its site and its browser."""
    with real.running_worker(ready_on_entry=False) as process:
        yield process


@pytest.fixture
def live_site(transactional_db: None) -> Iterator[str]:
    """The address of a real site on the database of this test."""
    with real.running_site() as address:
        yield address


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return real.wait_until
