"""`manage.py doctor`: is everything as this installation needs it?

Each check returns findings: one sentence each, and where something is wrong, what to
do.  A check asks the real thing, as the site or a worker of this machine would.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import redis
from django.conf import settings
from django.core import checks
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.db import Error, connection
from django.db.models import F
from django.db.models.functions import Now

from nasweb import __version__
from nasweb.devices import gpu_likely
from nasweb.pages.health import pending_migrations
from searchjobs import gpus, machine
from searchjobs.artefacts import storage
from searchjobs.liveness import is_answering, silent_after
from searchjobs.models import Job, Queue, Slot, Worker
from searchjobs.states import HELD, State

Level = Literal["ok", "warning", "fault"]
OLDEST_POSTGRES = 14
OLDEST_REDIS = (6, 2)
OLDEST_PYTHON = (3, 11)
#: Seconds that two clocks may differ before pages show odd times.
CLOCK_SECONDS = 2.0
#: Milliseconds; above, every page and every claim of a job is felt to be slow.
SLOW_MILLISECONDS = 50.0
GIB = 2**30
TORCH_SECONDS = 180
_TORCH = """
import json, torch
found = []
for place in range(torch.cuda.device_count()):
    square = torch.ones(64, 64, device=f"cuda:{place}")
    found.append(float((square @ square).sum()) == 64.0**3)
print(json.dumps({"cuda": torch.version.cuda, "found": found}))
"""


@dataclass(frozen=True)
class Finding:
    """What a check found; ``remedy`` is what to do unless all is well."""

    topic: str
    level: Level
    sentence: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield the findings of all checks, one after the other, as they are made.

    Without a database what its rows would tell is not asked.
    """
    away = False
    for topic, check, needs_database in CHECKS:
        if needs_database and away:
            yield Finding(
                topic, "warning", "Not checked: the database does not answer.",
                "Mend the database, then ask again.",
            )  # fmt: skip
            continue
        try:
            for level, sentence, remedy in check():
                away = away or (topic == "database" and level == "fault")
                yield Finding(topic, level, sentence, remedy)
        except Exception as error:
            yield Finding(
                topic,
                "fault",
                f"The check itself failed ({type(error).__name__}: {_first(error)}).",
                "Report this with the output of `manage.py doctor --json`.",
            )


Found = tuple[Level, str, str]


def fine(sentence: str) -> Found:
    return ("ok", sentence, "")


def _settings() -> Iterator[Found]:
    production = _in_production()
    issues = checks.run_checks(include_deployment_checks=production)
    for issue in issues:
        if issue.is_silenced() or issue.level < checks.WARNING:
            continue
        level: Level = "fault" if issue.is_serious() else "warning"
        yield level, f"{issue.msg} ({issue.id})", issue.hint or "Correct the setting."
    beat, lease = settings.NASWEB_BEAT_SECONDS, settings.NASWEB_LEASE_SECONDS
    if beat * 3 > lease:
        yield (
            "warning",
            f"A lease lasts {lease} s and is renewed every {beat} s: one late renewal "
            "loses a run its worker.",
            "Set NASWEB_BEAT_SECONDS to a third of NASWEB_LEASE_SECONDS or less.",
        )
    if production:
        yield from _public_addresses()
    kind = "production" if production else settings.SETTINGS_MODULE.rpartition(".")[2]
    yield fine(f"The settings of {kind} were read.")


def _in_production() -> bool:
    return str(settings.SETTINGS_MODULE).endswith(".production")


