"""Random faults over short searches: nothing is lost, doubled or left behind.

The seed of the fault plan is printed; ``NASWEB_CHAOS_SEED=... make chaos`` repeats it.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from nasweb.embedded import Server
from searchjobs import runfolder
from searchjobs.launch import launch
from searchjobs.models import Attempt, AuditEvent, Experiment, Job, Slot, Team
from searchjobs.outage import database_is_away
from searchjobs.states import TERMINAL, State
from tests.chaos.faults import FAULTS
from tests.chaos.installation import (
    SEED,
    Installation,
    installation,
    is_engine,
    processes_left,
)
from tests.chaos.plan import Step, fault_plan
from tests.chaos.searches import recorded, spec, undisturbed
from tests.chaos.watching import Watcher
from tests.servers import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

Outcome = Attempt.Outcome
T = TypeVar("T")
#: A fault that finds no victim for so long lets the next one go first.
PATIENCE_SECONDS = 8.0
#: So many searches wait or run at a time, at least.
AT_A_TIME = 3
TICK_SECONDS = 0.1
LOG_LINES = 60
LOOK_SECONDS = 0.5


@dataclass
class Ordeal:
    """Searches on an installation while faults hit it.

    Attributes:
        steps: the faults that are still to come.
        searches: how many searches are launched in all.
        struck: the faults that hit.
    """

    home: Installation
    team: Team
    user: User
    steps: list[Step]
    searches: int
    struck: list[str] = field(default_factory=list)
    watchers: dict[int, Watcher] = field(default_factory=dict)
    launched: int = 0
    ended: int = 0
    begun: float = field(default_factory=time.monotonic)

    def play(self, seconds: float) -> None:
        """Launch, strike and keep until all searches have ended."""
        planned = len(self.steps)
        deadline = self.begun + seconds
        strike_at = patience = 0.0
        look_at = 0.0
        while self.ended < self.searches:
            now = time.monotonic()
            assert now < deadline, f"{self.ended} of {self.searches} searches ended"
            self.home.keep()
            if now >= look_at:
                asked(self._look)
                due = len(self.struck) * self.searches >= planned * self.launched
                few = self.launched - self.ended < AT_A_TIME
                if self.launched < self.searches and (few or due):
                    asked(self._launch)
                look_at = time.monotonic() + LOOK_SECONDS
            if self.steps and self.launched > self.ended and now >= strike_at:
                step = self.steps[0]
                patience = patience or now + PATIENCE_SECONDS
                whom = FAULTS[step.fault](self.home, step.choice, step.lasts)
                if whom is not None:
                    self.struck.append(step.fault)
                    say(f"{now - self.begun:7.1f} s  {step.fault:<20} {whom}")
                    self.steps.pop(0)
                    strike_at = now + (self.steps[0].delay if self.steps else 0)
                    patience = 0.0
                elif now > patience:
                    self.steps.append(self.steps.pop(0))
                    patience = 0.0
            time.sleep(TICK_SECONDS)
        self.home.mend_all()

    def _look(self) -> None:
        self.ended = Job.objects.filter(state__in=TERMINAL).count()

    def _launch(self) -> None:
        """Launch the next search, and open its page."""
        number = self.launched + 1
        name = f"search {number}"
        # The answer to a commit may be lost with the database: look before.
        experiment = Experiment.objects.filter(name=name).first()
        if experiment is None:
            experiment = launch(self.user, self.team, name, spec(number), [number])
        run = experiment.runs.get()
        client = Client()
        client.force_login(self.user)
        cookie = settings.SESSION_COOKIE_NAME
        watcher = Watcher(
            self.home.address,
            reverse("live:run", args=[run.uuid]),
            f"{cookie}={client.cookies[cookie].value}",
        )
        self.watchers[number] = watcher
        self.launched = number
        watcher.start()

    def report(self) -> str:
        """Return how the attempts ended, and how often each fault hit."""
        lines = ["search  attempt  worker      from        to  epochs  outcome"]
        attempts = Attempt.objects.order_by("started").select_related("job__run")
        for attempt in attempts:
            first, last = map(self._since, (attempt.started, attempt.ended))
            lines.append(
                f"{attempt.job.run.seed:6}{attempt.number:9}"
                f"  {attempt.worker_name.partition('@')[0]:8}{first:8}{last:10}"
                f"{attempt.epochs:8}  {attempt.outcome} {attempt.detail}"
            )
        outcomes = Counter(attempt.outcome for attempt in attempts)
        counts = [*Counter(self.struck).items(), *outcomes.items()]
        lines += [f"{count:6} {name}" for name, count in counts]
        seconds = time.monotonic() - self.begun
        return "\n".join([*lines, f"{len(self.struck)} faults in {seconds:.0f} s"])

    def _since(self, moment: datetime | None) -> str:
        """Return the seconds from the start to a moment."""
        if moment is None:
            return "-"
        ago = (timezone.now() - moment).total_seconds()
        return f"{time.monotonic() - ago - self.begun:.1f}"


def asked(question: Callable[[], T]) -> T | None:
    """Ask the database; None, and another connection next time, while it is away."""
    try:
        return question()
    except Error as error:
        if not database_is_away(error):
            raise
        connection.close()
        return None


def check(ordeal: Ordeal, expected: dict[int, dict[str, Any]]) -> None:
    """Assert all that must hold when the last search has ended."""
    assert not ordeal.steps, "these faults found no victim"
    jobs = {job.run.seed: job for job in Job.objects.select_related("run")}
    assert sorted(jobs) == sorted(expected)
    for number, job in jobs.items():
        assert job.state == State.SUCCEEDED, f"search {number}: {job.error}"
        found = recorded(job.run)
        told = [epoch["epoch"] for epoch in found["epochs"]]
        assert told == list(range(1, job.run.epochs + 1)), f"search {number}"
        assert found == expected[number], f"search {number} found something else"
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
    for job in jobs.values():
        assert is_unlocked(job), f"{job} is still locked"


def engines() -> list[str]:
    return [str(each) for each in processes_left() if is_engine(each)]


def is_unlocked(job: Job) -> bool:
    with (runfolder.folder_of(job.uuid) / "lock").open("a") as file:
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
    searches: int,
    seconds: float,
) -> None:
    """Play a round and check it; say what hit whom if anything is wrong."""
    say(f"chaos: seed {seed}, {faults} faults over {searches} searches")
    expected = {number: undisturbed(number) for number in range(1, searches + 1)}
    steps = fault_plan(seed, faults, list(FAULTS))
    with installation(servers) as home:
        ordeal = Ordeal(home, team, user, steps, searches)
        try:
            ordeal.play(seconds)
            check(ordeal, expected)
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


def say(text: str) -> None:
    print(text, flush=True)


def test_some_faults_of_every_kind_leave_no_trace_in_what_is_found(
    servers: list[Server], team: Team, user: User
) -> None:
    count = int(os.environ.get("H_FAULTS", len(FAULTS)))
    n = int(os.environ.get("H_SEARCHES", 4))
    seed = int(os.environ.get("NASWEB_CHAOS_SEED", 3))
    chaos(servers, team, user, seed=seed, faults=count, searches=n, seconds=1280)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_faults_leave_no_trace_in_what_twenty_searches_find(
    servers: list[Server], team: Team, user: User
) -> None:
    seed = int(os.environ.get(SEED) or random.randrange(10**6))
    chaos(servers, team, user, seed=seed, faults=100, searches=20, seconds=3000)
