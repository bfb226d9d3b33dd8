"""Beats and duties go on, whatever fails."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from django.conf import settings
from django.db import OperationalError

from searchjobs import tasks
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
