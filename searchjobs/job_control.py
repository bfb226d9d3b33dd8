"""What administrators do to waiting jobs: hold, release, priority, queue, order.

Jobs of every kind alike.  Whatever changes the order locks the queue, as a claim
does: no slot takes a job while the line is being rearranged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from . import audit, bell
from .lifecycle import NotAllowedError, ring
from .models import Job, Queue
from .permissions import User, require_administrator
from .states import HELD, TERMINAL, State

#: From the line (keys in order) and the place of a job in it to its new place.
Place = Callable[[Sequence[int], int], int]


@transaction.atomic
def hold(actor: User, job: Job, reason: str = "") -> bool:
    """Let no slot take a waiting or paused job until it is released.

    ``reason`` is for people, and cut to what the column holds.

    Returns:
        False if it was held already: its first reason stays.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: a worker has it, or it has ended.
    """
    require_administrator(actor, "hold a job")
    row = _locked(job)
    if row.held:
        return False
    _require_waiting(row, "held")
    reason = reason[: Job._meta.get_field("hold_reason").max_length]
    _set(actor, "hold", row, held=True, hold_reason=reason)
    if row.devices > 1:  # slots that it has reserved are free for others
        bell.wake(row.queue.name, row.devices)
    return True


@transaction.atomic
def release(actor: User, job: Job) -> bool:
    """Let slots take a held job again; else as ``hold``."""
    require_administrator(actor, "release a job")
    row = _locked(job)
    if not row.held:
        return False
    _set(actor, "release", row, held=False, hold_reason="")
    if row.state == State.QUEUED:
        bell.wake(row.queue.name, row.devices)
    return True


@transaction.atomic
def set_priority(actor: User, job: Job, priority: int) -> bool:
    """Change the priority of a job that has not ended; it keeps its position.

    Returns:
        False if it had that priority.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: it has ended.
        ValueError: there is no such priority.
    """
    require_administrator(actor, "change a priority")
    wanted = int(Job.Priority(priority))
    row = _locked(job, queues=True)
    if row.state in TERMINAL:
        raise NotAllowedError(f"This job has {_label(row)}: its order is past.")
    if row.priority == wanted:
        return False
    _set(actor, "priority", row, priority=wanted)
    return True


@transaction.atomic
def move_to(actor: User, job: Job, queue: Queue) -> bool:
    """Put a waiting or paused job at the end of another queue, at its priority.

    Returns:
        False if it is in that queue.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: a worker has it, it has ended, or the queue is for another
            kind of device than its spec asks for.
    """
    require_administrator(actor, "move a job")
    row = _locked(job, queues=True, to=queue)
    if row.queue_id == queue.pk:
        return False
    _require_waiting(row, "moved")
    target = Queue.objects.get(pk=queue.pk)
    if sentence := misfit(row.spec.get("compute", {}).get("device", "auto"), target):
        raise NotAllowedError(sentence)
    left = row.queue
    waiting = Job.objects.filter(queue=target, state=State.QUEUED)
    last = waiting.aggregate(last=Max("position"))["last"]
    position = max(end_of_line(), (last or 0) + 1)
    Job.objects.filter(pk=row.pk).update(queue=target, position=position)
    audit.record(actor, "move", row, {"queue": left.name}, {"queue": target.name})
    if row.state == State.QUEUED:
        bell.wake(target.name, row.devices)
    if row.devices > 1:
        bell.wake(left.name, row.devices)
    ring(row)
    return True


def place_before(actor: User, job: Job, other: Job | None) -> bool:
    """Put a waiting job right before another one; None: at the end.

    Places count among the jobs of one team and one priority in a queue: between
    teams a fair share decides.

    Returns:
        False if it stands there already.

    Raises:
        PermissionDenied: the actor is no administrator.
        NotAllowedError: one of them does not wait, or they do not compare.
    """

    def place(line: Sequence[int], old: int) -> int:
        if other is None:
            return len(line) - 1
        if other.pk not in line:
            raise NotAllowedError(_no_place(other))
        new = line.index(other.pk)
        return new - 1 if new > old else new

    return _reorder(actor, job, place)


def move_up(actor: User, job: Job) -> bool:
    """Let a waiting job change places with the one before it; else as
    ``place_before``."""
    return _reorder(actor, job, lambda _, old: max(0, old - 1))


def move_down(actor: User, job: Job) -> bool:
    """Let it change places with the one after it; else as ``place_before``."""
    return _reorder(actor, job, lambda line, old: min(len(line) - 1, old + 1))


def end_of_line() -> int:
    """Return the position of what is queued now: milliseconds, so that positions
    given to jobs of another moment leave room for reordering."""
    return time.time_ns() // 1_000_000


def misfit(device: str, queue: Queue) -> str:
    """Say why jobs that ask for a device cannot wait in a queue; empty: they can."""
    if device in {"auto", queue.device}:
        return ""
    return (
        f"The queue {queue} is for the {queue.get_device_display()}, but the "
        f"spec asks for the device {device}; change one of them."
    )


@transaction.atomic
def _reorder(actor: User, job: Job, place: Place) -> bool:
    require_administrator(actor, "reorder a queue")
    row = _locked(job, queues=True)
    if row.state != State.QUEUED:
        raise NotAllowedError(
            f"This job is {_label(row)}: only a waiting job has a place in its queue."
        )
    waiting = Job.objects.filter(
        queue=row.queue_id,
        team=row.team_id,
        priority=row.priority,
        state=State.QUEUED,
    ).order_by("position", "pk")
    positions = dict(waiting.values_list("pk", "position"))
    line = list(positions)
    old = line.index(row.pk)
    new = place(line, old)
    if new == old:
        return False
    line.insert(new, line.pop(old))
    given = strictly_rising(list(positions.values()))
    _write(
        {
            key: position
            for key, position in zip(line, given, strict=True)
            if positions[key] != position
        }
    )
    audit.record(actor, "reorder", row, {"place": old + 1}, {"place": new + 1})
    ring(row)
    return True


def strictly_rising(positions: Sequence[int]) -> list[int]:
    """Make positions in order differ, by as little as possible and never upwards:
    what is queued after now must stay behind them all."""
    found = list(positions)
    for place in range(len(found) - 2, -1, -1):
        found[place] = min(found[place], found[place + 1] - 1)
    return found


def _write(positions: dict[int, int]) -> None:
    """Set many positions in one UPDATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE searchjobs_job AS job SET position = given.position "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS given(id, position) "
            "WHERE job.id = given.id",
            [list(positions), list(positions.values())],
        )


