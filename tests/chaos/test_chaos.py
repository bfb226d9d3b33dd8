"""Random faults over short searches: nothing is lost, doubled or left behind.

The seed of the fault plan is printed; ``NASWEB_CHAOS_SEED=... make chaos`` repeats it.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from nasweb.embedded import Server
from searchjobs import artefacts
from searchjobs.models import (
    Artefact,
    Attempt,
    AuditEvent,
    Job,
    Slot,
    Team,
)
from searchjobs.states import State
from tests.chaos.faults import FAULTS
from tests.chaos.installation import (
    SEED,
    installation,
    is_engine,
    processes_left,
)
from tests.chaos.ordeal import Ordeal, asked, say
from tests.chaos.plan import fault_plan
from tests.chaos.searches import recorded, undisturbed
from tests.servers import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

Outcome = Attempt.Outcome
LOG_LINES = 60


def check(ordeal: Ordeal) -> None:
    """Assert all that must hold when the last search has ended."""
    assert not ordeal.steps, "these faults found no victim"
    jobs = {job.run.seed: job for job in Job.objects.select_related("run")}
    assert sorted(jobs) == sorted(ordeal.expected)
    for number, job in jobs.items():
        assert job.state == State.SUCCEEDED, f"search {number}: {job.error}"
        found = recorded(job.run)
        told = [epoch["epoch"] for epoch in found["epochs"]]
        assert told == list(range(1, job.run.epochs + 1)), f"search {number}"
        assert found == ordeal.expected[number], f"search {number} found something else"
        assert job.run.epoch == job.run.epochs
        outcomes = Counter(job.attempts.values_list("outcome", flat=True))
        assert outcomes[Outcome.SUCCEEDED] == 1, f"search {number}: {outcomes}"
        assert outcomes[Outcome.RUNNING] == 0, f"search {number}: {outcomes}"
        assert not job.attempts.filter(ended=None).exists()
        assert job.fence == sum(outcomes.values())
    assert not Job.objects.exclude(lease_expires=None).exists(), "a lease is left"
    assert not Job.objects.exclude(worker=None).exists()
    assert not Slot.objects.exclude(job=None).exists(), "a slot is still taken"
    assert Slot.objects.count() == len(ordeal.home.workers)
    acts = AuditEvent.objects.values_list("verb", flat=True)
    assert list(acts) == ["launch"] * len(jobs)
    for number, watcher in ordeal.watchers.items():
        wait_until(lambda w=watcher: w.ended, seconds=60, what=f"page {number}")
        whole = list(range(1, jobs[number].run.epochs + 1))
        assert watcher.epochs == whole, f"the page of search {number}"
    wait_until(lambda: not engines(), what="the end of the last engine")
    for file in Path(settings.NASWEB_HOME).glob("runs*/*/lock"):
        assert is_free(file), f"{file} is still locked"
    for artefact in Artefact.objects.all():
        assert artefacts.storage().exists(artefact.path), f"{artefact} is no file"


def engines() -> list[str]:
    return [str(each) for each in processes_left() if is_engine(each)]


def is_free(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def chaos(
    servers: list[Server],
    team: Team,
    user: User,
    *,
    seed: int,
    faults: int,
    lengths: list[int],
    seconds: float,
) -> None:
    """Hit searches of so many epochs with faults, and check what comes out."""
    say(f"chaos: seed {seed}, {faults} faults over {len(lengths)} searches")
    expected = {number: undisturbed(number, n) for number, n in enumerate(lengths, 1)}
    steps = fault_plan(seed, faults, list(FAULTS))
    with installation(servers) as home:
        ordeal = Ordeal(home, team, user, steps, expected)
        try:
            ordeal.play(seconds)
            check(ordeal)
            say(ordeal.report())
        except BaseException:
            connection.close()
            say(f"chaos: seed {seed}")
            say(asked(ordeal.report) or "The database is away.")
            for each in home.kept:
                lines = each.log.read_text(errors="replace").splitlines()
                say("\n".join([f"--- {each.name}", *lines[-LOG_LINES:]]))
            raise
        finally:
            for watcher in ordeal.watchers.values():
                watcher.close()
    assert not processes_left(), "a process is left"


@pytest.mark.timeout(600)
def test_some_faults_of_every_kind_leave_no_trace_in_what_is_found(
    servers: list[Server], team: Team, user: User
) -> None:
    lengths = [15, 20, 25]
    chaos(servers, team, user, seed=5, faults=len(FAULTS), lengths=lengths, seconds=500)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_faults_leave_no_trace_in_what_twenty_searches_find(
    servers: list[Server], team: Team, user: User
) -> None:
    seed = int(os.environ.get(SEED) or random.randrange(10**6))
    lengths = [20, 25, 30, 35] * 5
    chaos(servers, team, user, seed=seed, faults=100, lengths=lengths, seconds=3000)
