"""What a run may use: time, room for its files, and silence."""

from __future__ import annotations

import math
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from .engine import eventlog
from .queueing import Allowance
from .states import State
from .verdict import Outcome, Verdict, out_of_space

#: How often the files of a run are measured.
MEASURE_SECONDS = 10.0
#: Between two looks no more than this counts as silence: this process may have slept.
LOOK_SECONDS = 5.0
MIB, GIB = 2**20, 2**30


class Limits:
    """Watch what one attempt uses; ask ``exceeded`` at every tick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allow(Allowance())
        self._measured = -math.inf
        self._told = -1
        self._silent = 0.0
        self._looked = time.monotonic()

    def allow(self, allowance: Allowance) -> None:
        """Take over what the queue allows from now on."""
        self._allowance = allowance
        left = allowance.seconds_left
        self._until = math.inf if left is None else time.monotonic() + left

    def exceeded(self) -> Verdict | None:
        """Return the end of a run that has used up one of its limits, else None."""
        if time.monotonic() >= self._until:
            return self._out_of_time()
        return self._over_disk() or self._stalled()

    def _out_of_time(self) -> Verdict:
        return Verdict(
            State.FAILED,
            Outcome.TIME,
            f"The run has used the {self._allowance.max_hours:g} hours that its queue "
            "allows. Ask an administrator to raise the limit, or move the run to "
            "another queue; then queue it again, and it goes on from its last "
            "checkpoint.",
        )

    def _over_disk(self) -> Verdict | None:
        most, now = self._allowance.most_bytes, time.monotonic()
        if most is None or now < self._measured + MEASURE_SECONDS:
            return None
        self._measured = now
        used = sum(_sizes(self.folder))
        if used <= most:
            return None
        return Verdict(
            State.FAILED,
            Outcome.DISK,
            f"The files of the run take {used / GIB:.3g} GiB, and its queue allows "
            f"{most / GIB:.3g} GiB. Ask an administrator to raise the limit, or move "
            "the run to another queue; then queue it again, and it goes on from its "
            "last checkpoint.",
        )

    def _stalled(self) -> Verdict | None:
        """Judge an engine that has told nothing, not even progress, for too long."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        told = _size(self.folder / eventlog.NAME)
        if told != self._told:
            self._told, self._silent = told, 0.0
            return None
        self._silent += min(passed, LOOK_SECONDS)
        most = settings.NASWEB_STALL_SECONDS
        if not most or self._silent < most:
            return None
        return Verdict(
            State.FAILED,
            Outcome.STALLED,
            f"The engine told nothing for {most:,} s and was ended. Look at the log "
            "for what it waited for, such as a data set on a slow disk; then queue "
            "the run again, and it goes on from its last checkpoint.",
        )


def too_full(folder: Path) -> Verdict | None:
    """Return the pause of a run whose disk has too little room to begin, else None."""
    free, least = shutil.disk_usage(folder).free, settings.NASWEB_MIN_FREE_MB
    if free >= least * MIB:
        return None
    return out_of_space(
        f"The disk of the runs on {socket.gethostname()} has only {free // MIB:,} MB "
        f"left, and a run starts with {least:,} MB. Nothing of the run is lost: free "
        "some space there, then resume it."
    )


def _sizes(folder: Path) -> Iterator[int]:
    """Give the bytes of each file below a folder; files may go meanwhile."""
    for root, _, names in os.walk(folder):
        for name in names:
            yield _size(Path(root, name))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
