"""Run the engine for a claimed job: relay its events, renew the lease, obey.

One loop, no threads: it reads what the engine has written, looks every second for
orders (cancel, pause), renews the lease by beat, and keeps the tail of the log.

The database may go away at any moment and for as long as it likes: the engine goes on
computing, its events wait in order in ``events.jsonl``, and each is recorded once when
the database is back.  If the job has gone to another attempt meanwhile, nothing more of
this one is written, and its engine is ended.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error

from . import artefacts, limits, memory, runfolder, verdict
from . import child as engine
from .claims import Claim
from .engine.events import parse
from .fencing import StaleAttemptError
from .kinds import KINDS
from .models import Attempt, Job
from .outage import LeftBehindError, Patience
from .publishing import Publisher
from .queueing import Orders, end, give_back, read_orders, renew
from .states import HELD, State
from .verdict import Verdict

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
ORDERS_SECONDS = 1.0
LOG_SECONDS = 3.0
#: Ends that do not wait until all that the engine has told is recorded: the next
#: attempt finds it in the folder.
AT_ONCE = (verdict.CANCELLED, verdict.STOPPED)
#: What an attempt may take to publish its last files; and if somebody waits for it.
PUBLISH_SECONDS, PUBLISH_SHORTLY = 120.0, 5.0


class AskedToEndError(Exception):
    """The attempt is to end before its engine has begun."""

    def __init__(self, found: Verdict) -> None:
        self.found = found
        super().__init__(found.sentence)


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
    attempt = _Attempt(claim, stopping)
    try:
        attempt.close(attempt.run())
    except StaleAttemptError:
        logger.warning(
            "Attempt %d of job %s has lost its lease, and the job went on without it: "
            "its writes were refused, and its engine was ended.",
            claim.fence,
            claim.job_uuid,
        )
    except LeftBehindError:
        logger.warning(
            "This worker stops while the database is away: job %s waits for the end "
            "of the lease of attempt %d, then it goes on from its last checkpoint.",
            claim.job_uuid,
            claim.fence,
        )


@dataclass
class _Attempt:
    claim: Claim
    stopping: Callable[[], bool]
    log_size: int = -1
    publisher: Publisher | None = None
    due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kind = KINDS[self.claim.kind]
        self.patience = Patience(f"job {self.claim.job_uuid}", self.stopping)

    def run(self) -> Verdict:
        """Work until there is a verdict; the engine has ended then."""
        try:
            return self._work()
        except (StaleAttemptError, LeftBehindError):
            raise
        except AskedToEndError as asked:
            return asked.found
        except Exception as error:
            found = verdict.of_error(error)
            if found.state == State.FAILED:
                logger.exception("Job %s", self.claim.job_uuid)
            else:
                logger.warning("Job %s: %s", self.claim.job_uuid, found.sentence)
            return found

    def close(self, found: Verdict) -> None:
        """Write down how the attempt ended, as soon as the database takes it."""
        self._publish_rest(found)
        self.patience.ask(lambda: self._write(found))

    def _work(self) -> Verdict:
        self.folder = runfolder.folder_of(self.claim.job_uuid)
        self.limits = limits.Limits(self.folder)
        # First of all: the run may be cancelled, or have used up its time.
        early = self._obey(self.patience.ask(self._renew)) or self.limits.exceeded()
        if early is not None:
            return early
        wait = min(runfolder.LOCK_WAIT_SECONDS, settings.NASWEB_LEASE_SECONDS / 2)
        with runfolder.locked(self.folder, self.claim.fence, wait) as lock:
            self.patience.ask(lambda: runfolder.prepare(self.folder, self.claim))
            runfolder.mark(self.folder, self.claim.fence)
            self.events = runfolder.EventFile(self.folder)
            self.recorder = self.patience.ask(lambda: self.kind.recorder(self.claim))
            self.publisher = self.patience.ask(
                lambda: Publisher(self.claim, self.folder)
            )
            self.patience.ask(self._replay)
            early = self._ended_before() or limits.too_full(self.folder)
            if early is not None:
                return early
            self.patience.ask(self._fetch)
            self.patience.ask(lambda: self.kind.bring(self.claim))
            self.patience.ask(runfolder.end_stale_engines)
            self.shortage = memory.Shortage()
            environment = _environment(self.claim)
            process = engine.start(
                *(self.kind.command, self.claim.spec, self.folder, environment, lock)
            )
        try:
            return self._watch(process)
        except LeftBehindError:
            engine.stop(process)  # it may still save what it is at
            raise
        finally:
            engine.kill(process)

    def _replay(self) -> None:
        """Record what an earlier attempt has told and perhaps nobody wrote down."""
        assert self.publisher is not None
        for line in self.events.unread():
            event = parse(line)
            self.recorder.replay(event)
            self.publisher.hear(event, again=True)

    def _fetch(self) -> None:
        """Bring the newest checkpoint, if another machine has made it."""

        def meanwhile() -> None:
            asked = self._obey(self._orders())
            if asked is not None:
                raise AskedToEndError(asked)

        found = artefacts.fetch(
            *(self.claim.job_id, self.folder, self.claim.files_from, meanwhile)
        )
        if found:
            logger.info("Job %s goes on from epoch %d", self.claim.job_uuid, found)

    def _publish_rest(self, found: Verdict) -> None:
        """Publish log and last files while the lease is ours.  What cannot be
        published now, the worker publishes later (``retention``)."""
        publisher = self.publisher
        if publisher is None:
            return
        shortly = time.monotonic() + PUBLISH_SHORTLY
        until = shortly if found in AT_ONCE else time.monotonic() + PUBLISH_SECONDS

        def has_time() -> bool:
            return time.monotonic() < (
                min(shortly, until) if self.stopping() else until
            )

        def meanwhile() -> None:
            if self._orders().lost:
                raise StaleAttemptError

        self.patience.ask(lambda: publisher.finish(has_time, meanwhile))

    def _ended_before(self) -> Verdict | None:
        if not self.recorder.finished:
            return None
        # The last worker died between the result and the word "succeeded".
        self.patience.ask(self.recorder.enter_running)
        return verdict.SUCCEEDED

    def _watch(self, process: engine.Engine) -> Verdict:
        found: Verdict | None = None
        starved: bool | None = None
        while True:
            code = process.poll()  # before reading: nothing comes after the end
            if code is None:
                self.shortage.look()
                found = found or self.limits.exceeded()
            elif starved is None:  # at once: the database may be away for hours
                starved = self.shortage.has_come()
            try:
                ordered = self._obey(self._orders())
                found = found or ordered
                if found is not None and code is None:
                    engine.stop(process)
                    code = process.poll()
                told_all = self._relay(ORDERS_SECONDS)
                self._publish()
            except Error as error:
                self.due["renew"] = 0.0  # the first thing to do when it is back
                self.patience.outlast(error)
                continue
            self.patience.end()
            if found is not None and (told_all or found in AT_ONCE):
                return verdict.SUCCEEDED if self._has_result(found) else found
            if code is not None and told_all:
                return self._judge(code, starved=bool(starved))
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
            if self.publisher is not None:
                self.publisher.hear(event)
        if self._is_due("log", LOG_SECONDS):
            self._keep_log()
        return True

    def _publish(self) -> None:
        if self.publisher is not None:
            self.publisher.tick()

    def _orders(self) -> Orders:
        if self._is_due("renew", settings.NASWEB_BEAT_SECONDS):
            return self._renew()
        if self._is_due("orders", ORDERS_SECONDS):
            return read_orders(self.claim.job_id, self.claim.fence)
        return Orders()

    def _renew(self) -> Orders:
        return renew(self.claim.job_id, self.claim.fence)

    def _obey(self, orders: Orders) -> Verdict | None:
        """Return the end that is asked for, if one is."""
        if orders.lost:
            raise StaleAttemptError
        if orders.allowance is not None:
            self.limits.allow(orders.allowance)
        if orders.cancel:
            return verdict.CANCELLED
        if orders.pause:
            return verdict.PAUSED
        if self.stopping():
            return verdict.STOPPED
        return None

    def _has_result(self, found: Verdict) -> bool:
        """Say whether the engine came to its end before it heard of another one."""
        return self.recorder.finished and found != verdict.CANCELLED

    def _judge(self, code: int, *, starved: bool) -> Verdict:
        """Judge an engine that ended by itself."""
        if self.recorder.finished:
            return verdict.SUCCEEDED
        return verdict.of_engine(
            code,
            self.recorder.failure,
            last_words=runfolder.log_tail(self.folder).rstrip().rpartition("\n")[2],
            starved=starved,
            full=limits.too_full(self.folder) is not None,
        )

    def _write(self, found: Verdict) -> None:
        self._keep_log()
        job, fence = self.claim.job_id, self.claim.fence
        if found.state == State.QUEUED:
            done = give_back(
                job, fence, found.outcome, found.sentence, later=found.later
            )
        else:
            done = end(job, fence, found.state, found.outcome, error=found.sentence)
        if done:
            return
        # Perhaps it was written before the connection broke.
        own = Attempt.objects.filter(job_id=job, number=fence, outcome=found.outcome)
        if not own.exists():
            raise StaleAttemptError

    def _keep_log(self) -> None:
        path = runfolder.log_path(self.folder)
        size = path.stat().st_size if path.exists() else 0
        if size == self.log_size:
            return
        job, fence = self.claim.job_id, self.claim.fence
        Job.objects.filter(pk=job, fence=fence, state__in=HELD).update(
            log_tail=runfolder.log_tail(self.folder)
        )
        self.log_size = size

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self.due.get(what, 0.0):
            return False
        self.due[what] = now + seconds
        return True


def _environment(claim: Claim) -> dict[str, str]:
    """Return what the engine of a claim is given: cores, GPUs, and its number."""
    threads = str(claim.threads)
    found = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        runfolder.ATTEMPT: str(claim.fence),
    }
    if claim.gpus:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(claim.gpus)
    return found
