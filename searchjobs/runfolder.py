"""The folder of a job: events, log, checkpoints, and the lock of its engine."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

LOG_LINES = 200
#: Bytes of the log that are searched for its last lines.
LOG_WINDOW = 64 * 1024
#: A supervisor that lost its lease notices at its next beat and stops its engine.
LOCK_WAIT_SECONDS = 30.0


class FolderBusyError(RuntimeError):
    """Another engine still writes here; the message is a sentence."""


def folder_of(job: UUID | str) -> Path:
    """Return the folder of a job's files; it may not be there yet."""
    return Path(settings.NASWEB_RUNS_DIR) / str(job)


class EventFile:
    """Read ``events.jsonl`` while the engine writes it: whole lines, each once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
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

    def drop_torn_line(self) -> None:
        """Cut off what a killed engine left of its last line."""
        size = self._size()
        if size == 0:
            return
        with self.path.open("rb+") as file:
            end = size
            while end > 0:
                start = max(0, end - LOG_WINDOW)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            if end < size:
                file.truncate(end)

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


def lock(folder: Path) -> int:
    """Lock the folder for one engine and return the open descriptor.

    The engine inherits the descriptor and holds the lock for as long as it lives,
    so not even an engine whose supervisor has died or sleeps can write here beside
    its successor: on this machine it is killed, on another one we wait for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)  # the last holder's number may be anybody's
            return descriptor
        except BlockingIOError:
            host, pid = _holder(descriptor)
            if time.monotonic() > until:
                os.close(descriptor)
                raise FolderBusyError(
                    f"An engine on {host or 'another machine'} still works in this "
                    "run's folder; stop it there, then queue the job again."
                ) from None
            if host == socket.gethostname() and pid:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
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