def _locked(job: Job, *, queues: bool = False, to: Queue | None = None) -> Job:
    """Lock a job; its queue, and the one it moves to, before it if asked for."""
    if queues:
        held = Job.objects.filter(pk=job.pk).values_list("queue", flat=True).get()
        keys = {held, *([to.pk] if to is not None else [])}
        rows = Queue.objects.filter(pk__in=keys).order_by("pk")
        found = {row.pk for row in rows.select_for_update(no_key=True)}
        if found != keys:
            raise NotAllowedError("This queue is gone; reload the page.")
    jobs = Job.objects.select_related("queue").filter(pk=job.pk)
    row = jobs.select_for_update(no_key=True, of=("self",)).get()
    if queues and row.queue_id != held:
        raise NotAllowedError("This job has just been moved; reload the page.")
    return row


def _require_waiting(row: Job, done: str) -> None:
    if row.state in HELD:
        raise NotAllowedError(
            f"This job is {_label(row)}: pause it, and it can be {done} then."
        )
    if row.state in TERMINAL:
        raise NotAllowedError(f"This job has {_label(row)}: it cannot be {done}.")


def _label(row: Job) -> str:
    if row.state == State.CANCELLED:
        return "been cancelled"
    return str(State(row.state).label)


def _no_place(other: Job) -> str:
    return (
        f"{other.title} does not wait beside this job: a place counts among the "
        "waiting jobs of one queue, team and priority, because between teams the fair "
        "share decides. Change the priority, or choose another place."
    )


def _set(actor: User, verb: str, row: Job, **columns: Any) -> None:
    """Set columns of a locked row, tell the audit log and the live pages."""
    before = {name: getattr(row, name) for name in columns}
    Job.objects.filter(pk=row.pk).update(**columns)
    audit.record(actor, verb, row, before, columns)
    ring(row)
