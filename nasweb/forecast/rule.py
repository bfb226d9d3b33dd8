"""The claim, as ``searchjobs.claims`` makes it, on the state of the play."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from searchjobs.order import Waiting, order_key

from .state import Board, Play, State
from .types import GUESS, NOW, Limits, Line, Place, Span, line_of


def claim(slot: Place, board: Board, state: State) -> tuple[Waiting, Span] | None:
    """Let a free slot take its next job, or reserve itself for a large one."""
    state.reserved.pop(slot.key, None)
    chosen = _choose(slot, board, state)
    if chosen is None:
        return None
    job, others = chosen
    if len(others) + 1 < job.devices:
        state.reserved[slot.key] = job
        return None
    others = others[: job.devices - 1]
    known = all(state.freed.get(key, NOW).known for key in others)
    for key, reserved in list(state.reserved.items()):
        if key in others or reserved == job:
            del state.reserved[key]
    now = state.moment
    begin = Span(now.seconds, now.spread, now.known and known)
    board.lines[line_of(job)].remove(job)
    state.begin(
        Play(
            job.queue_id,
            job.team_id,
            job.author_id,
            slot.device,
            (slot.key, *others),
            begin.seconds,
            begin.plus(board.durations.get((job.job_id, slot.kind), GUESS)),
        )
    )
    return job, begin


def _choose(
    slot: Place, board: Board, state: State
) -> tuple[Waiting, tuple[int, ...]] | None:
    """Return the first job that this slot may run or reserve itself for, and the other
    slots that it would get; fewer than it needs: they are not free yet."""
    used = state.used(slot.device)
    passed: set[int] = set()
    while True:
        found, closed = _heads(slot, board, state, passed), set[int]()
        for job in sorted(found, key=lambda job: order_key(job, used)):
            if board.largest.get(job.queue_id, 0) < job.devices:
                continue
            if not _allowed(job, board, state, closed):
                continue
            if job.devices == 1:
                return job, ()
            if board.capacity[job.queue_id, slot.worker] < job.devices:
                continue
            others = _free(slot, job, board, state, used)
            enough = len(others) + 1 >= job.devices
            if enough or not _gathered_elsewhere(slot, job, board, state):
                return job, others
            passed.add(job.job_id)
            break
        else:
            return None


def _heads(
    slot: Place, board: Board, state: State, passed: Collection[int]
) -> list[Waiting]:
    """Return the first job of each line that this slot serves, but for lines that a
    limit holds back as a whole."""
    now = state.moment.seconds
    open_ = {
        queue: board.limits[queue]
        for queue in slot.queues
        if not _full(state.total[queue], board.limits[queue].running)
    }
    found = []
    for line, jobs in board.lines.items():
        limit = open_.get(line[0])
        if limit is None or not jobs or _held_back(line, limit, state):
            continue
        for job in jobs:
            if job.job_id not in passed and board.due.get(job.job_id, 0.0) <= now:
                found.append(job)
                break
    return found


def _held_back(line: Line, limit: Limits, state: State) -> bool:
    queue, team, author, _ = line
    return _full(state.teams[queue, team], limit.team) or _full(
        state.users[queue, author], limit.user
    )


def _allowed(job: Waiting, board: Board, state: State, closed: set[int]) -> bool:
    """Say whether its queue has the slots left that a job needs; asked in order.  One
    for which there are too few keeps later ones from taking them."""
    queue, limit = job.queue_id, board.limits[job.queue_id]
    if queue in closed:
        return False
    if limit.running is None or state.total[queue] + job.devices <= limit.running:
        return True
    if job.devices <= limit.running:
        closed.add(queue)
    return False


def _free(
    slot: Place,
    job: Waiting,
    board: Board,
    state: State,
    used: Mapping[int, float],
) -> tuple[int, ...]:
    """Return the other slots of the worker that a large job may take at once: its
    own, then those that nobody, or a later job, has reserved."""
    mine, others = [], []
    for other in board.slots:
        if (
            other.worker != slot.worker
            or other.key in {slot.key, *state.busy}
            or not other.accepts
            or job.queue_id not in other.queues
        ):
            continue
        reserved = state.reserved.get(other.key)
        if reserved == job:
            mine.append(other.key)
        elif reserved is None or order_key(reserved, used) > order_key(job, used):
            others.append(other.key)
    return (*mine, *others)


def _gathered_elsewhere(slot: Place, job: Waiting, board: Board, state: State) -> bool:
    """Say whether another worker gathers slots for this job, and has enough."""
    workers = {
        board.worker_of[key] for key, other in state.reserved.items() if other == job
    }
    return any(
        board.capacity[job.queue_id, worker] >= job.devices
        for worker in workers - {slot.worker}
    )


def _full(count: int, most: int | None) -> bool:
    return most is not None and count >= most
