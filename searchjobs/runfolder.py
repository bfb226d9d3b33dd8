"""The folder of a job: events, log, checkpoints, and the lock of its engine.

Each attempt marks the folder with its fence.  A mark that is not the newest tells that
the job has gone on elsewhere meanwhile: what lies here is stale then, and goes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import psutil
from django.conf import settings

from .claims import Claim
from .engine import eventlog
from .engine.files import write_whole
from .fencing import StaleAttemptError
from .models import Attempt, Job
from .states import HELD

logger = logging.getLogger(__name__)

LOG_LINES = 200
#: Bytes of the log that are searched for its last lines.
LOG_WINDOW = 64 * 1024
#: A supervisor that lost its lease notices at its next beat and stops its engine.
LOCK_WAIT_SECONDS = 30.0
#: What the kernel is given to end what was killed.
KILL_SECONDS = 5.0
#: Tells the processes of an engine whose they are, by which they are found.
FAMILY = "NASWEB_ENGINE_OF"
#: Tells them the number of their attempt.
ATTEMPT = "NASWEB_ENGINE_ATTEMPT"
LOCK = "lock"
#: Holds the number of the last attempt that worked in a folder.
MARK = "fence"


class FolderBusyError(RuntimeError):
    """Another engine still writes here; the message is a sentence."""


def folder_of(job: UUID | str) -> Path:
    """Return the folder of a job's files; it may not be there yet."""
    return Path(settings.NASWEB_RUNS_DIR) / str(job)


class EventFile:
    """Read ``events.jsonl`` while the engine writes it: whole lines, each once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / eventlog.NAME
        self.offset = 0

    def unread(self) -> Iterator[bytes]:
        """Yield the new lines.  A line counts as read when the next is asked for, so
        one whose recording failed comes again."""
        if self._size() <= self.offset:
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield line
                self.offset += len(line)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def log_path(folder: Path) -> Path:
    """Return the file that takes the engine's standard error."""
    return folder / "engine.log"


def log_tail(folder: Path) -> str:
    """Return the last lines of the log, at most ``LOG_LINES``."""
    try:
        with log_path(folder).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_WINDOW))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    # PostgreSQL stores no NUL in text.
    return "\n".join(text.replace("\0", "").splitlines()[-LOG_LINES:])


def prepare(folder: Path, claim: Claim) -> bool:
    """Remove from a locked folder what does not belong to this job any more.

    Its files are trusted if no attempt since the one that marked it has recorded an
    epoch (that one ran elsewhere, or it would have marked the folder), and nobody has
    queued the job from its start since.  Otherwise all but the log goes.

    Returns:
        True if checkpoints and events here go on from where the rows stand; False if
        the newest checkpoint, if there is one, is in the shared storage only.

    Raises:
        StaleAttemptError: a later attempt has worked here already.
    """
    last = marked(folder)
    if last > claim.fence:
        raise StaleAttemptError
    begun_anew = claim.files_from > 1 and last < claim.files_from
    elsewhere = Attempt.objects.filter(
        job_id=claim.job_id, number__gt=last, number__lt=claim.fence, epochs__gt=0
    )
    if not begun_anew and not elsewhere.exists():
        return True
    for path in folder.iterdir():
        if path.name in {LOCK, log_path(folder).name}:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return False


def mark(folder: Path, fence: int) -> None:
    """Write into the folder which attempt works there from now on."""
    write_whole(folder / MARK, f"{fence}\n".encode())


def marked(folder: Path) -> int:
    """Return the last attempt that worked in the folder; 0: it says of none."""
    try:
        said = (folder / MARK).read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return 0
    return int(said) if said.strip().isdecimal() else 0


@contextmanager
def locked(
    folder: Path, fence: int, seconds: float = LOCK_WAIT_SECONDS
) -> Iterator[int]:
    """Hold the lock of the folder for the attempt ``fence``; give its descriptor.

    An engine that inherits the descriptor holds the lock for as long as it lives, so
    not even one whose supervisor has died or sleeps can write here beside its
    successor: on this machine it is killed, on another one we wait for it.

    Raises:
        FolderBusyError: an engine on another machine is still there after ``seconds``.
        StaleAttemptError: the engine there is that of a later attempt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for_lock(descriptor, folder, fence, seconds)
        os.ftruncate(descriptor, 0)  # the last holder's number may be anybody's
        kill_family(family_of(folder))
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, folder: Path, fence: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            host, pid = _holder(descriptor)
            if marked(folder) > fence:
                raise StaleAttemptError from None
            if time.monotonic() > until:
                raise FolderBusyError(
                    f"An engine on {host or 'another machine'} still works in this "
                    "run's folder. The run is tried again until that one has ended; "
                    "if it does not, stop it there."
                ) from None
            if host == socket.gethostname() and pid:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                kill_family(family_of(folder))
            time.sleep(0.1)


def name_holder(descriptor: int, pid: int) -> None:
    """Write into the lock file who holds it: the engine's process group."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{socket.gethostname()} {pid}".encode(), 0)


def _holder(descriptor: int) -> tuple[str, int]:
    words = os.pread(descriptor, 300, 0).decode().split()
    if len(words) != 2 or not words[1].isdigit():
        return "", 0
    return words[0], int(words[1])


def family_of(folder: Path) -> str:
    """Return how the marks of all engines of this folder begin."""
    return f"{folder}#"


def kill_family(mark: str) -> None:
    """Kill every process on this machine whose mark begins like this.

    An engine and all that it has started have a mark in their environment, also those
    that left the engine's process group, or whose parent has died.
    """
    _kill(
        process
        for process in psutil.process_iter()
        if _environment(process).get(FAMILY, "").startswith(mark)
    )


def end_stale_engines() -> None:
    """Kill the engines on this machine whose job has gone on, or ended, without them.

    Their supervisors are frozen, or would have done it: until these wake up, the
    engines hold GPUs that the rows call free.  What belongs to another installation is
    left alone, and so is what the rows do not know.
    """
    # First the processes, then the rows: an engine has its job before it begins.
    engines = [
        (process, *whose)
        for process in psutil.process_iter()
        if (whose := _whose(_environment(process)))
    ]
    if not engines:
        return
    jobs = {job for _, job, _ in engines}
    rows = Job.objects.filter(uuid__in=jobs).values_list("uuid", "fence", "state")
    holders = {job: fence if state in HELD else 0 for job, fence, state in rows}
    stale = [
        (process, job, attempt)
        for process, job, attempt in engines
        if holders.get(job, attempt) != attempt
    ]
    for job, attempt in {(job, attempt) for _, job, attempt in stale}:
        logger.warning(
            "The engine of attempt %d of job %s still ran here, though the job has "
            "gone on or ended without it: it was ended.",
            *(attempt, job),
        )
    _kill(process for process, _, _ in stale)


def _whose(environment: Mapping[str, str]) -> tuple[UUID, int] | None:
    """Return job and attempt of an engine of this installation, by its marks."""
    folder = Path(environment.get(FAMILY, "").rpartition("#")[0])
    attempt = environment.get(ATTEMPT, "")
    if folder.parent != Path(settings.NASWEB_RUNS_DIR) or not attempt.isdecimal():
        return None
    try:
        return UUID(folder.name), int(attempt)
    except ValueError:
        return None


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Kill them, and wait until the kernel has ended them."""
    found = list(processes)
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    until = time.monotonic() + KILL_SECONDS
    while not all(map(_has_ended, found)) and time.monotonic() < until:
        time.sleep(0.01)


def _has_ended(process: psutil.Process) -> bool:
    """Say so without reaping it: its exit code is for its parent."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):  # it is another's, or has just ended
        return {}
