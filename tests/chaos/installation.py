"""A whole installation that faults may hit: two workers, clock and site, which are
started again when they die, as by a service manager; PostgreSQL and Redis, which the
faults stop and start."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

from nasweb.embedded import Server
from nasweb.processes import housekeeping_command, site_command, worker_command
from searchjobs.engine.orphans import die_with_parent
from tests.servers import ROOT, answers, environment, free_port, wait_until

LEASE_SECONDS = 6
QUICK = {
    "NASWEB_LEASE_SECONDS": str(LEASE_SECONDS),
    "NASWEB_BEAT_SECONDS": "1",
    # The faults come from outside and hit the same job again and again, often before
    # it has done an epoch: that must not count as the job's own doing here.
    "NASWEB_RETRIES": "1000",
    "NASWEB_CPU_SLOTS": "1",
}
#: Every process of an installation carries its folder in this variable.
MARK = "CHAOS_INSTALLATION"
#: Of the environment: the seed of the plan to repeat.
SEED = "NASWEB_CHAOS_SEED"
RESTART_SECONDS = 0.5
WORKERS = ("one", "two")


@dataclass
class Kept:
    """A process of ours, and when it is started again if it has ended."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0
    frozen: bool = False

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    def keep(self) -> None:
        """Start it again if it has ended and its pause is over."""
        if self.is_running() or time.monotonic() < self.not_before:
            return
        if self.process is not None:
            # What is left of its session goes first, as with a container.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.frozen = False
        self.start()
        self.not_before = 0.0

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, number: signal.Signals, pause: float = RESTART_SECONDS) -> None:
        """Send a signal that ends it; it comes back after ``pause`` seconds."""
        assert self.process is not None
        self.not_before = time.monotonic() + pause
        self.process.send_signal(number)

    def family(self) -> list[psutil.Process]:
        """Return the process and all that come from it, the eldest first."""
        if self.process is None or not self.is_running():
            return []
        with suppress(psutil.NoSuchProcess):
            eldest = psutil.Process(self.process.pid)
            return [eldest, *eldest.children(recursive=True)]
        return []

    def engine(self) -> psutil.Process | None:
        """Return the engine that runs under this worker, if one does."""
        return next(filter(is_engine, self.family()), None)


@dataclass
class Installation:
    """What runs, and what is still to be mended, with the time when."""

    postgres: Server
    redis: Server
    workers: list[Kept]
    clock: Kept
    site: Kept
    address: str
    mends: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def kept(self) -> list[Kept]:
        return [*self.workers, self.clock, self.site]

    def keep(self) -> None:
        """Start again what has ended, and mend what is due."""
        now = time.monotonic()
        due = [mend for when, mend in self.mends if when <= now]
        self.mends = [(when, mend) for when, mend in self.mends if when > now]
        for mend in due:
            mend()
        for each in self.kept:
            each.keep()

    def mend_after(self, seconds: float, mend: Callable[[], None]) -> None:
        self.mends.append((time.monotonic() + seconds, mend))

    def mend_all(self) -> None:
        """Mend all faults now, in their order."""
        for _, mend in sorted(self.mends, key=lambda each: each[0]):
            mend()
        self.mends = []


@contextmanager
def installation(servers: list[Server]) -> Iterator[Installation]:
    """Run an installation on the database of this test until the block ends.

    Afterwards the servers run, and nothing else does, however the block ended.
    """
    by_name = {server.name: server for server in servers}
    assert by_name.keys() == {"postgres", "redis"}, (
        "the faults stop PostgreSQL and Redis: unset DATABASE_URL and REDIS_URL, so "
        "that the tests start their own"
    )
    home = Path(settings.NASWEB_HOME)
    env = environment(**QUICK, **{MARK: str(home)})
    env.pop(SEED, None)  # no setting of the site, which would say so
    logs = home / "log"
    port = free_port()

    def kept(name: str, command: list[str], **changes: str) -> Kept:
        return Kept(name, command, {**env, **changes}, logs / f"chaos-{name}.log")

    def worker(name: str) -> Kept:
        # A folder of its own, as on a machine of its own: what another worker is to
        # go on from comes by the shared storage.
        folder = str(home / f"runs-{name}")
        command = worker_command(name=name, cpu_slots=1)
        return kept(name, command, NASWEB_RUNS_DIR=folder)

    running = Installation(
        postgres=by_name["postgres"],
        redis=by_name["redis"],
        workers=[worker(name) for name in WORKERS],
        clock=kept("clock", housekeeping_command()),
        site=kept("site", site_command("127.0.0.1", port)),
        address=f"http://127.0.0.1:{port}",
    )
    try:
        running.keep()
        _wait_for(running)
        yield running
    finally:
        running.mends = []
        stop(running)
        connection.close()
        for server in servers:
            if not server.is_running():
                server.start()


def _wait_for(running: Installation) -> None:
    for each in [*running.workers, running.clock]:
        log = each.log
        wait_until(
            lambda log=log: "Ready for" in log.read_text(errors="replace"),
            seconds=120,
            what=each.name,
        )
    wait_until(lambda: answers(f"{running.address}/healthz"), seconds=120, what="site")


def stop(running: Installation) -> None:
    """Ask all processes to end, and end those that do not."""
    for each in running.kept:
        if each.process is not None and each.is_running():
            each.process.send_signal(signal.SIGCONT)
            each.process.send_signal(signal.SIGTERM)
    for each in running.kept:
        if each.process is not None:
            with suppress(subprocess.TimeoutExpired):
                each.process.wait(20)
    for left in processes_left():
        left.kill()
    for each in running.kept:
        if each.process is not None:
            each.process.wait()


def processes_left() -> list[psutil.Process]:
    """Return the processes of this test's installation that live."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.environ().get(MARK) == str(settings.NASWEB_HOME)
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_engine(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "searchjobs.engine" in process.cmdline()
    return False
