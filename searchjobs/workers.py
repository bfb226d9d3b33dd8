"""Workers and their slots: the row of a worker, its beat, and its work."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import timedelta
from itertools import count
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars

from . import gpus, machine
from .claims import Claim, claim
from .models import Queue, Run, Slot, SlotSample, Worker
from .queueing import release_own
from .states import HELD
from .supervisor import supervise

logger = logging.getLogger(__name__)

Device = Queue.Device
#: The queues that need no administrator.
NAMES: dict[str, str] = {Device.CPU: "cpu", Device.GPU: "gpu"}
#: The history of a slot's load goes back so far.
SAMPLES_KEPT = timedelta(days=7)
#: Old samples go in portions, so that no lock lasts.
PORTION = 5_000
LOAD = [each.name for each in fields(gpus.Load)]


def queue_for(device: str) -> Queue:
    """Return the oldest queue for a device; make it if there is none."""
    found = Queue.objects.filter(device=device).order_by("pk").first()
    if found is not None:
        return found
    for number in count(1):
        # The name may be taken: somebody has made that queue one for other devices.
        name = NAMES[device] if number == 1 else f"{NAMES[device]}-{number}"
        queue, _ = Queue.objects.get_or_create(name=name, defaults={"device": device})
        if queue.device == device:
            return queue
    raise AssertionError("names never end")


def slots_offered(cpu_slots: int | None = None) -> list[dict[str, Any]]:
    """Return the columns of this machine's slots: one a GPU, then those of the CPU.

    This alone decides how many there are: a worker's pool has a process for each, in
    this order, and only what has a process becomes a row.
    """
    count = settings.NASWEB_CPU_SLOTS if cpu_slots is None else cpu_slots
    found = [
        {
            "device": Device.GPU,
            "device_name": gpu.name,
            "gpu_uuid": gpu.uuid,
            "memory_mib": gpu.memory_mib,
        }
        for gpu in gpus.usable()
    ]
    cores = machine.cores()
    cpu = {
        "device": Device.CPU,
        "device_name": f"CPU, {cores} core{'s' if cores > 1 else ''}",
        "gpu_uuid": "",
        "memory_mib": machine.memory_mib(),
    }
    threads = _threads(cores, len(found) + count)
    return [{**columns, "threads": threads} for columns in [*found, *[cpu] * count]]


def _threads(cores: int, slots: int) -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return max(1, cores // max(1, slots))


@transaction.atomic
def register(name: str, offered: Sequence[dict[str, Any]] | None = None) -> Worker:
    """Write down that a worker has started, and the slots that it offers.

    A slot that it offers no more goes, or drains if a job still holds it.
    """
    told: dict[str, Any] = {
        "host": socket.gethostname(),
        "only_queues": settings.NASWEB_QUEUES,
        "versions": machine.versions(),
        "started": Now(),
        "seen": Now(),
    }
    # No update_or_create: its lock would wait for every claim, which shares the
    # worker's row.
    if not Worker.objects.filter(name=name).update(**told):
        Worker.objects.get_or_create(name=name, defaults=told)
    worker = Worker.objects.get(name=name)
    slots = slots_offered() if offered is None else offered
    for device in {each["device"] for each in slots}:
        queue_for(device)
    for number, columns in enumerate(slots):
        Slot.objects.update_or_create(worker=worker, number=number, defaults=columns)
    leftover = worker.slots.filter(number__gte=len(slots))
    leftover.exclude(job__state__in=HELD).delete()
    leftover.update(drain_requested=True)
    return worker


def seen(name: str) -> bool:
    """Renew a worker's row with its free disk and its clock; False if there is none."""
    free, total = machine.disk() or (None, None)
    offset, _ = machine.clock_offset()
    renewed = Worker.objects.filter(name=name).update(
        seen=Now(), disk_free=free, disk_total=total, clock_offset=offset
    )
    return renewed == 1


def record_load(name: str, slots: int) -> int:
    """Write down the load of a worker's slots, and remove those that it offers no
    more (``slots`` and above) once no job holds them; return how many were read."""
    known = Slot.objects.filter(worker__name=name)
    found = gpus.loads(known.exclude(gpu_uuid="").values_list("gpu_uuid", flat=True))
    found[""] = machine.cpu_load()
    with transaction.atomic():
        # A row that somebody claims at this moment goes without: to wait for one
        # while we hold others could stop a claim of several slots.
        rows = list(
            known.select_for_update(
                skip_locked=True, no_key=True, of=("self",)
            ).annotate(state=F("job__state"))
        )
        gone = [row.pk for row in rows if row.number >= slots and row.state not in HELD]
        if gone:
            Slot.objects.filter(pk__in=gone).delete()
        rows = [row for row in rows if row.number < slots]
        for row in rows:
            for column, value in vars(found.get(row.gpu_uuid, gpus.Load())).items():
                setattr(row, column, value)
        Slot.objects.bulk_update(rows, LOAD)
        SlotSample.objects.bulk_create(
            SlotSample(slot=row, at=Now(), **_load_of(row)) for row in rows
        )
    return len(rows)


def _load_of(slot: Slot) -> dict[str, Any]:
    return {column: getattr(slot, column) for column in LOAD}


def forget_old_samples() -> int:
    """Remove load samples of more than a week ago; return how many."""
    removed = 0
    for slot in Slot.objects.values_list("pk", flat=True):
        old = SlotSample.objects.filter(slot=slot, at__lt=Now() - SAMPLES_KEPT)
        while True:
            portion = list(old.order_by("at").values_list("pk", flat=True)[:PORTION])
            removed += SlotSample.objects.filter(pk__in=portion).delete()[0]
            if len(portion) < PORTION:
                break
    return removed


def give_back_own(name: str, number: int) -> Slot | None:
    """Give back what a killed process of this slot has left; return the slot's row."""
    rows = Slot.objects.select_related("worker")
    slot = rows.filter(worker__name=name, number=number).first()
    if slot is not None and release_own(slot):
        logger.warning("%s gave back the job of a process that was killed", slot)
    return slot


def work(name: str, number: int, stopping: Callable[[], bool]) -> int:
    """Claim and run jobs until nothing is left for this slot; return how many."""
    slot = give_back_own(name, number)
    done = 0
    while slot is not None and not stopping():
        taken = claim(slot)
        if taken is None:
            break
        with bound_contextvars(slot=str(slot), **_ids(taken)):
            logger.info("Job %s begins, attempt %d", taken.job_uuid, taken.fence)
            supervise(taken, stopping=stopping)
        done += 1
    return done


def _ids(taken: Claim) -> dict[str, str]:
    """Return what every log line about a claim carries."""
    run = Run.objects.filter(job=taken.job_id).values_list("uuid", flat=True).first()
    ids = {"job": taken.job_uuid, "run": run, "attempt": taken.fence}
    return {name: str(value) for name, value in ids.items() if value is not None}
