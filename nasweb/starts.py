"""When each waiting job starts: rows -> ``nasweb.forecast``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from nasweb.estimates import Rate, Shape, kind_of, rates, shape_of
from nasweb.forecast import (
    Limits,
    Line,
    Place,
    Running,
    Span,
    Start,
    Why,
    forecast,
    line_of,
)
from nasweb.runs.status import SEARCH
from nasweb.runs.words import duration
from searchjobs.liveness import answering
from searchjobs.models import Attempt, AuditEvent, Job, Queue, Run, Slot
from searchjobs.order import Waiting, device_seconds
from searchjobs.states import HELD, State

#: For so long one answer serves all pages of a process.
SHARED_SECONDS = 3
_KEY = "starts"
#: Waiting jobs of a queue that are looked at.
MOST_JOBS = 200
#: A job that was told to pause or to stop gives its slot back in about this time.
LEAVING = Span(15.0)

_SPEC = (
    "spec__space",
    "spec__dataset__name",
    "spec__dataset__image_size",
    "spec__compute__backend",
)


@dataclass(frozen=True)
class _Row:
    """A job that runs or waits, as far as the forecast asks."""

    job: Waiting
    held: bool
    due: float
    state: str
    shape: Shape
    units: float | None
    done: float
    epoch: int
    epochs: int
    seconds: float
    progress: Mapping[str, Any]
    leaving: bool
    spent: float


def starts() -> dict[int, Start]:
    """Return place and start of the first waiting jobs of every queue, by their key.

    Pages of a process that look at the same moment share one answer.
    """
    found = cache.get_or_set(_KEY, starts_now, SHARED_SECONDS)
    return dict(found or {})


@receiver(post_save, sender=AuditEvent)
def _forget(**_: Any) -> None:
    """Play anew after each act on a job or a queue: who acts sees it at once."""
    transaction.on_commit(lambda: cache.delete(_KEY))


def starts_now() -> dict[int, Start]:
    """Play the queues forward from their rows: a fixed number of queries, whatever the
    number of jobs."""
    queues = list(Queue.objects.all())
    first = first_waiting()
    rows = _rows([*first])
    slots = list(Slot.objects.select_related("worker").filter(answering("worker")))
    places = [_place(slot, queues) for slot in slots]
    kinds = {place.kind for place in places}
    known = rates(Run.objects.all(), [row.shape for row in rows]) if rows else {}
    hours = {queue.pk: queue.max_hours for queue in queues}
    waiting = [row for row in rows if row.state == State.QUEUED]
    return forecast(
        places,
        _running(rows, known, hours),
        [row.job for row in waiting],
        {device: device_seconds(device) for device in Queue.Device.values},
        {queue.pk: _limits(queue) for queue in queues},
        {
            (row.job.job_id, kind): span
            for row in waiting
            for kind in kinds
            if (span := _duration(row, known.get((row.shape, kind)), hours))
        },
        held=[row.job.job_id for row in waiting if row.held],
        due={row.job.job_id: row.due for row in waiting if row.due > 0},
        cut=_cut(waiting, first),
    )


def words(start: Start | None) -> str:
    """Write when a job starts: ``starts in about 24 min ± 5``, or why it is unknown."""
    if start is None:
        return f"no estimate yet: {Why.FAR}"
    if start.seconds is None:
        return f"no estimate yet: {start.why}"
    return f"starts in about {about(start.seconds)}{give_or_take(start)}"


def about(seconds: float) -> str:
    """Write a time that is only foretold: whole minutes, from an hour on fives."""
    if seconds < 30:
        return "a moment"
    step = 60 if seconds < 3570 else 300
    return duration(max(60, round(seconds / step) * step))


def give_or_take(start: Start) -> str:
    """Write the spread behind ``about``, `` ± 5``; nothing below half a minute."""
    minutes = round(start.spread / 60)
    if start.seconds is None or not minutes:
        return ""
    if start.seconds < 3570 and minutes < 60:
        return f" ± {minutes}"
    return f" ± {duration(60 * minutes)}"


def first_waiting() -> dict[int, int]:
    """Return the keys of each queue's first waiting jobs, and how many wait in the line
    of each (``forecast.Line``).

    The lines of one priority take turns here: which of them is served first only the
    forecast tells, and so the first of each are at hand.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id, waiting FROM (
                SELECT id, waiting, row_number() OVER (
                    PARTITION BY queue_id
                    ORDER BY held, priority DESC, turn, position, id) AS place
                FROM (
                    SELECT id, queue_id, held, priority, position,
                        row_number() OVER (
                            PARTITION BY queue_id, team_id, author_id, devices,
                                held, priority
                            ORDER BY position, id) AS turn,
                        count(*) FILTER (WHERE NOT held) OVER (
                            PARTITION BY queue_id, team_id, author_id, devices
                        ) AS waiting
                    FROM searchjobs_job WHERE state = 'queued'
                ) taking_turns
            ) placed WHERE place <= %s
            """,
            [MOST_JOBS],
        )
        return dict(cursor.fetchall())


def _rows(first: Sequence[int]) -> list[_Row]:
    # What counts towards the hours that its queue allows, as ``queueing.renew`` counts.
    past = (
        Attempt.objects.filter(
            job=OuterRef("pk"),
            number__gte=OuterRef("first_attempt"),
            ended__isnull=False,
        )
        .order_by()
        .values("job")
        .annotate(took=Sum(F("ended") - F("started")))
    )
    found = (
        Job.objects.filter(Q(pk__in=first, state=State.QUEUED) | Q(state__in=HELD))
        .annotate(spent=Subquery(past.values("took")))
        .order_by("pk")
        .values_list(
            "pk",
            "queue",
            "team",
            "author",
            "priority",
            "position",
            "devices",
            "held",
            "not_before",
            "state",
            "run__plan__cost_units",
            "run__cost_units",
            "run__epoch",
            "run__epochs",
            "run__seconds_search",
            "run__seconds_evaluation",
            "progress",
            "pause_requested",
            "cancel_requested",
            "spent",
            *_SPEC,
        )
    )
    return [_row(*values) for values in found]


def _row(*values: Any) -> _Row:
    *of_job, held, due, state = values[:10]
    units, done, epoch, epochs, searched, evaluated = values[10:16]
    progress, pauses, cancels, spent, space, name, size, backend = values[16:]
    spec = {
        "space": space,
        "dataset": {"name": name, "image_size": size},
        "compute": {"backend": backend},
    }
    return _Row(
        job=Waiting(*of_job),
        held=held,
        due=(due - timezone.now()).total_seconds() if due else 0.0,
        state=state,
        shape=shape_of(spec, of_job[-1]),
        units=units,
        done=done or 0.0,
        epoch=epoch or 0,
        epochs=epochs or 0,
        seconds=(searched or 0.0) + (evaluated or 0.0),
        progress=progress or {},
        leaving=pauses or cancels,
        spent=spent.total_seconds() if spent else 0.0,
    )


def _place(slot: Slot, queues: Sequence[Queue]) -> Place:
    return Place(
        slot.pk,
        slot.worker_id,
        slot.device,
        kind_of(slot.device, slot.device_name),
        frozenset(queue.pk for queue in queues if slot.fits(queue)),
        not (slot.drain_requested or slot.worker.drain_requested),
    )


def _limits(queue: Queue) -> Limits:
    return Limits(
        queue.max_running,
        queue.max_running_team,
        queue.max_running_user,
        queue.paused,
    )


def _cut(waiting: Iterable[_Row], first: Mapping[int, int]) -> list[Line]:
    """Return the lines in which more jobs wait than are looked at."""
    free = [row.job for row in waiting if not row.held]
    shown = Counter(line_of(job) for job in free)
    total = {line_of(job): first[job.job_id] for job in free}
    return [line for line, count in shown.items() if count < total[line]]


def _duration(
    row: _Row, rate: Rate | None, hours: Mapping[int, float | None]
) -> Span | None:
    """Return how long a waiting job holds its slot: only what it still has to do."""
    if rate is None or row.units is None:
        return None
    units = row.units - row.done
    if units <= 0 < row.epochs:  # a class limit has kept more samples than planned
        units = row.units * max(0, row.epochs - row.epoch) / row.epochs
    most = _left(row, hours)
    return Span(min(most, rate.seconds * units), rate.spread * units)


def _running(
    rows: Iterable[_Row],
    known: Mapping[tuple[Shape, str], Rate],
    hours: Mapping[int, float | None],
) -> list[Running]:
    """Return what runs: on which slots, since when, and how long it goes on."""
    held = {row.job.job_id: row for row in rows if row.state in HELD}
    if not held:
        return []
    slots: dict[int, list[int]] = {}
    for slot, job in Slot.objects.filter(job__in=held).values_list("pk", "job"):
        slots.setdefault(job, []).append(slot)
    now = timezone.now()
    found = []
    for attempt in Attempt.objects.filter(
        job__in=held, outcome=Attempt.Outcome.RUNNING
    ).order_by("number"):
        row = held[attempt.job_id]
        elapsed = max(0.0, (now - attempt.started).total_seconds())
        kind = kind_of(attempt.device, attempt.device_name)
        rest = _rest(row, known.get((row.shape, kind)), elapsed, hours)
        found.append(
            Running(
                row.job.queue_id,
                row.job.team_id,
                row.job.author_id,
                attempt.device,
                tuple(slots.get(attempt.job_id, ())),
                elapsed,
                rest,
            )
        )
    return found


def _rest(
    row: _Row, rate: Rate | None, elapsed: float, hours: Mapping[int, float | None]
) -> Span | None:
    """Return how long a running job goes on, by its own speed where it is known."""
    if row.leaving:
        return LEAVING
    relative = rate.spread / rate.seconds if rate else 0.0
    told = row.progress.get("seconds_left")
    whole = not row.epochs or row.progress.get("phase", SEARCH) == SEARCH
    # Choosing samples, deriving and the like tell their own rest: epochs come on top.
    phase = 0.0 if whole or told is None else float(told)
    seconds: float | None = None
    if whole and told is not None and row.progress.get("epoch", 0) > row.epoch:
        seconds = float(told)
    elif row.epoch:
        seconds = row.seconds / row.epoch * max(0, row.epochs - row.epoch) + phase
    elif rate is not None and row.units is not None:
        seconds = max(phase, rate.seconds * row.units - elapsed)
    if seconds is None:
        return None
    most = _left(row, hours) - elapsed
    return Span(max(0.0, min(most, seconds)), relative * seconds)


def _left(row: _Row, hours: Mapping[int, float | None]) -> float:
    """Return the seconds that earlier attempts have left of what the queue allows."""
    most = hours[row.job.queue_id]
    return float("inf") if most is None else max(0.0, most * 3600 - row.spent)
