"""What the teams used of the devices: hours by day, from the attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection
from django.utils import timezone


@dataclass(frozen=True)
class Used:
    """What a team used of a kind of device on a day (UTC)."""

    day: date
    team_id: int
    team: str
    device: str
    hours: float


def device_hours(days: int = 7, now: datetime | None = None) -> list[Used]:
    """Return device hours by day, team and kind of device, of the last days.

    The window is whole days in UTC and ends with the day of ``now``, the moment of the
    call if none is given: a page that names the days itself gives the moment for which
    it names them, or midnight could fall between the two.  An attempt counts for each
    of its devices, on each day for the part that lies in it; one that still runs
    counts up to ``now``.  Days on which a team used nothing have no row.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH spent AS (
                SELECT team_id, device, devices,
                       timezone('UTC', started) AS started,
                       timezone('UTC',
                           coalesce(ended, greatest(%(now)s, started))) AS ended
                FROM searchjobs_attempt
                WHERE ended IS NULL OR ended > timezone('UTC',
                    date_trunc('day', timezone('UTC', %(now)s))
                    - make_interval(days => %(days)s - 1))
            ), each_day AS (
                SELECT day, day + interval '1 day' AS next
                FROM generate_series(
                    date_trunc('day', timezone('UTC', %(now)s))
                        - make_interval(days => %(days)s - 1),
                    date_trunc('day', timezone('UTC', %(now)s)),
                    interval '1 day'
                ) AS day
            )
            SELECT each_day.day::date, team.id, team.name, spent.device,
                   sum(spent.devices * extract(epoch FROM
                       least(spent.ended, each_day.next)
                       - greatest(spent.started, each_day.day))) / 3600
            FROM spent
            JOIN each_day ON spent.started < each_day.next
                AND spent.ended > each_day.day
            JOIN searchjobs_team team ON team.id = spent.team_id
            GROUP BY each_day.day, team.id, team.name, spent.device
            ORDER BY each_day.day, team.name, spent.device
            """,
            {"days": days, "now": now or timezone.now()},
        )
        return [
            Used(day, team_id, team, device, float(hours))
            for day, team_id, team, device, hours in cursor.fetchall()
        ]


def totals(used: Iterable[Used]) -> dict[str, dict[str, float]]:
    """Return the hours by kind of device and name of the team, most first."""
    found: dict[str, dict[str, float]] = {}
    for each in used:
        teams = found.setdefault(each.device, {})
        teams[each.team] = teams.get(each.team, 0.0) + each.hours
    return {
        device: dict(sorted(teams.items(), key=lambda item: -item[1]))
        for device, teams in sorted(found.items())
    }
