"""Whether the kernel has ended a process here for lack of memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
SYSTEM = Path("/proc/vmstat")
#: What may pass between a kill by the kernel and the end of the engine: the process
#: gives its memory and its GPU back first, and others of its search say last words.
SPAN_SECONDS = 30.0
#: How often the counter is read.
LOOK_SECONDS = 1.0


def kills(cgroups: Path = CGROUPS, own: Path = OWN, system: Path = SYSTEM) -> int:
    """Return how many processes the kernel has ended for lack of memory so far.

    In this process's control group (version 2, then 1), else on the whole machine; 0
    where nobody counts.
    """
    for path in (*_counters(cgroups, own), system):
        found = _read(path)
        if found is not None:
            return found
    return 0


class Shortage:
    """Tell whether the kernel has just ended a process here for lack of memory.

    The counter is that of all processes of the group or machine.  What it grew since
    the start of a long search may be another one's kill of hours ago, and what it grew
    since the last look may leave out our own: so the last moments count.  ``look`` as
    long as the engine lives, and ask ``has_come`` as soon as it does not.
    """

    def __init__(
        self,
        count: Callable[[], int] = kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count, self._clock = count, clock
        #: Moments in seconds, and the counter then; the first is the one to compare to.
        self._readings = deque([(clock(), count())])

    def look(self) -> None:
        """Read the counter if it is time to, and forget what is too long ago."""
        now = self._clock()
        if now < self._readings[-1][0] + LOOK_SECONDS:
            return
        self._readings.append((now, self._count()))
        while self._readings[1][0] <= now - SPAN_SECONDS:
            self._readings.popleft()

    def has_come(self) -> bool:
        """Say whether a process was ended in the last ``SPAN_SECONDS``, or since the
        last look if that is longer ago."""
        return self._count() > self._readings[0][1]


def _counters(cgroups: Path, own: Path) -> list[Path]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            found.append(cgroups / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(cgroups / "memory" / path.lstrip("/") / "memory.oom_control")
            # A container sees its own group as the root.
            found.append(cgroups / "memory" / "memory.oom_control")
    return found


def _read(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
    count = counts.get("oom_kill", "")
    return int(count) if count.isdecimal() else None
