"""What people do to jobs, and the one way in which a job changes its state.

Every move is one conditional UPDATE that the table in ``states`` allows: nothing
reads a state, thinks, and writes it back, so two people and a worker may act at the
same moment.  A verb locks its row first, so that the audit event tells what really
stood there before; it says whether it changed anything, and what was so already
makes no event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
#: Columns and their values, as an audit event keeps them.
Values = dict[str, Any]

#: What a job without a worker carries.
RELEASED: Mapping[str, Any] = {"worker": None, "slot": "", "lease_expires": None}
#: What a job that waits anew carries.
WAITING: Mapping[str, Any] = {
    **RELEASED,
    "cancel_requested": False,
    "pause_requested": False,
    "error": "",
    "finished": None,
    "not_before": None,
}


class NotAllowedError(ValueError):
    """The state of things does not allow the verb; the message is a sentence."""


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


def cancel(actor: User, job: Job) -> bool:
    """End a job: at once if it waits, within seconds if a worker holds it.

    Returns:
        False if that was asked for already.

    Raises:
        PermissionDenied, NotAllowedError: with a sentence; nothing was changed.
    """
    path: Path = {State.QUEUED: State.CANCELLED, State.PAUSED: State.CANCELLED}
    stays: Path = {state: state for state in HELD}
    return act(
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


def request_pause(actor: User, job: Job) -> bool:
    """Pause a job: at once if it waits, else at its last checkpoint; as ``cancel``."""
    path: Path = {
        State.QUEUED: State.PAUSED,
        State.STARTING: State.STARTING,
        State.RUNNING: State.PAUSING,
        State.PAUSING: State.PAUSING,
    }
    return act(actor, "pause", job, path, {"pause_requested": True})


def resume(actor: User, job: Job) -> bool:
    """Put a paused job back into its queue; it goes on from its checkpoint."""
    return act(actor, "resume", job, {State.PAUSED: State.QUEUED}, waiting())


def requeue(actor: User, job: Job) -> bool:
    """Give a failed or cancelled job another try, from its checkpoint."""
    return act(actor, "requeue", job, ANEW, {**waiting(), **counted_anew()})


#: What has ended without a result may be tried again.
ANEW: Path = {State.FAILED: State.QUEUED, State.CANCELLED: State.QUEUED}


def waiting() -> dict[str, Any]:
    """Return the columns of a job that waits from now on."""
    return {**WAITING, "queued": Now()}


def counted_anew() -> dict[str, Any]:
    """Return the columns by which losses and time count from the next attempt."""
    return {"first_attempt": F("fence") + 1}


@transaction.atomic
def act(
    actor: User,
    verb: str,
    job: Job,
    path: Path,
    updates: Mapping[str, Any],
    *,
    also: Callable[[Job], tuple[Values, Values]] = lambda _: ({}, {}),
) -> bool:
    """Check, lock, move, write the audit event, wake a slot; then refresh ``job``.

    Args:
        actor: who acts.
        verb: for the audit log and for the sentence of a refusal.
        job: the row; its state is read anew.
        path: from which states to which.
        updates: other columns to set in the same UPDATE.
        also: what else happens in the transaction; returns what the audit event
            tells of it, before and after.

    Returns:
        False if all was so already.

    Raises:
        PermissionDenied, NotAllowedError: with a sentence; nothing was changed.
    """
    require_act(actor, job)
    rows = Job.objects.filter(pk=job.pk).select_for_update(no_key=True, of=("self",))
    before = _told(rows.get())
    moved = transition(job, path, fence=None, updates=updates)
    job.refresh_from_db()
    if not moved:
        raise NotAllowedError(_refusal(verb, job))
    after = _told(job)
    if after == before:
        return False
    if after["state"] != before["state"]:
        # What was asked for is clear from the state that it led to.
        before, after = {"state": before["state"]}, {"state": after["state"]}
    gone, come = also(job)
    changed = [name for name in before if before[name] != after[name]]
    audit.record(
        actor,
        verb,
        job,
        {name: before[name] for name in changed} | gone,
        {name: after[name] for name in changed} | come,
    )
    if job.state == State.QUEUED or job.devices > 1:  # it may have reserved slots
        bell.wake(job.queue.name, job.devices)
    ring(job)
    return True


def ring(job: Job) -> None:
    """Tell live pages that something of a job is new, if it has a page."""
    run = getattr(job, "run", None)
    if run is not None:
        bell.ring(run.uuid)


def _told(job: Job) -> Values:
    """Return what people ask for by the verbs of this module."""
    return {
        "state": job.state,
        "cancel_requested": job.cancel_requested,
        "pause_requested": job.pause_requested,
    }


def _refusal(verb: str, job: Job) -> str:
    state = State(job.state)
    if state in TERMINAL and verb in {"cancel", "pause"}:
        return f"This job has already {_ended(state)}: there is nothing to {verb}."
    remedy = {
        "resume": "only a paused job can be resumed",
        "requeue": "only a failed or cancelled job can be queued again",
        "restart": "only a failed or cancelled job can start again",
    }.get(verb, "reload the page to see what it does now")
    return f"This job is {state.label}: {remedy}."


def _ended(state: State) -> str:
    return "been cancelled" if state == State.CANCELLED else state.label
