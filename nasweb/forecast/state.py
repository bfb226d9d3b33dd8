"""The state of the play: what runs, since when, and what each team has used."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from searchjobs.order import LEAST_SECONDS, Waiting

from .types import NOW, Limits, Line, Place, Span

#: Stands in the heap of ends for a moment at which a job becomes due.
WAKE = 0


@dataclass(frozen=True)
class Board:
    """What stays as it is while time goes on, but for ``lines``, which grow shorter.

    ``capacity`` tells how many slots of a worker a job of a queue could have,
    ``largest`` those of the worker that has most, ``due`` the seconds from now before
    which no slot takes a job.
    """

    slots: Sequence[Place]
    lines: Mapping[Line, list[Waiting]]
    limits: Mapping[int, Limits]
    durations: Mapping[tuple[int, str], Span]
    due: Mapping[int, float]
    worker_of: Mapping[int, int]
    capacity: Mapping[tuple[int, int], int]
    largest: Mapping[int, int]


@dataclass(frozen=True)
class Play:
    """A job on its slots; times are seconds from now."""

    queue_id: int
    team_id: int
    author_id: int
    device: str
    slots: tuple[int, ...]
    began: float
    end: Span


@dataclass
class State:
    """What changes as time goes on.

    ``moment`` is now: its spread and whether it is known come from the job whose end
    brought us here.
    """

    spent: dict[str, dict[int, float]]
    moment: Span = NOW
    busy: set[int] = field(default_factory=set)
    freed: dict[int, Span] = field(default_factory=dict)
    reserved: dict[int, Waiting] = field(default_factory=dict)
    plays: dict[int, Play] = field(default_factory=dict)
    ends: list[tuple[float, int]] = field(default_factory=list)
    total: Counter[int] = field(default_factory=Counter)
    teams: Counter[tuple[int, int]] = field(default_factory=Counter)
    users: Counter[tuple[int, int]] = field(default_factory=Counter)
    begun: int = 0

    def begin(self, play: Play) -> None:
        self.begun += 1
        self.plays[self.begun] = play
        heapq.heappush(self.ends, (play.end.seconds, self.begun))
        self.busy.update(play.slots)
        self._tally(play, 1)

    def advance(self) -> bool:
        """Go to the next moment at which jobs end or are due; False: there is none."""
        if not self.ends:
            return False
        now = self.ends[0][0]
        ended: list[Play] = []
        while self.ends and self.ends[0][0] <= now:
            key = heapq.heappop(self.ends)[1]
            if key != WAKE:
                ended.append(self.plays.pop(key))
        for play in ended:
            self.busy.difference_update(play.slots)
            self.freed.update(dict.fromkeys(play.slots, play.end))
            teams = self.spent.setdefault(play.device, {})
            took = len(play.slots) * (now - play.began)
            teams[play.team_id] = teams.get(play.team_id, 0.0) + took
            self._tally(play, -1)
        self.moment = Span(
            max(0.0, now),
            max((play.end.spread for play in ended), default=0.0),
            all(play.end.known for play in ended),
        )
        return True

    def _tally(self, play: Play, step: int) -> None:
        self.total[play.queue_id] += step * max(1, len(play.slots))
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
