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
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH past AS (SELECT now() - make_interval(secs => %(window)s) AS begin),
            spent AS (
                SELECT team_id, devices, greatest(%(least)s,
                    extract(epoch FROM now() - greatest(started, begin))) AS seconds
                FROM searchjobs_attempt, past
                WHERE device = %(device)s AND ended IS NULL
              UNION ALL
                SELECT team_id, devices,
                    extract(epoch FROM ended - greatest(started, begin))
                FROM searchjobs_attempt, past
                WHERE device = %(device)s AND ended > begin
            )
            SELECT team_id, sum(devices * seconds) FROM spent
            GROUP BY team_id
            """,
            {
                "least": LEAST_SECONDS,
                "window": window.total_seconds(),
                "device": device,
            },
        )
        return {team: float(seconds) for team, seconds in cursor.fetchall()}


def heads(queues: Collection[int], passed: Collection[int] = ()) -> list[Waiting]:
    """Return the jobs of these queues that can be next, whatever the limits are.

    They are the first, by priority, position and age, of each team, user and number
    of devices in each queue: of all others one of these goes first, and is refused
    by the same limits.  Each costs one look into the index, however many jobs wait.

    Args:
        queues: keys of the queues.
        passed: keys of jobs to leave out.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE head AS (
                SELECT first.*
                FROM unnest(%(queues)s::bigint[]) AS asked(queue_id)
                CROSS JOIN LATERAL (
                    SELECT id, queue_id, team_id, author_id, priority, position, devices
                    FROM searchjobs_job job
                    WHERE job.queue_id = asked.queue_id
                      AND job.state = 'queued' AND NOT job.held
                      AND coalesce(job.not_before <= now(), true)
                      AND job.id <> ALL(%(passed)s::bigint[])
                    ORDER BY job.queue_id, job.team_id, job.author_id, job.devices,
                             job.priority DESC, job.position, job.id
                    LIMIT 1
                ) AS first
              UNION ALL
                SELECT next.*
                FROM head
                CROSS JOIN LATERAL (
                    SELECT id, queue_id, team_id, author_id, priority, position, devices
                    FROM searchjobs_job job
                    WHERE job.queue_id = head.queue_id
                      AND (job.team_id, job.author_id, job.devices)
                          > (head.team_id, head.author_id, head.devices)
                      AND job.state = 'queued' AND NOT job.held
                      AND coalesce(job.not_before <= now(), true)
                      AND job.id <> ALL(%(passed)s::bigint[])
                    ORDER BY job.queue_id, job.team_id, job.author_id, job.devices,
                             job.priority DESC, job.position, job.id
                    LIMIT 1
                ) AS next
            )
            SELECT id, queue_id, team_id, author_id, priority, position, devices
            FROM head
            """,
            {"queues": [*queues], "passed": [*passed]},
        )
        return [Waiting(*row) for row in cursor.fetchall()]
