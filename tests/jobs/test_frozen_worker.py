"""A worker that is frozen for longer than its lease, and then woken.

Nothing of it may be written any more: no row, and no file beside its successor's.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from searchjobs import artefacts, runfolder
from searchjobs.models import Artefact, Attempt, Job
from searchjobs.queueing import release_expired
from searchjobs.states import State
from tests.jobs.conftest import Launch, epochs_of
from tests.servers import running_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = Attempt.Outcome
QUICK = {"NASWEB_LEASE_SECONDS": "4", "NASWEB_BEAT_SECONDS": "1"}
#: A frozen supervisor's engine goes on, and must not end before its lease does.
LONG, SHORT = 80, 20


def family(process: subprocess.Popen[bytes], part: str) -> list[psutil.Process]:
    """Return the whole of a worker, or the supervisor's process alone."""
    worker = psutil.Process(process.pid)
    if part == "supervisor":
        return worker.children()
    return [worker, *worker.children(recursive=True)]


def log_of(worker: str) -> str:
    return (Path(settings.NASWEB_HOME) / "log" / f"worker-{worker}.log").read_text()


@pytest.mark.parametrize(
    ("part", "engine_ends"),
    [("worker", False), ("supervisor", False), ("supervisor", True)],
    ids=["worker", "supervisor", "supervisor-of-an-engine-that-ends"],
)
def test_what_wakes_up_after_its_lease_is_refused_ends_its_engine_and_says_so(
    launched: Launch, part: str, engine_ends: bool
) -> None:
    epochs = LONG if part == "supervisor" and not engine_ends else SHORT
    (job,) = launched(epochs=epochs)
    first, second = f"frozen-{part}-{engine_ends}", f"awake-{part}-{engine_ends}"
    with running_worker(first, **QUICK) as process:
        wait_until(lambda: len(epochs_of(job)) >= 3, seconds=90, what="three epochs")
        frozen = family(process, part)
        engines = [
            each for each in frozen[0].children(recursive=True) if is_engine(each, job)
        ]
        assert len(engines) == 1
        for each in frozen:
            each.suspend()
        assert len(epochs_of(job)) < epochs
        stale = job.attempts.get()
        if engine_ends:
            wait_until(lambda: is_over(engines[0]), seconds=90, what="all its epochs")
        wait_until(release_expired, seconds=30, what="the end of the lease")
        known = len(epochs_of(job))
        with running_worker(second, **QUICK):
            wait_until(lambda: len(epochs_of(job)) > known, seconds=90, what="the next")
            # The job has its second attempt now.  What is listed only here is no write
            # of the frozen one: until that attempt began nobody had the job, and
            # the machine publishes what was left of it if its engine has ended.
            files = files_of(stale)
            # Children first: a parent that is awake ends its engine and reaps it, and
            # there is then no process left to wake.
            for each in reversed(frozen):
                each.resume()
            said = (
                f"Attempt 1 of job {job.uuid} has lost its lease, and the job went on "
                "without it: its writes were refused, and its engine was ended."
            )
            wait_until(lambda: said in log_of(first), seconds=30, what="the sentence")
            wait_until(lambda: has_ended(job), seconds=120, what="the successor")
        wait_until(lambda: not engines[0].is_running(), what="the end of the engine")
    job.refresh_from_db()
    assert (job.state, job.fence) == (State.SUCCEEDED, 2)
    assert epochs_of(job) == list(range(1, epochs + 1))
    assert list(job.attempts.values_list("outcome", flat=True)) == [
        Outcome.LOST,
        Outcome.SUCCEEDED,
    ]
    told = sum(job.attempts.values_list("epochs", flat=True))
    assert told == epochs, "each epoch was recorded once, by one of the two"
    stale.refresh_from_db()
    assert stale.epochs < epochs
    assert files_of(stale) <= files
    began = job.attempts.get(number=2).started
    assert not Artefact.objects.filter(job=job, fence=1, created__gt=began).exists()
    if engine_ends:
        log = Artefact.objects.get(job=job, name=artefacts.log_name(1))
        assert log.created < began, "published as nobody held the job"
    assert runfolder.marked(runfolder.folder_of(job.uuid)) == 2


def is_engine(process: psutil.Process, job: Job) -> bool:
    return str(runfolder.folder_of(job.uuid)) in process.cmdline()


def is_over(engine: psutil.Process) -> bool:
    """Say whether it has ended; its frozen parent does not reap it."""
    return engine.status() == psutil.STATUS_ZOMBIE


def files_of(attempt: Attempt) -> set[str]:
    rows = Artefact.objects.filter(job=attempt.job_id, fence=attempt.number)
    return set(rows.values_list("path", flat=True))


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {State.SUCCEEDED, State.FAILED, State.CANCELLED}
