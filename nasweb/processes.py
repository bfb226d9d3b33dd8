"""The processes of an installation: their command lines, and how to keep them.

A child has a session of its own, so that Ctrl-C reaches only who started it, and
dies with its parent, whatever kills the parent.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from searchjobs.bell import slots_queue
from searchjobs.engine.orphans import die_with_parent
from searchjobs.workers import slots_offered

CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "nasweb", "worker")
#: A worker gives its jobs back within seconds: their engines get two to end.
STOP_SECONDS = 30.0
FIRST_PORT, LAST_PORT = 8000, 8100


def worker_command(*, name: str, cpu_slots: int | None = None) -> list[str]:
    """Return the worker that runs jobs: one slot a process of its pool.

    A slot for each GPU, and ``cpu_slots`` for jobs of the CPU, which must be
    ``NASWEB_CPU_SLOTS`` of the worker's environment; None: as our settings say.
    """
    node = f"{name}@{socket.gethostname()}"
    slots = max(1, len(slots_offered(cpu_slots)))
    return [
        *(*CELERY, "--hostname", node, "--pool", "prefork"),
        *("--concurrency", str(slots), "--queues", slots_queue(node)),
        *("--without-mingle", "--without-gossip"),
    ]


def housekeeping_command() -> list[str]:
    """Return the process that keeps time and frees lost jobs, without a broker."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "housekeeping"]


def site_command(host: str, port: int) -> list[str]:
    """Return the ASGI server of the site."""
    return [
        *(sys.executable, "-m", "uvicorn", "nasweb.asgi:application"),
        *("--host", host, "--port", str(port), "--log-level", "warning"),
        *("--no-access-log", "--lifespan", "off"),
        *("--timeout-graceful-shutdown", "2"),  # live streams never end by themselves
    ]


class PortError(Exception):
    """There is no port for the site; the message is one sentence."""


def choose_port(host: str, wanted: int) -> int:
    """Return the wanted port if it is free, or without a wish the first free one."""
    if wanted:
        if not _is_free(host, wanted):
            raise PortError(
                f"Port {wanted} is in use; stop what uses it, or set PORT to another."
            )
        return wanted
    for port in range(FIRST_PORT, LAST_PORT):
        if _is_free(host, port):
            return port
    raise PortError(
        f"All ports from {FIRST_PORT} to {LAST_PORT - 1} are in use, or {host} is not "
        "an address of this machine; set PORT or NASWEB_BIND."
    )


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@dataclass
class Child:
    """A process that we keep; ``say`` gets its output line by line."""

    name: str
    command: list[str]
    folder: Path
    say: Callable[[str, str], None]
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        threading.Thread(target=self._relay, args=[self.process], daemon=True).start()

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                self.say(self.name, line.rstrip())

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait until the process has ended, then end what is left of its session."""
        if self.process is None:
            return
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.say(self.name, f"did not end within {STOP_SECONDS:g} s: killed")
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def stop_all(children: Sequence[Child]) -> None:
    """Ask all to end, then wait for each; nothing of them is left afterwards."""
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        child.ask_to_end()
    for child in children:
        child.wait(max(0.0, deadline - time.monotonic()))
