"""Run the engine for a claimed job: relay its events, renew the lease, obey.

One loop, no threads: it reads what the engine has written, looks every second for
orders (cancel, pause), renews the lease by beat, and keeps the tail of the log.  The
database may go away for as long as the lease lasts.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error, close_old_connections

from . import artefacts, runfolder
from . import child as engine
from .engine.events import parse
from .fencing import StaleAttemptError
from .lifecycle import move
from .models import Attempt, Job
from .outage import database_is_away
from .publishing import Publisher
from .queueing import Claim, Orders, end, give_back, read_orders, renew
from .recorder import Recorder
from .states import State

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
ORDERS_SECONDS = 1.0
LOG_SECONDS = 3.0
#: What an ended attempt may take to publish its last files; and if somebody waits.
PUBLISH_SECONDS, PUBLISH_SHORTLY = 120.0, 5.0
Outcome = Attempt.Outcome
#: Signals by which others end an engine: memory ran out, the machine goes down.
#: The job is not to blame at once; it gets another attempt.
KILLED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})


def supervise(
    claim: Claim,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Work on a job until it ends, is taken away, or this worker is to stop.

    Args:
        claim: the job and its fence.
        stopping: asked at every tick; True gives the job back at once, or leaves it
            to the end of its lease while the database is away.
    """
    job, fence = claim.job_id, claim.fence
    try:
        _Attempt(claim, stopping).run()
    except StaleAttemptError:
        logger.warning("Job %s went to another worker", claim.job_uuid)
    except runfolder.FolderBusyError as error:
        end(job, fence, State.FAILED, Outcome.FAILED, error=str(error))
    except OSError as error:
        sentence = (
            f"The worker could not use the run's folder: {error.strerror}. Check its "
            "free space and rights, then queue the job again."
        )
        logger.exception("Job %s", claim.job_uuid)
        end(job, fence, State.FAILED, Outcome.FAILED, error=sentence)
    except Exception as error:
        if database_is_away(error):
            logger.exception("The database is away; job %s is left", claim.job_uuid)
            close_old_connections()
            return
        sentence = (
            f"The worker could not record the search ({type(error).__name__}). Queue "
            "the job again; if it comes back, report it with the worker's log."
        )
        logger.exception("Job %s", claim.job_uuid)
        end(job, fence, State.FAILED, Outcome.FAILED, error=sentence)


class _EndedError(Exception):
    """The attempt ended before its engine began."""