def _public_addresses() -> Iterator[Found]:
    """Check under which names and addresses browsers reach the site."""
    hosts = settings.ALLOWED_HOSTS
    if "*" in hosts:
        yield (
            "warning",
            "NASWEB_HOSTS is *, so the site answers under any name.",
            "Set NASWEB_HOSTS to the names under which people reach it.",
        )
    elif all(host in {"localhost", "127.0.0.1", "[::1]"} for host in hosts):
        yield (
            "warning",
            "NASWEB_HOSTS names this machine alone: nobody else can use the site.",
            "Add the name under which people reach it.",
        )
    secure = settings.SESSION_COOKIE_SECURE
    wrong = [
        origin
        for origin in settings.CSRF_TRUSTED_ORIGINS
        if secure and not origin.startswith("https://")
    ]
    if wrong:
        yield (
            "fault",
            f"NASWEB_ORIGINS has {wrong[0]}, but log-ins work by https alone.",
            "Write https:// there, or set NASWEB_HTTPS=0 in a trusted network.",
        )
    if secure and not getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        yield (
            "warning",
            "NASWEB_HTTPS is on and no proxy is announced: if one ends https in front "
            "of the site, every page redirects to itself.",
            "Set NASWEB_BEHIND_PROXY=1 if a proxy of yours sets X-Forwarded-Proto.",
        )
    if not secure:
        yield (
            "warning",
            "NASWEB_HTTPS is off: passwords cross the network as they are.",
            "Put a proxy with a certificate in front, then set NASWEB_HTTPS=1.",
        )


def _packages() -> Iterator[Found]:
    if sys.version_info < OLDEST_PYTHON:
        yield (
            "fault",
            f"Python {platform.python_version()} is too old.",
            f"Install Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer.",
        )
    for need in requires("nasweb") or []:
        if "extra ==" in need:
            continue
        name = re.split(r"[^\w.-]", need, maxsplit=1)[0]
        try:
            version(name)
        except PackageNotFoundError:
            yield (
                "fault",
                f"The package {name} is missing.",
                "Install nasweb anew: pip install -e .",
            )
    told = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
    yield fine(f"Versions: {told}.")


def _database() -> Iterator[Found]:
    try:
        connection.ensure_connection()
        offset, took = machine.clock_offset()
    except Error as error:
        yield (
            "fault",
            f"PostgreSQL does not answer: {_first(error)}.",
            "Start it, or correct DATABASE_URL; with `make run` it runs only while "
            "nasweb does.",
        )
        return
    number = int(connection.connection.server_version)
    if number // 10_000 < OLDEST_POSTGRES:
        yield (
            "fault",
            f"PostgreSQL {number // 10_000} is too old.",
            f"Move the database to PostgreSQL {OLDEST_POSTGRES} or newer.",
        )
    milliseconds = took * 1000
    if milliseconds > SLOW_MILLISECONDS:
        yield (
            "warning",
            f"PostgreSQL takes {milliseconds:.0f} ms for the smallest question.",
            "Put it nearer to the site and the workers, or see what loads it.",
        )
    pending = pending_migrations()
    if pending:
        yield (
            "fault",
            f"{len(pending)} migrations are still to come, the first is {pending[0]}.",
            "Run `python manage.py migrate`.",
        )
    yield fine(
        f"PostgreSQL {number // 10_000}.{number % 10_000} answers in "
        f"{milliseconds:.1f} ms."
    )
    if abs(offset) > CLOCK_SECONDS:
        yield (
            "warning",
            f"The clock of this machine is {_ahead(offset)} that of the database.",
            "Let both machines set their clocks by NTP.",
        )
    else:
        yield fine(f"The clocks of both differ by {abs(offset):.2f} s.")


def _broker() -> Iterator[Found]:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5
        ) as client:
            client.ping()
            begun = time.perf_counter()
            client.ping()
            milliseconds = (time.perf_counter() - begun) * 1000
            told: Any = client.info("server")
    except (redis.RedisError, ValueError) as error:
        yield (
            "fault",
            f"Redis does not answer: {_first(error)}.",
            "Start it, or correct REDIS_URL; until then waiting jobs do not start.",
        )
        return
    number = str(told.get("redis_version", "0"))
    if tuple(map(int, re.findall(r"\d+", number)[:2])) < OLDEST_REDIS:
        yield (
            "fault",
            f"Redis {number} is too old.",
            f"Install Redis {'.'.join(map(str, OLDEST_REDIS))} or newer, or Valkey.",
        )
    name = f"Valkey {told['valkey_version']}" if "valkey_version" in told else "Redis"
    shown = name if " " in name else f"{name} {number}"
    yield fine(f"{shown} answers in {milliseconds:.1f} ms.")


