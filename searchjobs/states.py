"""The states of a job, their labels and colours, and the allowed moves.

    queued -> starting -> running -> succeeded | failed | cancelled
                             |
                             +-> pausing -> paused -> queued

A job that loses its worker goes back to ``queued`` and on from its checkpoint.  One
whose disk is full pauses by itself, without anybody's asking.
Every move is one conditional UPDATE (``lifecycle.move``): nothing reads a state,
thinks, and writes it back.
"""

from __future__ import annotations

from django.db import models


class State(models.TextChoices):
    QUEUED = "queued", "queued"
    STARTING = "starting", "starting"
    RUNNING = "running", "running"
    PAUSING = "pausing", "pausing"
    PAUSED = "paused", "paused"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


#: Colour token of the style sheet and a sign, so that colour is never alone.
APPEARANCE: dict[str, tuple[str, str]] = {
    State.QUEUED: ("muted", "○"),
    State.STARTING: ("accent", "◔"),
    State.RUNNING: ("accent", "●"),
    State.PAUSING: ("warning", "◐"),
    State.PAUSED: ("warning", "❚❚"),
    State.SUCCEEDED: ("success", "✓"),
    State.FAILED: ("danger", "✕"),
    State.CANCELLED: ("muted", "⊘"),
}

#: The same of a queued job that an administrator holds back.
HOLDING = ("warning", "⊟")

TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
#: States in which a worker holds the job under a lease.
HELD = frozenset({State.STARTING, State.RUNNING, State.PAUSING})

MOVES: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.STARTING, State.CANCELLED, State.PAUSED}),
    State.STARTING: frozenset(
        {
            State.RUNNING,
            State.PAUSED,
            State.QUEUED,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.RUNNING: frozenset(
        {
            State.PAUSING,
            State.PAUSED,
            State.QUEUED,
            State.SUCCEEDED,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.PAUSING: frozenset(
        {State.PAUSED, State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLED}
    ),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}


def sources_of(target: str) -> frozenset[str]:
    """Return the states from which a job may move to ``target``."""
    return frozenset(state for state, targets in MOVES.items() if target in targets)
