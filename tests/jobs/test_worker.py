"""Real Celery workers: woken, killed, stopped, and woken once too often."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil
import pytest
from django.contrib.auth.models import User

from searchjobs import bell, lifecycle
from searchjobs.models import Attempt, Job, Queue, Worker
from searchjobs.queueing import release_expired
from searchjobs.states import State
from tests.jobs.conftest import Launch, epochs_of, told
from tests.servers import running_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = Attempt.Outcome
QUICK = {"NASWEB_LEASE_SECONDS": "4", "NASWEB_BEAT_SECONDS": "1"}


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


def outcomes(job: Job) -> list[str]:
    return list(job.attempts.values_list("outcome", flat=True))


def test_a_worker_killed_in_mid_search_leaves_a_run_that_another_one_completes(
    launched: Launch,
) -> None:
    killed, plain = (
        launched(seeds=(5,), epochs=30)[0],
        launched(seeds=(5,), epochs=30)[0],
    )
    with running_worker("first", **QUICK) as process:
        wait_until(lambda: len(epochs_of(killed)) >= 3, seconds=60, what="three epochs")
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        with suppress(psutil.NoSuchProcess):  # it may have seen its worker's end
            family[0].kill()  # the slot's process
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "no engine outlives its worker"
    told_before = epochs_of(killed)
    assert 3 <= len(told_before) < 30
    # A duplicate message while the lease still lasts finds nothing to claim.
    with running_worker("second", **QUICK):
        bell.wake("cpu", 3)
        wait_until(lambda: has_ended(plain), seconds=90, what="the undisturbed run")
        wait_until(lambda: release_expired() or outcomes(killed)[0] == Outcome.LOST)
        wait_until(lambda: has_ended(killed), seconds=90, what="the killed run")
        bell.wake("cpu", 3)
        time.sleep(1)
    assert (killed.state, plain.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert epochs_of(killed) == list(range(1, 31))
    assert told(killed) == told(plain)
    assert killed.run.architectures == plain.run.architectures
    assert outcomes(killed) == [Outcome.LOST, Outcome.SUCCEEDED]
    assert outcomes(plain) == [Outcome.SUCCEEDED]


def test_a_worker_registers_is_cancelled_from_outside_and_gives_back_when_stopped(
    launched: Launch, user: User, cpu_queue: Queue
) -> None:
    first, second = launched(seeds=(1, 2), epochs=2000)
    with running_worker("stopped", **QUICK) as process:
        worker = wait_until(lambda: Worker.objects.first(), what="the worker's row")
        (slot,) = worker.slots.all()
        assert slot.fits(cpu_queue)
        wait_until(lambda: epochs_of(first), seconds=60, what="an epoch")
        seen = Worker.objects.get().seen
        begun = time.monotonic()
        lifecycle.cancel(user, first)
        wait_until(lambda: has_ended(first), seconds=10, what="the cancel")
        assert time.monotonic() - begun < 5
        wait_until(lambda: epochs_of(second), seconds=60, what="the next job")
        assert Worker.objects.get().seen > seen
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    second.refresh_from_db()
    assert second.state == State.QUEUED
    assert outcomes(first) == [Outcome.CANCELLED]
    assert outcomes(second) == [Outcome.INTERRUPTED]
