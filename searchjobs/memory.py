"""Whether the kernel has ended a process here for lack of memory."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
SYSTEM = Path("/proc/vmstat")


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
