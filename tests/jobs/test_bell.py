from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import transaction

from searchjobs import bell
from searchjobs.models import Job, Worker
from searchjobs.queueing import wake_waiting
from searchjobs.states import State
from tests.factories import make_queue
from tests.jobs.conftest import Launch

pytestmark = pytest.mark.django_db(transaction=True)


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


def messages(broker: redis.Redis, queue: str = "cpu") -> int:
    return int(broker.llen(bell.slots_queue(queue)))  # type: ignore[arg-type]


def test_slots_are_woken_after_the_commit_and_not_before(broker: redis.Redis) -> None:
    with transaction.atomic():
        bell.wake("cpu", 2)
        assert messages(broker) == 0
    assert messages(broker) == 2


def test_a_wake_that_is_rolled_back_is_not_sent(broker: redis.Redis) -> None:
    with transaction.atomic():
        bell.wake("cpu")
        transaction.set_rollback(True)
    assert messages(broker) == 0


def test_a_view_in_a_thread_of_its_own_wakes_slots_too(broker: redis.Redis) -> None:
    thread = threading.Thread(target=bell._send, args=("cpu", 1))
    thread.start()
    thread.join(20)
    assert messages(broker) == 1


def test_a_launch_wakes_a_slot_for_each_run(
    broker: redis.Redis, launched: Launch
) -> None:
    launched(seeds=(1, 2, 3))
    assert messages(broker) == 3


def test_slots_of_all_that_waits_are_woken_again(
    broker: redis.Redis, launched: Launch, slot: Worker
) -> None:
    first, *_ = launched(seeds=(1, 2, 3))
    Job.objects.filter(pk=first.pk).update(state=State.RUNNING)
    make_queue("nobody-works-here")
    broker.flushdb()
    wake_waiting()
    assert messages(broker) == 2


def test_a_broker_that_is_away_stops_no_launch(
    launched: Launch, away: None, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = launched(seeds=(1,))
    assert job.state == State.QUEUED
    assert "the next beat will" in caplog.text


def test_nobody_waits_for_a_broker_that_is_away(away: None) -> None:
    begun = time.monotonic()
    bell._send("cpu", 3)
    assert time.monotonic() - begun < 3
