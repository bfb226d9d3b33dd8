"""Slots of a worker: one a pool process, whatever becomes of the processes."""

from __future__ import annotations

import json
import socket
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from searchjobs import tasks, workers
from searchjobs.models import Job, Queue, Slot, SlotSample, Worker
from searchjobs.states import State
from tests.jobs.conftest import Launch, make_slot, take
from tests.servers import running_worker, wait_until

CPU = {"device": "cpu", "device_name": "CPU, 2 cores", "threads": 1}


@pytest.mark.django_db
def test_a_worker_registers_its_machine_and_its_slots() -> None:
    worker = workers.register("w@here", [CPU, CPU])
    assert [slot.number for slot in worker.slots.all()] == [0, 1]
    assert {"python", "torch", "nasweb"} <= worker.versions.keys()
    assert Queue.objects.get().device == Queue.Device.CPU
    assert workers.seen("w@here")
    worker.refresh_from_db()
    assert worker.disk_total is not None
    assert worker.disk_free is not None
    assert 0 < worker.disk_free <= worker.disk_total
    assert worker.clock_offset is not None
    assert abs(worker.clock_offset) < 5  # the same machine
    assert not workers.seen("nobody@here")


@pytest.mark.django_db
def test_a_queue_for_a_device_never_takes_one_of_another_by_its_name() -> None:
    Queue.objects.create(name="cpu", device=Queue.Device.GPU)
    made = workers.queue_for(Queue.Device.CPU)
    assert (made.name, made.device) == ("cpu-2", Queue.Device.CPU)
    assert workers.queue_for(Queue.Device.CPU) == made


@pytest.mark.django_db
def test_what_a_worker_offers_no_more_goes_or_drains_until_its_job_has_gone(
    launched: Launch,
) -> None:
    (job,) = launched(seeds=(1,))
    worker = workers.register("w@here", [CPU, CPU, CPU])
    busy = worker.slots.get(number=2)
    assert take(busy) is not None
    workers.register("w@here", [CPU])
    assert [slot.number for slot in worker.slots.all()] == [0, 2]
    busy.refresh_from_db()
    assert busy.drain_requested
    assert workers.record_load("w@here", 1) == 1
    assert worker.slots.count() == 2, "its job still holds it"
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED)
    Slot.objects.filter(pk=busy.pk).update(job=None)
    workers.record_load("w@here", 1)
    assert [slot.number for slot in worker.slots.all()] == [0]


@pytest.mark.django_db(transaction=True)
def test_a_slot_claims_nothing_before_its_worker_has_said_what_it_is_now(
    launched: Launch,
) -> None:
    """Its row is that of the worker's last start: other threads, another GPU."""
    (job,) = launched(seeds=(1,))
    workers.register(socket.gethostname(), [{**CPU, "threads": 7}])
    assert tasks.wake.apply().successful()
    job.refresh_from_db()
    assert (job.state, job.attempts.count()) == (State.QUEUED, 0)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_starts_again_waits_for_no_claim_that_names_it() -> None:
    workers.register("w@here", [CPU])
    named, registered = threading.Event(), threading.Event()

    def claims() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # What the database does itself when a row that names a worker is written.
            cursor.execute("SELECT FROM searchjobs_worker FOR KEY SHARE")
            named.set()
            registered.wait(10)
        connection.close()

    claiming = threading.Thread(target=claims)
    claiming.start()
    try:
        assert named.wait(10)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            workers.register("w@here", [CPU, CPU])
    finally:
        registered.set()
        claiming.join(10)
    assert Slot.objects.filter(worker__name="w@here").count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.QUEUED, State.CANCELLED])
def test_a_slot_that_was_only_reserved_goes_as_soon_as_it_is_offered_no_more(
    launched: Launch, state: str
) -> None:
    (job,) = launched(seeds=(1,))
    Job.objects.filter(pk=job.pk).update(state=state)
    worker = workers.register("w@here", [CPU, CPU, CPU])
    worker.slots.filter(number=2).update(job=job)
    workers.register("w@here", [CPU, CPU])
    assert [slot.number for slot in worker.slots.all()] == [0, 1]
    worker.slots.filter(number=1).update(job=job)
    workers.record_load("w@here", 1)
    assert [slot.number for slot in worker.slots.all()] == [0]


@pytest.mark.django_db
def test_a_beat_writes_one_sample_a_slot_in_few_queries() -> None:
    worker = workers.register("w@here", [CPU] * 16)
    with CaptureQueriesContext(
        connection,
    ) as told:
        assert workers.record_load("w@here", 16) == 16
    statements = [each["sql"] for each in told if "SAVEPOINT" not in each["sql"]]
    assert len(statements) == 4, statements
    sample = SlotSample.objects.filter(slot__worker=worker).first()
    assert sample is not None
    assert sample.memory_used_mib
    assert sample.utilisation is not None
    newest = worker.slots.get(number=7)
    assert newest.memory_used_mib == sample.memory_used_mib


@pytest.mark.django_db
def test_samples_of_more_than_a_week_ago_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "PORTION", 3)
    slots = [make_slot(), make_slot(number=1)]
    now = timezone.now()
    SlotSample.objects.bulk_create(
        SlotSample(slot=slot, at=now - timedelta(days=days))
        for slot in slots
        for days in (0, 1, 6, 8, 9, 10, 30)
    )
    assert workers.forget_old_samples() == 8
    assert SlotSample.objects.count() == 6
    assert workers.forget_old_samples() == 0


@pytest.mark.django_db(transaction=True)
def test_slots_are_the_processes_of_the_pool_and_a_new_one_has_its_predecessors(
    launched: Launch,
) -> None:
    jobs = launched(seeds=(1, 2), epochs=2000)
    changes = {"NASWEB_BEAT_SECONDS": "1", "NASWEB_LOG_FORMAT": "json"}
    with running_worker("two", slots=2, **changes) as process:

        def running() -> dict[str, int]:
            held = Job.objects.filter(state=State.RUNNING)
            return dict(held.values_list("slot", "pk"))

        wait_until(lambda: len(running()) == 2, seconds=90, what="two runs")
        assert set(running()) == {"slot 0", "slot 1"}
        assert Slot.objects.filter(job__in=jobs).count() == 2
        pools = psutil.Process(process.pid).children()
        assert len(pools) == 2
        pools[1].kill()
        # Its job goes on at once: the new process gives back what the old one held,
        # and does not wait for the end of the lease.
        wait_until(
            lambda: Job.objects.filter(fence=2, state=State.RUNNING).count() == 1,
            seconds=settings.NASWEB_LEASE_SECONDS / 2,
            what="the job of the killed process",
        )
        assert set(running()) == {"slot 0", "slot 1"}
        samples = SlotSample.objects.filter(slot__worker__name__startswith="two@")
        wait_until(lambda: samples.count() >= 4, seconds=10, what="samples")
    assert Worker.objects.get().slots.count() == 2
    assert_every_line_says_which_attempt(jobs)


def assert_every_line_says_which_attempt(jobs: list[Job]) -> None:
    log = Path(settings.NASWEB_HOME) / "log" / "worker-two.log"
    lines = [
        json.loads(line)
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.startswith("{")
    ]
    begun = [line for line in lines if " begins, attempt " in line["message"]]
    assert len(begun) >= 3
    names = {str(job.uuid): str(job.run.uuid) for job in jobs}
    for line in begun:
        assert line["run"] == names[line["job"]]
        assert line["attempt"] in line["message"]
        assert line["worker"].startswith("two@")
        assert line["slot"].startswith(line["worker"])
