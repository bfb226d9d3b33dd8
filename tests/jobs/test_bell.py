from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from searchjobs import bell
from searchjobs.claims import claim
from searchjobs.models import Attempt, Job, Queue, Slot, Worker
from searchjobs.queueing import end, wake_waiting
from searchjobs.states import State
from tests.factories import make_queue
from tests.jobs.conftest import Launch, make_slot

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = Attempt.Outcome
HOUR = timedelta(hours=1)


@pytest.fixture
def broker(servers: None) -> Iterator[redis.Redis]:
    """The broker, with nothing on it."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture
def away() -> Iterator[None]:
    """A broker at which nobody answers."""
    known = current_app.conf.broker_url
    _connect_to("redis://127.0.0.1:1/0")
    yield
    _connect_to(known)


def _connect_to(url: str) -> None:
    for name in ("broker_url", "broker_read_url", "broker_write_url"):
        setattr(current_app.conf, name, url)
    current_app.__dict__.pop("amqp", None)
    current_app._pool = None


def messages(broker: redis.Redis, worker: str = "worker@here") -> int:
    return int(broker.llen(bell.slots_queue(worker)))  # type: ignore[arg-type]


@pytest.fixture
def slots(cpu_queue: Queue) -> list[Slot]:
    """Four slots of one worker."""
    return [make_slot(number=number) for number in range(4)]


def test_slots_are_woken_after_the_commit_and_not_before(
    broker: redis.Redis, slots: list[Slot]
) -> None:
    with transaction.atomic():
        bell.wake("cpu", 2)
        assert messages(broker) == 0
    assert messages(broker) == 2


def test_a_wake_that_is_rolled_back_is_not_sent(
    broker: redis.Redis, slots: list[Slot]
) -> None:
    with transaction.atomic():
        bell.wake("cpu")
        transaction.set_rollback(True)
    assert messages(broker) == 0


def test_a_view_in_a_thread_of_its_own_wakes_slots_too(
    broker: redis.Redis, slots: list[Slot]
) -> None:
    def view() -> None:
        bell.wake("cpu")
        connection.close()

    thread = threading.Thread(target=view)
    thread.start()
    thread.join(20)
    assert messages(broker) == 1


def test_a_launch_wakes_a_slot_for_each_run(
    broker: redis.Redis, launched: Launch, slots: list[Slot]
) -> None:
    launched(seeds=(1, 2, 3))
    assert messages(broker) == 3


def test_no_more_messages_are_sent_than_slots_are_free(
    broker: redis.Redis, slots: list[Slot]
) -> None:
    bell.wake("cpu", 1000)
    assert messages(broker) == 4


def test_every_worker_that_fits_is_told_for_one_may_just_have_died(
    broker: redis.Redis, slots: list[Slot]
) -> None:
    make_slot("second@here")
    make_slot("a-gpu@here", device="cuda")
    bell.wake("cpu", 1)
    assert messages(broker) == 1
    assert messages(broker, "second@here") == 1
    assert messages(broker, "a-gpu@here") == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda: Worker.objects.update(seen=timezone.now() - timedelta(hours=1)),
        lambda: Worker.objects.update(drain_requested=True),
        lambda: Slot.objects.update(drain_requested=True),
        lambda: Queue.objects.update(paused=True),
    ],
    ids=["silent worker", "draining worker", "draining slots", "paused queue"],
)
def test_nobody_is_woken_in_vain(
    broker: redis.Redis, slots: list[Slot], change: Callable[[], object]
) -> None:
    change()
    bell.wake("cpu", 2)
    assert messages(broker) == 0


def test_a_slot_that_has_only_reserved_a_job_is_woken_and_one_that_runs_is_not(
    broker: redis.Redis, launched: Launch, slots: list[Slot]
) -> None:
    _, waits, cancelled = launched(seeds=(1, 2, 3))
    assert claim(slots[0])
    Slot.objects.filter(pk=slots[1].pk).update(job=waits)
    Slot.objects.filter(pk=slots[2].pk).update(job=cancelled)
    Job.objects.filter(pk=cancelled.pk).update(state=State.CANCELLED)
    Slot.objects.filter(pk=slots[3].pk).update(drain_requested=True)
    broker.flushdb()
    bell.wake("cpu", 10)
    assert messages(broker) == 3, "the drained one's process may take a message too"


def test_processes_whose_slot_another_one_uses_are_woken_with_the_rest(
    broker: redis.Redis, launched: Launch, slots: list[Slot]
) -> None:
    launched()
    Job.objects.update(devices=3)
    assert claim(slots[0])
    broker.flushdb()
    bell.wake("cpu", 1)
    assert messages(broker) == 3, "only the last of these three processes may claim"


def test_slots_of_all_that_waits_are_woken_again(
    broker: redis.Redis, launched: Launch, slots: list[Slot]
) -> None:
    first, second, third, _ = launched(seeds=(1, 2, 3, 4))
    Job.objects.filter(pk=first.pk).update(state=State.RUNNING)
    Job.objects.filter(pk=second.pk).update(held=True)
    Job.objects.filter(pk=third.pk).update(not_before=timezone.now() + HOUR)
    make_queue("nobody-works-here")
    broker.flushdb()
    wake_waiting()
    assert messages(broker) == 1


@pytest.mark.parametrize(
    "limit", ["max_running", "max_running_team", "max_running_user"]
)
def test_the_end_of_a_job_wakes_a_slot_that_found_the_queue_full(
    broker: redis.Redis, launched: Launch, slots: list[Slot], limit: str
) -> None:
    launched(seeds=(1, 2))
    Queue.objects.update(**{limit: 1})
    taken = claim(slots[0])
    assert taken
    assert claim(slots[1]) is None
    broker.flushdb()
    assert end(taken.job_id, taken.fence, State.FAILED, Outcome.FAILED)
    assert messages(broker) == 1


def test_the_end_of_a_job_wakes_all_slots_that_it_held(
    broker: redis.Redis, launched: Launch, slots: list[Slot]
) -> None:
    several, *_ = launched(seeds=(1, 2, 3, 4, 5))
    Job.objects.filter(pk=several.pk).update(devices=4)
    taken = claim(slots[0])
    assert taken
    broker.flushdb()
    assert end(taken.job_id, taken.fence, State.FAILED, Outcome.FAILED)
    assert messages(broker) == 4


def test_a_broker_that_is_away_stops_no_launch(
    launched: Launch, slots: list[Slot], away: None, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = launched(seeds=(1,))
    assert job.state == State.QUEUED
    assert "the next beat will" in caplog.text


def test_nobody_waits_for_a_broker_that_is_away(slots: list[Slot], away: None) -> None:
    begun = time.monotonic()
    bell.wake("cpu", 3)
    assert time.monotonic() - begun < 3
