"""Whenever the connection breaks, each event is recorded once.

Before a statement, after it, and between a COMMIT and its answer.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import Error, close_old_connections

from searchjobs.engine.events import Event, Progress
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.models import Attempt, DatasetStatistics, EpochRecord, Job, Run, Slot
from searchjobs.outage import database_is_away
from searchjobs.queueing import end
from searchjobs.recorder import Recorder
from searchjobs.states import State
from tests.jobs.broken_line import Line, line_to_the_database
from tests.jobs.conftest import Launch, take, tiny

pytestmark = pytest.mark.django_db(transaction=True)

#: More than a search of two epochs takes statements.
MOST_STATEMENTS = 60
OWN = {"id", "uuid", "recorded", "run_id", "job_id", "experiment_id", "seed", "created"}


def told() -> list[Event]:
    """What a real search of two epochs tells, but for its progress."""
    events = search(validate({**tiny(2), "seed": 1}))
    return [event for event in events if not isinstance(event, Progress)]


def rows(job_id: int) -> dict[str, Any]:
    """Return all that was recorded of a job, without keys and times."""
    tables = {
        "epochs": EpochRecord.objects.filter(run__job=job_id).order_by("epoch"),
        "sets": DatasetStatistics.objects.filter(run__job=job_id).order_by(
            "epoch", "set"
        ),
        "run": Run.objects.filter(job=job_id),
    }
    found: dict[str, Any] = {
        name: [{k: v for k, v in row.items() if k not in OWN} for row in table.values()]
        for name, table in tables.items()
    }
    found["attempt"] = Attempt.objects.values("epochs", "events").get(job=job_id)
    found["job"] = Job.objects.values("environment", "state").get(pk=job_id)
    return found


def record(events: list[Event], slot: Slot, line: Line, break_at: int) -> int:
    """Record a search over a line that breaks at a statement; return the job."""
    taken = take(slot)
    assert taken is not None
    recorder = Recorder(taken)
    line.statements, line.break_at = 0, break_at
    for event in events:
        for _ in range(3):
            try:
                recorder.record(event)
                break
            except Error as error:
                if not database_is_away(error):
                    raise
                close_old_connections()
        else:
            raise AssertionError("the database is back, and it still does not work")
    line.break_at = 0
    assert recorder.finished
    end(taken.job_id, taken.fence, State.SUCCEEDED, Attempt.Outcome.SUCCEEDED)
    return taken.job_id


@pytest.mark.parametrize("answered", [False, True], ids=["unheard", "unanswered"])
def test_a_line_that_breaks_at_any_statement_loses_nothing_and_doubles_nothing(
    launched: Launch, slot: Slot, answered: bool
) -> None:
    events = told()
    launched(seeds=tuple(range(MOST_STATEMENTS)), epochs=2)
    with line_to_the_database() as line:
        line.answered = answered
        plain = rows(record(events, slot, line, 0))
        assert plain["attempt"] == {"epochs": 2, "events": len(events)}
        statements = line.statements
        record(events, slot, line, 0)  # the architecture is known by now
        assert 10 < line.statements <= statements < MOST_STATEMENTS
        for number in range(1, line.statements + 1):
            found = rows(record(events, slot, line, number))
            assert found == plain, f"broken at statement {number}"
