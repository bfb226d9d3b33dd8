"""Workers and their slots: the row of a worker, its beat, and its work."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from .models import Queue, Worker
from .queueing import claim
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
def register(name: str, slots: int, queues: set[str]) -> Worker:
    """Write down that a worker has started, and which job queues it serves."""
    gpus = gpu_names() if gpus_visible() else []
    worker, _ = Worker.objects.update_or_create(
        name=name,
        defaults={
            "slots": slots,
            "device": gpus[0] if gpus else f"CPU, {_cores()} cores",
            "versions": _versions(),
            "started": Now(),
            "seen": Now(),
        },
    )
    for device in (Device.CPU, Device.GPU):
        if NAMES[device] in queues:
            queue_for(device)
    worker.queues.set(Queue.objects.filter(name__in=queues))
    return worker


def silent_after() -> timedelta:
    """Return for how long a worker may say nothing before it is taken to be gone:
    as long as its leases last."""
    return timedelta(seconds=settings.NASWEB_LEASE_SECONDS)


def seen(name: str) -> bool:
    """Renew a worker's row; False if there is none."""
    return Worker.objects.filter(name=name).update(seen=Now()) == 1


def work(name: str, slot: int, stopping: Callable[[], bool]) -> int:
    """Claim and run jobs until nothing is left for this slot; return how many."""
    worker = Worker.objects.filter(name=name).first()
    done = 0
    while worker is not None and not stopping():
        taken = claim(worker, f"slot {slot}")
        if taken is None:
            break
        logger.info("Job %s begins, attempt %d", taken.job_uuid, taken.fence)
        supervise(taken, stopping=stopping, environment=slot_environment(slot))
        done += 1
    return done


def slot_environment(slot: int) -> dict[str, str]:
    """Return what the engine of a slot is given: its cores and its GPU."""
    threads = str(max(1, _cores() // settings.NASWEB_SLOTS))
    found = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "MKL_NUM_THREADS": os.environ.get("MKL_NUM_THREADS", threads),
    }
    gpus = gpus_visible()
    if gpus:
        found["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return found


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
