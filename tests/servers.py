"""Start the real servers: PostgreSQL, Redis, a Celery worker, the site, a process each.

Fixtures of the same names are in ``conftest.py``; these are the plain functions, for
tests that need two workers, another lease or a kill.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psutil
from django.conf import settings
from django.db import connection

from nasweb import embedded
from searchjobs.engine.orphans import die_with_parent

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def databases() -> Iterator[list[embedded.Server]]:
    """Run PostgreSQL and Redis in a fresh folder; nothing of them stays behind.

    ``DATABASE_URL`` or ``REDIS_URL`` of the environment replace one or both.
    """
    remove_leftovers()
    home = Path(settings.NASWEB_HOME)
    try:
        with embedded.servers(
            home,
            postgres=settings.NASWEB_OWN_POSTGRES,
            redis=settings.NASWEB_OWN_REDIS,
            durable=False,
        ) as started:
            yield started
    finally:
        shutil.rmtree(home, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove the folders of test runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("nasweb-test-*"):
        number = folder.name.rsplit("-", 1)[-1]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def database_url(database: dict[str, Any]) -> str:
    """Return the address of a Django database, such as the one of this test."""
    credentials = quote(database["USER"], safe="")
    if database["PASSWORD"]:
        credentials += ":" + quote(database["PASSWORD"], safe="")
    options = {**database["OPTIONS"], "host": database["HOST"]}
    port = f":{database['PORT']}" if database["PORT"] else ""
    host = "localhost" if port else ""
    name = quote(database["NAME"], safe="")
    return f"postgresql://{credentials}@{host}{port}/{name}?{urlencode(options)}"


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child that works on the database of this test."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "nasweb.settings.test",
        "NASWEB_HOME": str(settings.NASWEB_HOME),
        "NASWEB_RUNS_DIR": str(settings.NASWEB_RUNS_DIR),
        "NASWEB_ARTEFACTS_DIR": str(settings.NASWEB_ARTEFACTS_DIR),
        "NASWEB_DATA_ROOT": str(settings.NASWEB_DATA_ROOT),
        "DATABASE_URL": database_url(connection.settings_dict),
        "REDIS_URL": settings.REDIS_URL,
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def wait_until(
    condition: Callable[[], Any], *, seconds: float = 30.0, what: str = "it"
) -> Any:
    """Return the first true answer of ``condition``, or fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s for {what} in vain")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_group(process: subprocess.Popen[Any], seconds: float = 10.0) -> None:
    """End a child and all that it has started, engine processes too."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _, alive = psutil.wait_procs(family, timeout=2)
    for child in alive:
        child.kill()


@contextmanager
def _child(
    command: list[str], log: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        yield process
    finally:
        stop_group(process)


@contextmanager
def running_worker(
    name: str = "test",
    *,
    slots: int = 1,
    queues: str = "",
    ready_on_entry: bool = True,
    **changes: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real Celery worker until the block ends; it is ready on entry, or later
    for those that wait for its jobs and have something else to start meanwhile.

    ``changes`` are environment variables, such as ``NASWEB_LEASE_SECONDS="3"``.
    """
    from nasweb.processes import worker_command

    log = Path(settings.NASWEB_HOME) / "log" / f"worker-{name}.log"
    command = worker_command(name=name, cpu_slots=slots)
    changes |= {"NASWEB_CPU_SLOTS": str(slots), "NASWEB_QUEUES": queues}
    with _child(command, log, environment(**changes)) as process:

        def ready() -> bool:
            text = log.read_text(errors="replace")
            assert process.poll() is None, f"the worker ended:\n{text}"
            return "Ready for" in text

        if ready_on_entry:
            wait_until(ready, seconds=60, what="the worker")
        yield process


@contextmanager
def running_housekeeping(**changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real housekeeping until the block ends; it is ready on entry."""
    from nasweb.processes import housekeeping_command

    log = Path(settings.NASWEB_HOME) / "log" / "housekeeping.log"
    with _child(housekeeping_command(), log, environment(**changes)) as process:

        def ready() -> bool:
            text = log.read_text(errors="replace")
            assert process.poll() is None, f"the housekeeping ended:\n{text}"
            return "Ready for" in text

        wait_until(ready, seconds=60, what="the housekeeping")
        yield process


@contextmanager
def running_site(**changes: str) -> Iterator[str]:
    """Run the real site on a free port until the block ends; yield its address."""
    from nasweb.processes import site_command

    port = free_port()
    log = Path(settings.NASWEB_HOME) / "log" / f"site-{port}.log"
    address = f"http://127.0.0.1:{port}"
    command = site_command("127.0.0.1", port)
    with _child(command, log, environment(**changes)) as process:

        def ready() -> bool:
            text = log.read_text(errors="replace")
            assert process.poll() is None, f"the site ended:\n{text}"
            return answers(f"{address}/healthz")

        wait_until(ready, seconds=60, what="the site")
        yield address


def answers(url: str) -> bool:
    """Say whether a server answers there with anything but an error of its own."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
