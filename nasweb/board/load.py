"""Load of slots: small bars of the last hour, drawn by the server; a day's means."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import connection

BARS = 40
BAR_SECONDS = 90
WIDTH, HEIGHT, STEP = 160, 18, 4


@dataclass(frozen=True)
class Bars:
    """Utilisation as one SVG path, and what it shows in words."""

    path: str
    words: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Moment:
    """The mean load of a slot's device over a few minutes."""

    minutes_ago: float
    utilisation: float | None
    memory_gib: float | None
    temperature: float | None
    power: float | None


def last_hour(slots: Collection[int]) -> dict[int, Bars]:
    """Return the bars of these slots; those without a sample have none; one query."""
    if not slots:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT slot_id,
                   floor(extract(epoch FROM now() - at) / %s)::int AS bar,
                   avg(utilisation)
            FROM searchjobs_slotsample
            WHERE slot_id = ANY(%s) AND utilisation IS NOT NULL
              AND at > now() - make_interval(secs => %s)
            GROUP BY slot_id, bar
            """,
            [BAR_SECONDS, [*slots], BARS * BAR_SECONDS],
        )
        rows = cursor.fetchall()
    means: dict[int, dict[int, float]] = {}
    for slot, ago, mean in rows:
        means.setdefault(slot, {})[max(ago, 0)] = float(mean)
    return {slot: bars(found) for slot, found in means.items()}


def bars(means: Mapping[int, float]) -> Bars:
    """Draw per cents by how many bars ago they were; the newest stands right."""
    path = ""
    for ago in sorted(means, reverse=True):
        tall = max(1, round(min(means[ago], 100.0) / 100 * HEIGHT))
        path += f"M{WIDTH - STEP * (ago + 1)} {HEIGHT}v-{tall}h{STEP - 1}v{tall}z"
    mean = sum(means.values()) / len(means)
    return Bars(path, f"Mean utilisation of the last hour: {mean:.0f} %")


def last_day(slot: int, hours: int = 24, minutes: int = 5) -> list[Moment]:
    """Return a slot's load, a mean every few minutes, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT floor(extract(epoch FROM now() - at) / %(step)s) AS ago,
                   avg(utilisation), avg(memory_used_mib), avg(temperature), avg(power)
            FROM searchjobs_slotsample
            WHERE slot_id = %(slot)s AND at > now() - make_interval(hours => %(hours)s)
            GROUP BY ago ORDER BY ago DESC
            """,
            {"step": 60 * minutes, "slot": slot, "hours": hours},
        )
        rows = cursor.fetchall()
    return [
        Moment(
            minutes * (float(ago) + 0.5),
            _number(utilisation),
            _number(memory, 1 / 1024),
            _number(temperature),
            _number(power),
        )
        for ago, utilisation, memory, temperature, power in rows
    ]


def _number(value: float | None, scale: float = 1.0) -> float | None:
    return None if value is None else float(value) * scale