def _storage() -> Iterator[Found]:
    yield from _can_store(storage())
    runs = Path(settings.NASWEB_RUNS_DIR)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".doctor-{uuid4().hex}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        yield (
            "fault",
            f"Runs cannot keep files in {runs} ({error.strerror}).",
            "Give the user of nasweb the right to write there, or set NASWEB_RUNS_DIR.",
        )
        return
    total, _, free = shutil.disk_usage(runs)
    least = settings.NASWEB_MIN_FREE_MB * 2**20
    shown = f"{free / GIB:.1f} of {total / GIB:.0f} GiB are free in {runs}"
    if free < max(least, total // 50):
        level: Level = "fault" if free < least else "warning"
        yield level, f"Only {shown}.", "Free space, or move NASWEB_RUNS_DIR."
    else:
        yield fine(f"{shown}.")


def _can_store(store: Storage) -> Iterator[Found]:
    """Write, read and remove a small file, as a worker does with its checkpoints."""
    content, saved = uuid4().hex.encode(), ""
    place = str(getattr(store, "location", "")) or type(store).__name__
    try:
        begun = time.perf_counter()
        saved = store.save(f"doctor-{uuid4().hex}", ContentFile(content))
        with store.open(saved) as file:
            whole = file.read() == content
        took = time.perf_counter() - begun
    except Exception as error:  # each store has errors of its own
        yield (
            "fault",
            f"Artefacts cannot be stored in {place} "
            f"({type(error).__name__}: {_first(error)}).",
            "Correct NASWEB_ARTEFACTS_DIR or NASWEB_ARTEFACTS_URL, or the rights.",
        )
        return
    finally:
        if saved:
            with suppress(Exception):
                store.delete(saved)
    if not whole:
        yield (
            "fault",
            f"{place} gives back other bytes than it was given.",
            "Check the disk or the store: checkpoints there cannot be trusted.",
        )
        return
    yield fine(f"Artefacts are stored in {place}: a small file takes {took:.2f} s.")


def _gpus() -> Iterator[Found]:
    found = gpus.installed()
    if not found:
        if gpu_likely():
            yield (
                "fault",
                f"There is an NVIDIA device, but its driver says: {gpus.why_none()}.",
                "Run nvidia-smi; load the driver, or give the container its GPUs.",
            )
        else:
            yield fine("This machine has no NVIDIA GPU: its slots are of the CPU.")
        return
    usable = gpus.usable()
    names = ", ".join(f"{gpu.name} ({gpu.memory_mib / 1024:.0f} GiB)" for gpu in usable)
    if not usable:
        yield (
            "warning",
            f"CUDA_VISIBLE_DEVICES hides all {len(found)} GPUs of this machine.",
            "Unset it, or name the GPUs that the worker may use.",
        )
        return
    yield fine(f"Driver {gpus.driver_version()}, {len(usable)} GPUs: {names}.")
    yield _torch_computes(usable)


def _torch_computes(usable: list[gpus.Gpu]) -> Found:
    """Let PyTorch compute on each GPU, in a process of its own as an engine does."""
    # A process sees one MIG instance at most, whatever it is given.
    whole = [gpu for gpu in usable if gpu.uuid == gpu.board] or usable[:1]
    seen = ",".join(gpu.uuid for gpu in whole)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TORCH],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": seen},
            capture_output=True,
            text=True,
            timeout=TORCH_SECONDS,
            check=True,
        )
        told = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().rpartition("\n")[2]
        return _no_torch(f"PyTorch cannot compute on the GPUs ({last}).")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return _no_torch(f"PyTorch cannot be asked ({type(error).__name__}).")
    good = sum(told["found"])
    if good < len(whole):
        return _no_torch(f"PyTorch computes on {good} of {len(whole)} GPUs.")
    return fine(f"PyTorch (CUDA {told['cuda']}) computes on {good} of {good} GPUs.")


