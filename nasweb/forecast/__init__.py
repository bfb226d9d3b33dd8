"""Play the queues forward: in which order waiting jobs start, and when.

No database here: ``nasweb.starts`` reads the rows.  The rule is that of the claim
(``searchjobs.claims``): the same order, the same limits, slots gathered in the same
way.  So what a page foretells is what the slots will do, if runs take as long as runs
like them took.

One thing is left out: what a team used is not forgotten while the play goes on,
although the claim looks at the last 24 hours only.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from searchjobs.order import LEAST_SECONDS, Waiting, order_key

from .rule import claim
from .state import WAKE, Board, Play, State
from .types import (
    ASSUMED_SECONDS,
    GUESS,
    Limits,
    Line,
    Place,
    Running,
    Span,
    Start,
    Why,
    line_of,
)

__all__ = [
    "ASSUMED_SECONDS",
    "Limits",
    "Line",
    "Place",
    "Running",
    "Span",
    "Start",
    "Why",
    "forecast",
    "line_of",
]


def forecast(
    slots: Sequence[Place],
    running: Iterable[Running],
    waiting: Sequence[Waiting],
    used: Mapping[str, Mapping[int, float]],
    limits: Mapping[int, Limits],
    durations: Mapping[tuple[int, str], Span],
    *,
    held: Iterable[int] = (),
    due: Mapping[int, float] | None = None,
    cut: Iterable[Line] = (),
) -> dict[int, Start]:
    """Return place and start of each waiting job, by its key.

    Args:
        slots: of workers that answer.
        running: jobs that workers hold.
        waiting: queued jobs in any order.
        used: device seconds of the last 24 hours by device and team, those of running
            jobs included.
        limits: of each queue.
        durations: how long a job takes, by its key and the slot's ``kind``; a job
            without one makes the start of what comes after it unknown.
        held: keys of waiting jobs that no slot may take.
        due: seconds from now before which no slot may take a job, by its key.
        cut: lines in which more jobs wait than ``waiting`` tells: when one of them
            runs out, nothing can be said any more.
    """
    skipped = set(held)
    lines: dict[Line, list[Waiting]] = {}
    for job in sorted(waiting, key=lambda job: order_key(job, {})):
        if job.job_id not in skipped and not limits[job.queue_id].paused:
            lines.setdefault(line_of(job), []).append(job)
    capacity = Counter(
        (queue, slot.worker) for slot in slots for queue in slot.queues if slot.accepts
    )
    largest: dict[int, int] = {}
    for (queue, _), count in capacity.items():
        largest[queue] = max(count, largest.get(queue, 0))
    board = Board(
        slots,
        lines,
        limits,
        durations,
        due or {},
        {slot.key: slot.worker for slot in slots},
        capacity,
        largest,
    )
    state = _opening(running, used)
    for seconds in board.due.values():
        heapq.heappush(state.ends, (seconds, WAKE))
    starts, short = _play(board, state, set(cut))
    reasons = {
        job.job_id: _reason(job, board, skipped, short=short)
        for job in waiting
        if job.job_id not in starts
    }
    return _places(waiting, slots, starts, reasons, used)


def _opening(
    running: Iterable[Running], used: Mapping[str, Mapping[int, float]]
) -> State:
    """Return the state of now; what a running job has used is counted with it."""
    state = State({device: dict(teams) for device, teams in used.items()})
    for job in running:
        teams = state.spent.setdefault(job.device, {})
        counted = len(job.slots) * max(LEAST_SECONDS, job.elapsed)
        teams[job.team_id] = max(0.0, teams.get(job.team_id, 0.0) - counted)
        state.begin(
            Play(
                job.queue_id,
                job.team_id,
                job.author_id,
                job.device,
                job.slots,
                -job.elapsed,
                job.rest or GUESS,
            )
        )
    return state


def _play(board: Board, state: State, cut: set[Line]) -> tuple[dict[int, Span], bool]:
    """Return when jobs start, in that order, and whether rows were lacking."""
    starts: dict[int, Span] = {}
    while any(board.lines.values()):
        idle: set[tuple[int, frozenset[int]]] = set()
        for slot in board.slots:
            if slot.accepts and slot.key not in state.busy:
                alike = (slot.worker, slot.queues)
                if alike in idle and not state.reserved:
                    continue  # one like it has just found nothing
                taken = claim(slot, board, state)
                if taken is None:
                    idle.add(alike)
                    continue
                idle.clear()
                job, begin = taken
                starts[job.job_id] = begin
                line = line_of(job)
                if line in cut and not board.lines[line]:
                    return starts, True
        if not state.advance():
            break
    return starts, False


def _reason(job: Waiting, board: Board, held: set[int], *, short: bool) -> Why:
    serving = [slot for slot in board.slots if job.queue_id in slot.queues]
    if job.job_id in held:
        return Why.HELD
    if board.limits[job.queue_id].paused:
        return Why.PAUSED
    if not serving:
        return Why.NO_WORKER
    if not any(slot.accepts for slot in serving):
        return Why.DRAINING
    if job.devices > board.largest.get(job.queue_id, 0):
        return Why.TOO_LARGE
    return Why.FAR if short else Why.LIMIT


def _places(
    waiting: Sequence[Waiting],
    slots: Sequence[Place],
    starts: Mapping[int, Span],
    reasons: Mapping[int, Why],
    used: Mapping[str, Mapping[int, float]],
) -> dict[int, Start]:
    """Number the jobs of each queue: those that start, in that order, then the rest."""
    order = {job_id: place for place, job_id in enumerate(starts)}
    device = {queue: slot.device for slot in slots for queue in slot.queues}

    def key(job: Waiting) -> tuple[float, ...]:
        if job.job_id in order:
            return (0, order[job.job_id])
        later = reasons[job.job_id] == Why.HELD
        teams = used.get(device.get(job.queue_id, ""), {})
        return (1 + later, *order_key(job, teams))

    found: dict[int, Start] = {}
    count: Counter[int] = Counter()
    for job in sorted(waiting, key=key):
        count[job.queue_id] += 1
        place, span = count[job.queue_id], starts.get(job.job_id)
        if span is None:
            found[job.job_id] = Start(place, why=reasons[job.job_id])
        elif not span.known:
            found[job.job_id] = Start(place, why=Why.UNKNOWN)
        else:
            found[job.job_id] = Start(place, span.seconds, span.spread)
    return found
