"""What the recorders of all kinds of jobs do alike: events -> rows, under the fence.

A connection may break at any moment, also between a COMMIT and its answer.  Then nobody
knows what was written: a recorder asks the rows before it goes on, and the caller gives
it the same event again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db.models import QuerySet

from . import bell
from .claims import Claim
from .engine.events import Event, Failed, Progress
from .fencing import StaleAttemptError, fenced
from .lifecycle import move
from .models import Attempt, Job
from .states import HELD, State

#: Progress is for the eye: more often would only load the database.
PROGRESS_SECONDS = 0.9


class Recording(ABC):
    """Write the events of one attempt; what is told twice stands once.

    Attributes:
        finished: the work has told its result.
        failure: how it said that it failed, if it did.
        rings: whose pages are told, by the id of the run, subset or evaluation.
    """

    rings: UUID

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.finished = False
        self.failure: Failed | None = None
        self._is_sure = True
        self._events = 0  # told by this attempt's engine
        self._told = 0.0

    @abstractmethod
    def write(self, event: Event) -> None:
        """Write what an event of this kind of work tells, once."""

    def look(self) -> None:  # noqa: B027 - most kinds hold nothing of their rows
        """Read anew what stands in the rows: perhaps more than was thought."""

    def replay(self, event: Event) -> None:
        """Record what an earlier attempt told and perhaps nobody wrote down."""
        if not isinstance(event, Progress | Failed):
            self._write(event)

    def record(self, event: Event) -> None:
        """Write one event; one that could not be written may be given again.

        Raises StaleAttemptError if the lease is another's.
        """
        # Counted before it is written, so that its own transaction tells it.
        self._events += 1
        try:
            self._write(event)
        except BaseException:
            self._events -= 1
            raise

    def _write(self, event: Event) -> None:
        if not self._is_sure:
            self.look()
            self._is_sure = True
        try:
            if isinstance(event, Progress):
                self._progress(event)
            elif isinstance(event, Failed):
                self.failure = event
            else:
                self.write(event)
        except BaseException:
            self._is_sure = False
            raise

    def enter_running(self) -> None:
        """Say that the job runs; nothing to do if it does already."""
        with self.fenced() as state:
            self.run_if_starting(state)

    def run_if_starting(self, state: str) -> None:
        """Say so inside a transaction of ``fenced`` that gave this state."""
        if state == State.STARTING:
            # Why it waited anew, if it did, is past.
            move(self.claim.job_id, State.RUNNING, fence=self.claim.fence, error="")

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS:
            return
        written = Job.objects.filter(
            pk=self.claim.job_id, fence=self.claim.fence, state__in=HELD
        ).update(progress=event.model_dump(mode="json", exclude={"type"}))
        if not written:
            raise StaleAttemptError
        self._told = now
        bell.ring(self.rings)

    @contextmanager
    def fenced(self) -> Iterator[str]:
        """Open a transaction that holds the job's row; give its state.

        It also writes how many events this attempt has brought so far: a number that
        is right however often it is written.
        """
        with fenced(self.claim.job_id, self.claim.fence) as state:
            yield state
            self.attempt().update(events=self._events)

    def attempt(self) -> QuerySet[Attempt]:
        claim = self.claim
        return Attempt.objects.filter(job_id=claim.job_id, number=claim.fence)
