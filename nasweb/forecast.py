"""Play the queues forward: in which order waiting jobs start, and when.

No database here: ``nasweb.starts`` reads the rows.  The rule is the one by which slots
claim (``searchjobs.order.order_key``), with the same limits, so what a page foretells
is what the slots will do if runs take as long as runs like them took.

One thing is left out: what a team used is not forgotten while the play goes on,
although the claim looks at the last 24 hours only.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from searchjobs.order import LEAST_SECONDS, Waiting, order_key

#: Takes the place of an unknown duration, so that the order can be told at least.
ASSUMED_SECONDS = 3600.0


class Why(StrEnum):
    """Why no start can be told."""

    HELD = "held by an administrator"
    PAUSED = "its queue is paused"
    NO_WORKER = "no worker of this queue answers"
    DRAINING = "all slots of this queue are draining"
    TOO_LARGE = "no worker has so many slots"
    LIMIT = "the limits of its queue let it not start"
    UNKNOWN = "no run like those ahead of it has ended"
    FAR = "too far back in the queue"


@dataclass(frozen=True)
class Span:
    """Expected seconds, half the range between the quartiles, whether it is known."""

    seconds: float
    spread: float = 0.0
    known: bool = True

    def plus(self, other: Span) -> Span:
        """Return one span after the other; slow days are slow for both: spreads add."""
        return Span(
            self.seconds + other.seconds,
            self.spread + other.spread,
            self.known and other.known,
        )


NOW = Span(0.0)
GUESS = Span(ASSUMED_SECONDS, known=False)


@dataclass(frozen=True)
class Place:
    """A slot: which queues it serves, and whether it takes anything more.

    ``kind`` is the device by which durations are told apart (``nasweb.estimates``).
    """

    key: int
    worker: int
    device: str
    kind: str
    queues: frozenset[int]
    accepts: bool = True


@dataclass(frozen=True)
class Running:
    """A job that runs: on which slots, since how many seconds, and what is left."""

    queue_id: int
    team_id: int
    author_id: int
    device: str
    slots: tuple[int, ...]
    elapsed: float
    rest: Span | None


@dataclass(frozen=True)
class Limits:
    """Jobs of a queue at one time: in all, of a team, of a user; None: any."""

    running: int | None = None
    team: int | None = None
    user: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Start:
    """Where a job stands in its queue (from 1), and when it starts or why unknown."""

    place: int
    seconds: float | None = None
    spread: float = 0.0
    why: Why | None = None


@dataclass(frozen=True)
class _Board:
    """What stays as it is while time goes on, but for ``lines``, which grow shorter.

    ``largest`` tells how many slots of a worker a job of a queue could have.
    """

    slots: Sequence[Place]
    lines: Mapping[tuple[int, int], list[Waiting]]
    limits: Mapping[int, Limits]
    durations: Mapping[tuple[int, str], Span]
    worker_of: Mapping[int, int]
    largest: Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class _Play:
    """A job on its slots; times are seconds from now."""

    queue_id: int
    team_id: int
    author_id: int
    device: str
    slots: tuple[int, ...]
    began: float
    end: Span


@dataclass
class _State:
    """What changes as time goes on.

    ``moment`` is now: its spread and whether it is known come from the job whose end
    brought us here.
    """

    spent: dict[str, dict[int, float]]
    moment: Span = NOW
    busy: set[int] = field(default_factory=set)
    freed: dict[int, Span] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    plays: dict[int, _Play] = field(default_factory=dict)
    ends: list[tuple[float, int]] = field(default_factory=list)
    total: Counter[int] = field(default_factory=Counter)
    teams: Counter[tuple[int, int]] = field(default_factory=Counter)
    users: Counter[tuple[int, int]] = field(default_factory=Counter)
    begun: int = 0

    def begin(self, play: _Play) -> None:
        self.begun += 1
        self.plays[self.begun] = play
        heapq.heappush(self.ends, (play.end.seconds, self.begun))
        self.busy.update(play.slots)
        self._tally(play, 1)

    def advance(self) -> bool:
        """Go to the next moment at which jobs end; False if there is none."""
        if not self.ends:
            return False
        now, ended = self.ends[0][0], []
        while self.ends and self.ends[0][0] <= now:
            ended.append(self.plays.pop(heapq.heappop(self.ends)[1]))
        for play in ended:
            self.busy.difference_update(play.slots)
            self.freed.update(dict.fromkeys(play.slots, play.end))
            teams = self.spent.setdefault(play.device, {})
            took = len(play.slots) * (now - play.began)
            teams[play.team_id] = teams.get(play.team_id, 0.0) + took
            self._tally(play, -1)
        self.moment = Span(
            max(0.0, now),
            max(play.end.spread for play in ended),
            all(play.end.known for play in ended),
        )
        return True

    def _tally(self, play: _Play, step: int) -> None:
        self.total[play.queue_id] += step
        self.teams[play.queue_id, play.team_id] += step
        self.users[play.queue_id, play.author_id] += step

    def used(self, device: str) -> dict[int, float]:
        """Return device seconds by team, as ``order.device_seconds`` would."""
        found = dict(self.spent.get(device, {}))
        for play in self.plays.values():
            if play.device == device:
                lasted = max(LEAST_SECONDS, self.moment.seconds - play.began)
                spent = found.get(play.team_id, 0.0) + len(play.slots) * lasted
                found[play.team_id] = spent
        return found


def forecast(
    slots: Sequence[Place],
    running: Iterable[Running],
    waiting: Sequence[Waiting],
    used: Mapping[str, Mapping[int, float]],
    limits: Mapping[int, Limits],
    durations: Mapping[tuple[int, str], Span],
    *,
    held: Iterable[int] = (),
    cut: Iterable[tuple[int, int]] = (),
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
        cut: (queue, team) of which more jobs wait than ``waiting`` tells: when one of
            them runs out, nothing can be said any more.
    """
    skipped = set(held)
    lines: dict[tuple[int, int], list[Waiting]] = {}
    for job in sorted(waiting, key=lambda job: order_key(job, {})):
        if job.job_id not in skipped and not limits[job.queue_id].paused:
            lines.setdefault((job.queue_id, job.team_id), []).append(job)
    board = _Board(
        slots,
        lines,
        limits,
        durations,
        {slot.key: slot.worker for slot in slots},
        Counter(
            (queue, slot.worker)
            for slot in slots
            for queue in slot.queues
            if slot.accepts
        ),
    )
    starts, short = _play(board, _opening(running, used), set(cut))
    reasons = {
        job.job_id: _reason(job, board, skipped, short=short)
        for job in waiting
        if job.job_id not in starts
    }
    return _places(waiting, slots, starts, reasons, used)