def _no_torch(sentence: str) -> Found:
    remedy = (
        "Install a driver that is new enough for the CUDA of this PyTorch, or a "
        "PyTorch for the driver; then look into the driver's log (dmesg, Xid)."
    )
    return ("fault", sentence, remedy)


def _workers() -> Iterator[Found]:
    rows = list(Worker.objects.annotate(silent=Now() - F("seen")))
    alive = [row for row in rows if is_answering(row.silent)]
    if not alive:
        yield (
            "warning",
            "No worker answers, so nothing can start.",
            "Start `python manage.py worker` on a machine with these settings.",
        )
    for row in rows:
        if row not in alive:
            yield (
                "warning",
                f"{row.name} has been silent for {row.silent.total_seconds():.0f} s.",
                "Start it again; its runs went back to their queues.",
            )
    for row in alive:
        yield from _worker(row)
    late = Job.objects.filter(state__in=HELD, lease_expires__lt=Now() - silent_after())
    if late.exists():
        yield (
            "fault",
            f"{late.count()} runs of lost workers were not given back in time.",
            "Start `python manage.py housekeeping`; one an installation does.",
        )
    yield from _queues(alive)
    if alive:
        slots = Slot.objects.filter(worker__in=alive).count()
        yield fine(f"{len(alive)} workers answer, with {slots} slots.")


def _worker(row: Worker) -> Iterator[Found]:
    theirs = row.versions.get("nasweb", "")
    if theirs != __version__:
        yield (
            "fault",
            f"{row.name} runs nasweb {theirs or '(unknown)'}, this is {__version__}.",
            "Bring both to the same revision and start the worker again.",
        )
    ours = machine.versions()
    for name in ("torch", "Django"):
        if row.versions.get(name, "") != ours.get(name, ""):
            yield (
                "warning",
                f"{row.name} has {name} {row.versions.get(name, '(none)')}, this "
                f"machine {ours.get(name, '(none)')}.",
                "Install the same versions: a run may move between machines.",
            )
    if row.clock_offset is not None and abs(row.clock_offset) > CLOCK_SECONDS:
        yield (
            "warning",
            f"The clock of {row.name} is {_ahead(row.clock_offset)} the database's.",
            "Let that machine set its clock by NTP.",
        )
    least = settings.NASWEB_MIN_FREE_MB * 2**20
    if row.disk_free is not None and row.disk_free < least:
        yield (
            "fault",
            f"{row.name} has only {row.disk_free / 2**20:.0f} MB of disk left.",
            "Free space there: its runs pause.",
        )


def _queues(alive: Sequence[Worker]) -> Iterator[Found]:
    """Find queues in which jobs wait and that no slot of a living worker fits."""
    slots = list(Slot.objects.filter(worker__in=alive).select_related("worker"))
    waiting = Queue.objects.filter(jobs__state=State.QUEUED, jobs__held=False)
    for queue in waiting.distinct():
        if not any(slot.fits(queue) for slot in slots):
            yield (
                "warning",
                f"Jobs wait in {queue.name}, and no slot of a worker fits it.",
                "Start a worker with such a device, or move the jobs.",
            )


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"


def _first(error: Exception) -> str:
    """Return the first line of an error, without its full stop."""
    return (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")


CHECKS: tuple[tuple[str, Callable[[], Iterator[Found]], bool], ...] = (
    ("settings", _settings, False),
    ("packages", _packages, False),
    ("database", _database, False),
    ("broker", _broker, False),
    ("storage", _storage, False),
    ("gpus", _gpus, False),
    ("workers", _workers, True),
)
