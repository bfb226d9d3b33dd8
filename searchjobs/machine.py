"""What a worker tells about its machine: cores, versions, disk, load, clock."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

from . import gpus

PACKAGES = ("nasweb", "torch", "torchvision", "celery", "Django")
_CUDA = re.compile(r"^cuda\b.*= '([\d.]+)'", re.MULTILINE)


def cores() -> int:
    """Return the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_mib() -> int:
    """Return the memory of this machine in MiB."""
    return int(psutil.virtual_memory().total // gpus.MIB)


def cpu_load() -> gpus.Load:
    """Return the load of this machine's CPU, since the last call, and its memory."""
    return gpus.Load(
        utilisation=psutil.cpu_percent(interval=None),
        memory_used_mib=int(psutil.virtual_memory().used // gpus.MIB),
    )


def disk() -> tuple[int, int] | None:
    """Return free and total bytes where runs keep their files; None if unreadable."""
    folder = Path(settings.NASWEB_RUNS_DIR)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # made with the first run
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free, usage.total


def clock_offset() -> tuple[float, float]:
    """Return by how many seconds our clock is ahead of the database's, and how long
    the question took: the answer is half of that inexact."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # a new connection would be counted as a slow answer
        before, begun = time.time(), time.perf_counter()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        took = time.perf_counter() - begun
        row = cursor.fetchone()
    return before + took / 2 - float(row[0]), took


def versions() -> dict[str, str]:
    """Return the versions of Python, our packages, CUDA and the GPU driver."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    others = {"cuda": _cuda(), "driver": gpus.driver_version()}
    return found | {name: value for name, value in others.items() if value}


@cache
def _cuda() -> str:
    """Return for which CUDA this PyTorch was built, without importing it: that takes
    seconds and memory which a worker's main process has no use for."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = _CUDA.search(text)
    return found.group(1) if found else ""