@dataclass
class _Attempt:
    claim: Claim
    stopping: Callable[[], bool]
    log_size: int = -1
    due: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        self.folder = runfolder.folder_of(self.claim.job_uuid)
        self.recorder = Recorder(self.claim)
        self.publisher = Publisher(self.claim, self.folder)
        self.events = runfolder.EventFile(self.folder)
        self.renewed = time.monotonic()
        for line in self.events.unread():
            event = parse(line)
            self.recorder.replay(event)
            self.publisher.hear(event, again=True)
        if self.recorder.finished:
            # The last worker died between the result and the word "succeeded".
            self.recorder.enter_running()
            self._end(State.SUCCEEDED, Outcome.SUCCEEDED)
            return
        try:
            self._fetch()
        except artefacts.StorageAwayError as error:
            self._pause(str(error))
            return
        except _EndedError:
            return
        process = engine.start(self.claim.spec, self.folder, _environment(self.claim))
        try:
            self._watch(process)
        finally:
            engine.kill(process)

    def _fetch(self) -> None:
        """Bring the newest checkpoint if another machine has made it."""

        def meanwhile() -> None:
            if self._obey(self._orders(), None):
                raise _EndedError

        found = artefacts.fetch(
            *(self.claim.job_id, self.folder, self.claim.files_from, meanwhile)
        )
        if found:
            logger.info("Job %s goes on from epoch %d", self.claim.job_uuid, found)

    def _watch(self, process: engine.Engine) -> None:
        while True:
            code = process.poll()  # before reading: nothing comes after the end
            try:
                told_all = self._relay(ORDERS_SECONDS)
                self.publisher.tick()
                orders = self._orders()
                if self._obey(orders, process):
                    return
                if code is not None and told_all:
                    self._conclude(code)
                    return
            except Error as error:
                if not database_is_away(error):
                    raise
                close_old_connections()
                away = time.monotonic() - self.renewed
                logger.warning("The database is away for %.0f s", away)
                if self.stopping():  # nobody can be told: the lease will run out
                    engine.stop(process)
                    raise
                if away > settings.NASWEB_LEASE_SECONDS:
                    raise
                time.sleep(1)
            if code is None:
                time.sleep(TICK_SECONDS)

    def _relay(self, seconds: float = math.inf) -> bool:
        """Record what the engine has told.  False if there was more than fits into
        ``seconds``: the lease and a cancel do not wait for an engine that is fast."""
        until = time.monotonic() + seconds
        for number, line in enumerate(self.events.unread()):
            if number and time.monotonic() > until:
                return False
            event = parse(line)
            self.recorder.record(event)
            self.publisher.hear(event)
        if self._is_due("log", LOG_SECONDS):
            self._keep_log()
        return True

    def _orders(self) -> Orders:
        if self._is_due("renew", settings.NASWEB_BEAT_SECONDS):
            orders = renew(self.claim.job_id, self.claim.fence)
            self.renewed = time.monotonic()
            return orders
        if self._is_due("orders", ORDERS_SECONDS):
            return read_orders(self.claim.job_id, self.claim.fence)
        return Orders()

    def _obey(self, orders: Orders, process: engine.Engine | None) -> bool:
        """Do what is asked; True if the attempt is over.  No process: none yet."""
        if orders.lost:
            raise StaleAttemptError
        if orders.cancel:
            engine.stop(process)
            self._end(State.CANCELLED, Outcome.CANCELLED, seconds=PUBLISH_SHORTLY)
            return True
        if orders.pause and self.recorder.started:
            # From a plain "running" if the request came while the engine started.
            move(self.claim.job_id, State.PAUSING, fence=self.claim.fence)
            engine.stop(process)
            self._relay()
            self._end(State.PAUSED, Outcome.PAUSED)
            return True
        if self.stopping():
            engine.stop(process)
            self._relay()
            self._publish_rest(PUBLISH_SHORTLY)
            give_back(
                self.claim.job_id,
                self.claim.fence,
                Outcome.INTERRUPTED,
                "The worker was stopped.",
            )
            return True
        return False

    def _conclude(self, code: int) -> None:
        """Write down how the engine ended by itself."""
        if code == 0 and self.recorder.finished:
            self._end(State.SUCCEEDED, Outcome.SUCCEEDED)
            return
        number = -code if code < 0 else code - 128
        if not self.recorder.failure and number in KILLED_FROM_OUTSIDE:
            self._keep_log()
            self._publish_rest(PUBLISH_SECONDS)
            give_back(
                self.claim.job_id,
                self.claim.fence,
                Outcome.LOST,
                f"The engine was killed by {signal.Signals(number).name}.",
            )
            return
        error = self.recorder.failure or self._explain(code)
        self._end(State.FAILED, Outcome.FAILED, error=error)

    def _explain(self, code: int) -> str:
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code} and without a result"
        last = runfolder.log_tail(self.folder).rstrip().rpartition("\n")[2]
        if code == 2 and last:  # a spec that no longer fits: it says so in a sentence
            return last
        return f"The engine {how}; its log says more."

    def _end(
        self,
        state: str,
        outcome: str,
        error: str = "",
        *,
        seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self._keep_log()
        self._publish_rest(seconds)
        end(self.claim.job_id, self.claim.fence, state, outcome, error=error)

    def _pause(self, sentence: str) -> None:
        """Pause the job for a reason that a person has to see to."""
        self.recorder.enter_running()
        move(self.claim.job_id, State.PAUSING, fence=self.claim.fence, error=sentence)
        self._end(State.PAUSED, Outcome.INTERRUPTED, sentence, seconds=PUBLISH_SHORTLY)

    def _publish_rest(self, seconds: float) -> None:
        """Publish log and last files while the lease is ours; if that fails, the
        worker does it later (``retention``)."""

        def meanwhile() -> None:
            nonlocal until
            if self._orders().lost:
                raise StaleAttemptError
            if self.stopping():
                until = min(until, time.monotonic() + PUBLISH_SHORTLY)

        until = time.monotonic() + seconds
        self.publisher.finish(lambda: time.monotonic() < until, meanwhile)

    def _keep_log(self) -> None:
        path = runfolder.log_path(self.folder)
        size = path.stat().st_size if path.exists() else 0
        if size == self.log_size:
            return
        self.log_size = size
        Job.objects.filter(pk=self.claim.job_id, fence=self.claim.fence).update(
            log_tail=runfolder.log_tail(self.folder)
        )

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self.due.get(what, 0.0):
            return False
        self.due[what] = now + seconds
        return True


def _environment(claim: Claim) -> dict[str, str]:
    """Return what the engine of a claim is given: its cores and its GPUs."""
    threads = str(claim.threads)
    found = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if claim.gpus:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(claim.gpus)
    return found
