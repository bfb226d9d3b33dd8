"""Workers and their slots: the row of a worker, its beat, and its work."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from .models import Queue, Slot, Worker
from .queueing import claim, release_own
from .supervisor import supervise

logger = logging.getLogger(__name__)

Device = Queue.Device
#: The queues that need no administrator.
NAMES: dict[str, str] = {Device.CPU: "cpu", Device.GPU: "gpu"}
VERSIONS = ("nasweb", "torch", "torchvision", "celery", "Django")


def queue_for(device: str) -> Queue:
    """Return the oldest queue for a device; make it if there is none."""
    found = Queue.objects.filter(device=device).order_by("pk").first()
    if found is not None:
        return found
    return Queue.objects.get_or_create(name=NAMES[device], defaults={"device": device})[
        0
    ]


@transaction.atomic
def register(name: str) -> Worker:
    """Write down that a worker has started, and the slots that it offers."""
    worker, _ = Worker.objects.update_or_create(
        name=name,
        defaults={
            "host": socket.gethostname(),
            "only_queues": settings.NASWEB_QUEUES,
            "versions": _versions(),
            "started": Now(),
            "seen": Now(),
        },
    )
    offered = slots_offered()
    for device in {each["device"] for each in offered}:
        if not Queue.objects.filter(device=device).exists():
            queue_for(device)
    for number, columns in enumerate(offered):
        Slot.objects.update_or_create(worker=worker, number=number, defaults=columns)
    worker.slots.filter(number__gte=len(offered)).delete()
    return worker


def slots_offered() -> list[dict[str, Any]]:
    """Return the columns of this machine's slots: one a GPU, then those of the CPU."""
    gpus = [
        {"device": Device.GPU, "device_name": gpu_names()[int(gpu)], "gpu_uuid": gpu}
        for gpu in gpus_visible()
    ]
    share = max(1, _cores() // max(1, len(gpus) + settings.NASWEB_CPU_SLOTS))
    threads = int(os.environ.get("OMP_NUM_THREADS", share))
    cpus = [{"device": Device.CPU, "device_name": f"CPU, {_cores()} cores"}]
    return [
        {**columns, "threads": threads}
        for columns in [*gpus, *cpus * settings.NASWEB_CPU_SLOTS]
    ]


def silent_after() -> timedelta:
    """Return for how long a worker may say nothing before it is taken to be gone:
    as long as its leases last."""
    return timedelta(seconds=settings.NASWEB_LEASE_SECONDS)


def seen(name: str) -> bool:
    """Renew a worker's row; False if there is none."""
    return Worker.objects.filter(name=name).update(seen=Now()) == 1


def work(name: str, number: int, stopping: Callable[[], bool]) -> int:
    """Claim and run jobs until nothing is left for this slot; return how many."""
    rows = Slot.objects.select_related("worker")
    slot = rows.filter(worker__name=name, number=number).first()
    if slot is not None:
        release_own(slot)
    done = 0
    while slot is not None and not stopping():
        taken = claim(slot)
        if taken is None:
            break
        logger.info("Job %s begins, attempt %d", taken.job_uuid, taken.fence)
        supervise(taken, stopping=stopping)
        done += 1
    return done


def gpus_visible() -> list[str]:
    """Return the GPUs that this worker may use, as CUDA names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(len(gpu_names()))]
    return [part.strip() for part in named.split(",") if part.strip() not in {"", "-1"}]


@cache
def gpu_names() -> list[str]:
    """Return the names of this machine's GPUs; empty without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
