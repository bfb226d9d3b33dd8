"""The ordeal: searches are launched one by one, and faults hit while they run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error, connection
from django.db.models import Sum
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from searchjobs.launch import launch
from searchjobs.models import Attempt, Experiment, Job, Run, Team
from searchjobs.outage import database_is_away
from searchjobs.states import TERMINAL
from tests.chaos.faults import FAULTS
from tests.chaos.installation import Installation
from tests.chaos.plan import Step
from tests.chaos.searches import Found, spec
from tests.chaos.watching import Watcher

T = TypeVar("T")
#: A fault that finds no victim for so long lets the next one go first.
PATIENCE_SECONDS = 8.0
#: So many searches wait or run at a time.
AT_A_TIME = 4
#: So many faults may hit before the epochs that they are for.
AHEAD = 8
TICK_SECONDS = 0.1
LOOK_SECONDS = 0.5


@dataclass
class Ordeal:
    """Searches on an installation while faults hit it.

    Attributes:
        steps: the faults that are still to come.
        expected: what each search finds, by its number, which is its seed too.
        struck: the faults that hit.
        done: epochs that are recorded.
    """

    home: Installation
    team: Team
    user: User
    steps: list[Step]
    expected: dict[int, Found]
    struck: list[str] = field(default_factory=list)
    watchers: dict[int, Watcher] = field(default_factory=dict)
    launched: int = 0
    ended: int = 0
    done: int = 0
    begun: float = field(default_factory=time.monotonic)
    strike_at: float = 0.0
    patient_until: float = 0.0

    def play(self, seconds: float) -> None:
        """Launch, strike and keep until all searches have ended."""
        searches = len(self.expected)
        look_at = 0.0
        while self.ended < searches:
            now = time.monotonic()
            late = f"{self.ended} of {searches} searches have ended after {seconds} s"
            assert now < self.begun + seconds, late
            self.home.keep()
            if now >= look_at:
                asked(self._look)
                if self.launched < min(self.ended + AT_A_TIME, searches):
                    asked(self._launch)
                look_at = time.monotonic() + LOOK_SECONDS
            if self._is_due(now):
                self._strike(now)
            time.sleep(TICK_SECONDS)
        self.home.mend_all()

    def _look(self) -> None:
        self.ended = Job.objects.filter(state__in=TERMINAL).count()
        self.done = Run.objects.aggregate(done=Sum("epoch"))["done"] or 0

    def _is_due(self, now: float) -> bool:
        """Say whether it is time for the next fault: they are spread over the epochs
        of all searches, so that on any machine they hit the last as well as the first.
        """
        if not self.steps or now < self.strike_at or self.launched == self.ended:
            return False
        epochs = sum(len(found["epochs"]) for found in self.expected.values())
        planned = len(self.struck) + len(self.steps)
        return len(self.struck) < AHEAD + planned * self.done / epochs

    def _strike(self, now: float) -> None:
        """Let the next fault hit; one that finds no victim comes later."""
        step = self.steps[0]
        whom = FAULTS[step.fault](self.home, step.choice, step.lasts)
        if whom is not None:
            say(f"{now - self.begun:7.1f} s  {step.fault:<20} {whom}")
            self.struck.append(step.fault)
            self.steps.pop(0)
            self.strike_at = now + (self.steps[0].delay if self.steps else 0)
        elif self.patient_until == 0.0:
            self.patient_until = now + PATIENCE_SECONDS
            return
        elif now < self.patient_until:
            return
        else:
            self.steps.append(self.steps.pop(0))
        self.patient_until = 0.0

    def _launch(self) -> None:
        """Launch the next search, and open its page."""
        number = self.launched + 1
        name = f"search {number}"
        # The answer to a commit may be lost with the database: look before.
        experiment = Experiment.objects.filter(name=name).first()
        if experiment is None:
            asked_for = spec(number, len(self.expected[number]["epochs"]))
            experiment = launch(self.user, self.team, name, asked_for, [number])
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


def say(text: str) -> None:
    print(text, flush=True)
