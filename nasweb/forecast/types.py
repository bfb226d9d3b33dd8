"""What the forecast is given, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from searchjobs.order import Waiting

#: Takes the place of an unknown duration, so that the order can be told at least.
ASSUMED_SECONDS = 3600.0


Line = tuple[int, int, int, int]
"""Queue, team, author and devices: of jobs that share them the first goes first."""


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
    """Slots of a queue at work at one time; jobs of a team, of a user; None: any."""

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


def line_of(job: Waiting) -> Line:
    """Return the line in which a job waits."""
    return job.queue_id, job.team_id, job.author_id, job.devices
