"""How long jobs waited in their queues before an attempt began, each wait by itself."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from searchjobs.models import Attempt

Outcome = Attempt.Outcome
DAY = timedelta(hours=24)
#: After these a job goes back to its queue by itself.
BACK = (Outcome.LOST, Outcome.INTERRUPTED, Outcome.BUSY)
#: What people do that puts a job into its queue anew.
ANEW = ("resume", "requeue", "restart")


def medians(last: timedelta = DAY) -> dict[str, float]:
    """Return by queue the median seconds that the attempts of the last time waited.

    Each attempt has a wait of its own.  It began with the launch, with the end of the
    attempt before if the job went back by itself, or with the resume or requeue that
    a person asked for.  A job knows the newest of these moments; for attempts of
    before, the audit log tells when they were asked for.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT queue_name, percentile_cont(0.5) WITHIN GROUP
                (ORDER BY extract(epoch FROM started - since))
            FROM (
                SELECT attempt.queue_name, attempt.started, greatest(
                    CASE WHEN job.queued <= attempt.started THEN job.queued END,
                    CASE WHEN former.ended IS NULL AND job.created <= attempt.started
                        THEN job.created END,
                    CASE WHEN former.outcome = ANY(%(back)s) THEN former.ended END,
                    asked.at) AS since
                FROM searchjobs_attempt attempt
                JOIN searchjobs_job job ON job.id = attempt.job_id
                LEFT JOIN LATERAL (
                    SELECT outcome, ended FROM searchjobs_attempt
                    WHERE job_id = attempt.job_id AND number < attempt.number
                    ORDER BY number DESC LIMIT 1
                ) former ON true
                LEFT JOIN LATERAL (
                    SELECT max(event.at) AS at FROM searchjobs_auditevent event
                    WHERE attempt.started < job.queued
                      AND event.at <= attempt.started
                      AND event.at >= coalesce(former.ended, job.created)
                      AND event.object_type = 'job' AND event.verb = ANY(%(anew)s)
                      AND event.object_id = job.uuid::text
                ) asked ON true
                WHERE attempt.started > now() - make_interval(secs => %(last)s)
            ) waits
            WHERE since IS NOT NULL GROUP BY queue_name
            """,
            {"back": [*map(str, BACK)], "anew": [*ANEW], "last": last.total_seconds()},
        )
        return {name: float(seconds) for name, seconds in cursor.fetchall()}
