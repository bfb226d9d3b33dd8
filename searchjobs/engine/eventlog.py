"""The file of a run's events: whole lines in order, whatever ends their writer."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NAME = "events.jsonl"
#: Bytes that are searched at a time for the end of the last whole line.
WINDOW = 64 * 1024


class EventLog:
    """Append events to ``events.jsonl``; a line is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        drop_torn_line(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o644)
        self._end = os.fstat(self._descriptor).st_size

    def write(self, line: str, *, durable: bool = False) -> None:
        """Append one line, newline included.

        Args:
            line: the event.
            durable: wait until it is on the disk: what a checkpoint builds on must
                not be lost when the machine loses power.

        Raises:
            OSError: nothing of the line is left in the file.
        """
        content = line.encode()
        try:
            rest = content
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            if durable:
                os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(content)

    def close(self) -> None:
        os.close(self._descriptor)


def drop_torn_line(path: Path) -> None:
    """Cut off what a killed engine left of its last line."""
    try:
        file = path.open("rb+")
    except FileNotFoundError:
        return
    with file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - WINDOW)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
