"""Redis goes away and comes back empty: jobs start again, and leases run out in time.

Real processes: a Celery worker, the housekeeping, and the Redis of this session, which
is stopped and started again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from nasweb.embedded import Server
from searchjobs import lifecycle
from searchjobs.models import Attempt, Job, Worker
from searchjobs.states import State
from tests.jobs.conftest import Launch, make_slot, take
from tests.servers import running_housekeeping, running_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"NASWEB_BEAT_SECONDS": "1", "NASWEB_LEASE_SECONDS": "6"}
#: Celery connects again after 2, 4, 6 ... seconds, and two cores are slow.
SOON = 45


@pytest.fixture
def redis(servers: list[Server]) -> Iterator[Server]:
    """The Redis of this session; it runs again afterwards."""
    ours = [server for server in servers if server.name == "redis"]
    if not ours:
        pytest.skip("REDIS_URL names a Redis that is not ours to stop")
    yield ours[0]
    if not ours[0].is_running():
        ours[0].start()


def has_started(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {State.STARTING, State.RUNNING}


def runs(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == State.RUNNING


def restart(redis: Server, *, away: float) -> None:
    redis.stop()
    time.sleep(away)
    redis.start()  # it saves nothing: it comes back empty


def test_an_idle_worker_starts_a_job_after_redis_came_back_empty(
    launched: Launch, redis: Server
) -> None:
    with running_worker("idle", **QUICK), running_housekeeping(**QUICK):
        wait_until(lambda: Worker.objects.exists(), what="the worker's row")
        for away in (0, 0.2, 1):  # in quick succession, too
            restart(redis, away=away)
        redis.stop()
        (job,) = launched(seeds=(1,), epochs=2000)
        time.sleep(1.5)
        assert not has_started(job)
        redis.start()
        wait_until(lambda: has_started(job), seconds=SOON, what="the job")


def test_a_busy_worker_takes_the_next_jobs_after_redis_came_back_empty(
    launched: Launch, redis: Server, user: User
) -> None:
    first, second, third, fourth = launched(seeds=(1, 2, 3, 4), epochs=2000)
    with running_worker("busy", slots=2, **QUICK), running_housekeeping(**QUICK):
        wait_until(lambda: runs(first) and runs(second), seconds=90, what="two runs")
        restart(redis, away=2)
        for ended, next_one in ((first, third), (second, fourth)):
            lifecycle.cancel(user, ended)
            wait_until(lambda job=next_one: has_started(job), seconds=SOON)


def test_leases_run_out_in_time_although_redis_is_away(
    launched: Launch, redis: Server
) -> None:
    (job,) = launched(seeds=(1,))
    assert take(make_slot("dead@there")) is not None
    redis.stop()
    with running_housekeeping(**QUICK):
        time.sleep(2)  # two beats
        assert job.attempts.get().outcome == Attempt.Outcome.RUNNING
        Job.objects.filter(pk=job.pk).update(lease_expires=Now())
        wait_until(
            lambda: job.attempts.get().outcome == Attempt.Outcome.LOST,
            seconds=10,
            what="the lease",
        )
    job.refresh_from_db()
    assert job.state == State.QUEUED