def _opening(
    running: Iterable[Running], used: Mapping[str, Mapping[int, float]]
) -> _State:
    """Return the state of now; what a running job has used is counted with it."""
    state = _State({device: dict(teams) for device, teams in used.items()})
    for job in running:
        teams = state.spent.setdefault(job.device, {})
        counted = len(job.slots) * max(LEAST_SECONDS, job.elapsed)
        teams[job.team_id] = max(0.0, teams.get(job.team_id, 0.0) - counted)
        state.begin(
            _Play(
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


def _play(
    board: _Board, state: _State, cut: set[tuple[int, int]]
) -> tuple[dict[int, Span], bool]:
    """Return when jobs start, in that order, and whether rows were lacking."""
    starts: dict[int, Span] = {}
    while any(board.lines.values()):
        for slot in board.slots:
            if slot.accepts and slot.key not in state.busy:
                taken = _claim(slot, board, state)
                if taken is None:
                    continue
                job, begin = taken
                starts[job.job_id] = begin
                line = job.queue_id, job.team_id
                if line in cut and not board.lines[line]:
                    return starts, True
        if not state.advance():
            break
    return starts, False


def _claim(slot: Place, board: _Board, state: _State) -> tuple[Waiting, Span] | None:
    """Let a free slot take its next job, or reserve itself for a large one."""
    state.reserved.pop(slot.key, None)
    found = _candidates(slot, board, state)
    if not found:
        return None
    used = state.used(slot.device)
    job = min(found, key=lambda job: order_key(job, used))
    mine = [key for key, other in state.reserved.items() if other == job.job_id]
    if len(mine) + 1 < job.devices:
        state.reserved[slot.key] = job.job_id
        return None
    known = all(state.freed.get(key, NOW).known for key in mine)
    for key in mine:
        del state.reserved[key]
    begin = Span(
        state.moment.seconds, state.moment.spread, state.moment.known and known
    )
    board.lines[job.queue_id, job.team_id].remove(job)
    state.begin(
        _Play(
            job.queue_id,
            job.team_id,
            job.author_id,
            slot.device,
            (slot.key, *mine),
            begin.seconds,
            begin.plus(board.durations.get((job.job_id, slot.kind), GUESS)),
        )
    )
    return job, begin


def _candidates(slot: Place, board: _Board, state: _State) -> list[Waiting]:
    """Return the first job of each team and queue that this slot may take."""
    elsewhere = {
        job
        for key, job in state.reserved.items()
        if board.worker_of[key] != slot.worker
    }
    found = []
    for (queue_id, team_id), line in board.lines.items():
        limit = board.limits[queue_id]
        if (
            queue_id not in slot.queues
            or _full(state.total[queue_id], limit.running)
            or _full(state.teams[queue_id, team_id], limit.team)
        ):
            continue
        most = board.largest[queue_id, slot.worker]
        for job in line:
            if (
                job.devices <= most
                and job.job_id not in elsewhere
                and not _full(state.users[queue_id, job.author_id], limit.user)
            ):
                found.append(job)
                break
    return found


def _full(count: int, most: int | None) -> bool:
    return most is not None and count >= most


def _reason(job: Waiting, board: _Board, held: set[int], *, short: bool) -> Why:
    serving = [slot for slot in board.slots if job.queue_id in slot.queues]
    if job.job_id in held:
        return Why.HELD
    if board.limits[job.queue_id].paused:
        return Why.PAUSED
    if not serving:
        return Why.NO_WORKER
    if not any(slot.accepts for slot in serving):
        return Why.DRAINING
    if job.devices > max(board.largest[job.queue_id, slot.worker] for slot in serving):
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
