"""In which order waiting jobs start, and how much each team has used.

Priority first; then a fair share: the team that has used the least of the devices in
the last 24 hours; then the position that people gave; then age.  The claim of a slot
and the forecast on the pages follow this one rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

#: What a team used before counts no more.
WINDOW = timedelta(hours=24)
#: A job counts for so much as soon as it starts: otherwise one team would take all
#: slots that become free at one moment.
LEAST_SECONDS = 60.0


@dataclass(frozen=True)
class Waiting:
    """What the order asks of a waiting job."""

    job_id: int
    queue_id: int
    team_id: int
    author_id: int
    priority: int
    position: int
    devices: int


def order_key(job: Waiting, used: Mapping[int, float]) -> tuple[float, ...]:
    """Return the key by which waiting jobs are sorted; the smallest starts first.

    Args:
        job: the waiting job.
        used: device seconds by team (``device_seconds``); none: nothing used.
    """
    return (-job.priority, used.get(job.team_id, 0.0), job.position, job.job_id)


def device_seconds(device: str, window: timedelta = WINDOW) -> dict[int, float]:
    """Return the seconds on this kind of device by team, within the window to now.

    An attempt on several devices counts for each; one that still runs counts for at
    least ``LEAST_SECONDS``.
    """
    seconds = window.total_seconds()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT job.team_id, sum(attempt.devices * greatest(
                CASE WHEN attempt.ended IS NULL THEN %s ELSE 0 END,
                extract(epoch FROM coalesce(attempt.ended, now())
                    - greatest(attempt.started, now() - make_interval(secs => %s)))))
            FROM searchjobs_attempt attempt
            JOIN searchjobs_job job ON job.id = attempt.job_id
            WHERE attempt.device = %s
              AND (attempt.ended IS NULL
                   OR attempt.ended > now() - make_interval(secs => %s))
            GROUP BY job.team_id
            """,
            [LEAST_SECONDS, seconds, device, seconds],
        )
        return {team: float(seconds) for team, seconds in cursor.fetchall()}


def heads(
    queue_id: int,
    *,
    most_devices: int,
    passed: Collection[int] = (),
    full_teams: Collection[int] = (),
    full_users: Collection[int] = (),
) -> list[Waiting]:
    """Return the first job of each team in a queue, by priority, position and age.

    Args:
        queue_id: the queue.
        most_devices: jobs that need more than this are left out.
        passed: keys of jobs to leave out.
        full_teams: keys of teams that may start nothing more in this queue.
        full_users: keys of users that may start nothing more in this queue.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT head.id, head.queue_id, head.team_id, head.author_id,
                   head.priority, head.position, head.devices
            FROM searchjobs_team team
            CROSS JOIN LATERAL (
                SELECT * FROM searchjobs_job job
                WHERE job.queue_id = %s AND job.team_id = team.id
                  AND job.state = 'queued' AND NOT job.held
                  AND job.devices <= %s
                  AND job.author_id <> ALL(%s::int[]) AND job.id <> ALL(%s::bigint[])
                ORDER BY job.priority DESC, job.position, job.id
                LIMIT 1
            ) head
            WHERE team.id <> ALL(%s::bigint[])
            """,
            [queue_id, most_devices, [*full_users], [*passed], [*full_teams]],
        )
        return [Waiting(*row) for row in cursor.fetchall()]
