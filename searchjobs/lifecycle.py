"""What people do to jobs, and the one way in which a job changes its state.

Every move is one conditional UPDATE that the table in ``states`` allows: nothing
reads a state, thinks, and writes it back, so two people and a worker may act at the
same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from . import audit, bell
from .models import Job
from .permissions import User, require_act
from .states import HELD, MOVES, TERMINAL, State, sources_of

#: From a state to a state.
Path = dict[str, str]

#: What a job without a worker carries.
RELEASED: Mapping[str, Any] = {"worker": None, "slot": "", "lease_expires": None}
#: What a job that waits anew carries.
WAITING: Mapping[str, Any] = {
    **RELEASED,
    "cancel_requested": False,
    "pause_requested": False,
    "error": "",
    "finished": None,
}


class NotAllowedError(ValueError):
    """The job's state does not allow the verb; the message is a sentence."""


def move(job: Job | int, to: str, *, fence: int | None = None, **updates: Any) -> bool:
    """Move a job to a state if its present state, and its fence, allow it.

    Args:
        job: the row or its key; a row is not refreshed.
        to: the state to reach.
        fence: the number of the lease that the caller holds; None: no lease needed.
        updates: other columns to set in the same UPDATE.

    Returns:
        False if nothing was changed: the move is not in the table, or the lease is
        no longer the caller's.
    """
    return transition(
        job, dict.fromkeys(sources_of(to), to), fence=fence, updates=updates
    )


def transition(
    job: Job | int,
    path: Path,
    *,
    fence: int | None,
    updates: Mapping[str, Any],
) -> bool:
    """Move along ``path`` (from state -> to state) in one conditional UPDATE.

    False if the job was in none of those states or its fence is another.
    """
    for source, target in path.items():
        if source != target and target not in MOVES[source]:
            raise ValueError(f"no job may move from {source} to {target}")
    rows = Job.objects.filter(pk=getattr(job, "pk", job), state__in=list(path))
    if fence is not None:
        rows = rows.filter(fence=fence)
    steps = [When(state=a, then=Value(b)) for a, b in path.items() if a != b]
    state = Case(*steps, default=F("state")) if steps else F("state")
    return rows.update(state=state, updated=Now(), **updates) == 1


def cancel(actor: User, job: Job) -> None:
    """End a job: at once if it waits, within seconds if a worker holds it.

    Raises PermissionDenied or NotAllowedError, with a sentence.
    """
    path: Path = {State.QUEUED: State.CANCELLED, State.PAUSED: State.CANCELLED}
    stays: Path = {state: state for state in HELD}
    _act(
        actor,
        "cancel",
        job,
        {**path, **stays},
        {
            "cancel_requested": True,
            "finished": Case(
                When(state__in=list(path), then=Now()), default=F("finished")
            ),
        },
    )


def request_pause(actor: User, job: Job) -> None:
    """Pause a job: at once if it waits, else at its last checkpoint."""
    path: Path = {
        State.QUEUED: State.PAUSED,
        State.STARTING: State.STARTING,
        State.RUNNING: State.PAUSING,
    }
    _act(actor, "pause", job, path, {"pause_requested": True})


def resume(actor: User, job: Job) -> None:
    """Put a paused job back into its queue; it goes on from its checkpoint."""
    _act(actor, "resume", job, {State.PAUSED: State.QUEUED}, _waiting())


def requeue(actor: User, job: Job) -> None:
    """Give a failed or cancelled job another try, from its checkpoint."""
    path: Path = {State.FAILED: State.QUEUED, State.CANCELLED: State.QUEUED}
    anew = {**_waiting(), "first_attempt": F("fence") + 1}
    _act(actor, "requeue", job, path, anew)


def _waiting() -> dict[str, Any]:
    return {**WAITING, "queued": Now()}


def _act(
    actor: User,
    verb: str,
    job: Job,
    path: Path,
    updates: Mapping[str, Any],
) -> None:
    """Check, move, write the audit event, wake a slot; then refresh the row."""
    require_act(actor, job)
    with transaction.atomic():
        before = job.state
        if not transition(job, path, fence=None, updates=updates):
            job.refresh_from_db()
            raise NotAllowedError(_refusal(verb, job))
        job.refresh_from_db()
        audit.record(actor, verb, job, {"state": before}, {"state": job.state})
        if job.state == State.QUEUED:
            bell.wake(job.queue.name)
        run = getattr(job, "run", None)
        if run is not None:
            bell.ring(run.uuid)


def _refusal(verb: str, job: Job) -> str:
    state = State(job.state)
    if state in TERMINAL and verb in {"cancel", "pause"}:
        return f"This job has already {_ended(state)}: there is nothing to {verb}."
    remedy = {
        "resume": "only a paused job can be resumed",
        "requeue": "only a failed or cancelled job can be queued again",
    }.get(verb, "reload the page to see what it does now")
    return f"This job is {state.label}: {remedy}."


def _ended(state: State) -> str:
    return "been cancelled" if state == State.CANCELLED else state.label
