from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searchjobs import lifecycle
from searchjobs.lifecycle import NotAllowedError, cancel, move, request_pause
from searchjobs.models import AuditEvent, Job
from searchjobs.states import APPEARANCE, HELD, MOVES, TERMINAL, State
from tests.jobs.conftest import Launch

pytestmark = pytest.mark.django_db

STATES = st.sampled_from(list(State))


def put(job: Job, state: str, **columns: Any) -> Job:
    Job.objects.filter(pk=job.pk).update(state=state, **columns)
    job.refresh_from_db()
    return job


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(start=STATES, targets=st.lists(STATES, max_size=6), fence=st.integers(0, 2))
def test_a_job_moves_exactly_as_the_table_says(
    launched: Launch, start: State, targets: list[State], fence: int
) -> None:
    job = Job.objects.first() or launched()[0]
    put(job, start, fence=1)
    expected = start
    for target in targets:
        allowed = target in MOVES[expected] and fence in {0, 1}
        assert move(job, target, fence=fence or None) is allowed
        expected = target if allowed else expected
        assert Job.objects.get(pk=job.pk).state == expected


def test_every_state_has_moves_and_a_sign_of_its_own() -> None:
    assert set(MOVES) == set(State) == set(APPEARANCE)
    assert len({sign for _, sign in APPEARANCE.values()}) == len(State)
    # Nothing leaves a terminal state but by the word of a person.
    assert all(MOVES[state] <= {State.QUEUED} for state in TERMINAL)
    # A job that loses its worker can always go back to its queue.
    assert all(State.QUEUED in MOVES[state] for state in HELD)


def test_a_move_against_the_table_is_a_mistake_of_the_caller(launched: Launch) -> None:
    path = {State.SUCCEEDED: State.RUNNING}
    with pytest.raises(ValueError, match="no job may move from succeeded to running"):
        lifecycle.transition(launched()[0], path, fence=None, updates={})


def test_a_waiting_job_is_cancelled_at_once(launched: Launch, user: User) -> None:
    (job,) = launched()
    cancel(user, job)
    assert job.state == State.CANCELLED
    assert job.finished is not None
    event = AuditEvent.objects.get(verb="cancel")
    assert (event.before, event.after) == ({"state": "queued"}, {"state": "cancelled"})
    assert (event.actor, event.team) == (user, job.team)


@pytest.mark.parametrize("state", sorted(HELD))
def test_a_held_job_is_only_asked_to_end(
    launched: Launch, user: User, state: str
) -> None:
    job = put(launched()[0], state)
    cancel(user, job)
    assert (job.state, job.cancel_requested) == (state, True)
    assert job.finished is None


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_what_has_ended_is_not_cancelled(
    launched: Launch, user: User, state: str
) -> None:
    job = put(launched()[0], state)
    with pytest.raises(NotAllowedError, match="This job has already"):
        cancel(user, job)
    assert not AuditEvent.objects.filter(verb="cancel").exists()


def test_a_pause_reaches_a_running_job_through_its_worker(
    launched: Launch, user: User
) -> None:
    waiting, running = launched(seeds=(1, 2))
    put(running, State.RUNNING)
    request_pause(user, waiting)
    request_pause(user, running)
    assert waiting.state == State.PAUSED
    assert (running.state, running.pause_requested) == (State.PAUSING, True)
    with pytest.raises(NotAllowedError, match="only a paused job can be resumed"):
        lifecycle.resume(user, running)
    lifecycle.resume(user, waiting)
    assert (waiting.state, waiting.pause_requested) == (State.QUEUED, False)


def test_a_failed_job_is_queued_again_without_its_old_error(
    launched: Launch, user: User
) -> None:
    job = put(
        launched()[0],
        State.FAILED,
        error="Out of memory.",
        cancel_requested=True,
        finished="2026-01-01T00:00Z",
    )
    before = job.queued
    lifecycle.requeue(user, job)
    assert (job.state, job.error, job.cancel_requested) == (State.QUEUED, "", False)
    assert job.finished is None
    assert job.queued > before


def test_a_succeeded_job_is_never_queued_again(launched: Launch, user: User) -> None:
    job = put(launched()[0], State.SUCCEEDED)
    with pytest.raises(NotAllowedError):
        lifecycle.requeue(user, job)


def test_what_was_asked_for_already_is_not_told_again(
    launched: Launch, user: User
) -> None:
    job = put(launched()[0], State.RUNNING)
    assert cancel(user, job)
    assert not cancel(user, job)
    event = AuditEvent.objects.get(verb="cancel")
    assert event.before == {"cancel_requested": False}
    assert event.after == {"cancel_requested": True}


def test_a_pause_that_is_under_way_is_not_told_again(
    launched: Launch, user: User
) -> None:
    job = put(launched()[0], State.STARTING)
    assert request_pause(user, job)
    assert not request_pause(user, job)
    put(job, State.PAUSING)
    assert not request_pause(user, job)
    event = AuditEvent.objects.get(verb="pause")
    assert (event.before, event.after) == (
        {"pause_requested": False},
        {"pause_requested": True},
    )


def test_the_audit_log_tells_what_stood_there_and_not_what_a_page_showed(
    launched: Launch, user: User
) -> None:
    """A page may be old: the row that it was drawn from has moved since."""
    shown = launched()[0]
    put(Job.objects.get(pk=shown.pk), State.PAUSED)
    cancel(user, shown)
    assert AuditEvent.objects.get(verb="cancel").before == {"state": "paused"}
