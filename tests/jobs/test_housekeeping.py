"""Beats and duties go on, whatever fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from structlog.contextvars import clear_contextvars

from searchjobs import tasks
from searchjobs.fencing import limit_idle_transactions
from searchjobs.housekeeping import Duty, duties, keep_house
from tests.servers import running_housekeeping, wait_until


class Failing:
    """Fails in one way after the other, then does what it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        if self.times == 1:
            raise OperationalError("server closed the connection\nunexpectedly")
        if self.times == 2:
            raise ZeroDivisionError("a fault of ours")


def test_a_duty_that_fails_is_done_again_and_keeps_no_other_from_its_time(
    caplog: pytest.LogCaptureFixture, servers: object
) -> None:
    stop, hangs, failing, done = threading.Event(), threading.Event(), Failing(), []
    chores = [
        Duty("hanging", 0.01, hangs.wait),
        Duty("failing", 0.01, failing),
        Duty("plain", 0.01, lambda: done.append(1)),
    ]
    house = threading.Thread(target=keep_house, args=[stop, chores], daemon=True)
    house.start()
    wait_until(lambda: failing.times >= 5 and len(done) >= 5, seconds=10)
    hangs.set()
    stop.set()
    house.join(10)
    assert not house.is_alive()
    warning, fault = [each for each in caplog.records if "failing" in each.message]
    assert warning.levelno == logging.WARNING
    assert warning.message.endswith("server closed the connection")
    assert fault.levelno == logging.ERROR


def test_the_beat_of_a_worker_goes_on_whatever_fails(
    monkeypatch: pytest.MonkeyPatch, servers: object
) -> None:
    failing = Failing()
    monkeypatch.setattr(settings, "NASWEB_BEAT_SECONDS", 0.01)
    monkeypatch.setattr(tasks, "is_stopping", lambda: failing.times >= 5)
    tasks._repeat(failing)
    assert failing.times == 5


@pytest.fixture(autouse=True)
def _unlimited() -> Iterator[None]:
    """Leave the connections of later tests without a limit."""
    connection_created.disconnect(limit_idle_transactions)
    yield
    connection_created.disconnect(limit_idle_transactions)


def limit_of_a_new_connection() -> str:
    """Ask in a thread of its own: it has a connection of its own."""
    told: list[str] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            told.append(cursor.fetchone()[0])
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    return told[0]


@pytest.mark.django_db(transaction=True)
def test_housekeeping_that_is_frozen_keeps_no_lock_for_longer_than_a_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "NASWEB_LEASE_SECONDS", 7)
    assert limit_of_a_new_connection() == "0"
    stop = threading.Event()
    stop.set()
    keep_house(stop, [])
    assert limit_of_a_new_connection() == "7s"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_frozen_in_its_beat_keeps_no_lock_for_longer_than_a_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "NASWEB_LEASE_SECONDS", 7)
    monkeypatch.setattr(tasks, "_name", "")
    tasks._remember_name(SimpleNamespace(hostname="w@here"))
    clear_contextvars()
    assert limit_of_a_new_connection() == "7s"


def test_lost_jobs_are_looked_for_at_every_beat() -> None:
    every = {duty.name: duty.every for duty in duties()}
    assert every["giving lost jobs back"] == settings.NASWEB_BEAT_SECONDS
    assert every["waking slots for what waits"] == settings.NASWEB_BEAT_SECONDS


@pytest.mark.django_db(transaction=True)
def test_the_process_ends_soon_after_it_is_told_to() -> None:
    with running_housekeeping() as process:
        begun = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 6
