"""From rows to the forecast: the claim's own order, and times from measured speeds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from nasweb import estimates, starts
from nasweb.forecast import ASSUMED_SECONDS, Start, Why
from searchjobs import job_control
from searchjobs.claims import claim
from searchjobs.engine.plan import plan
from searchjobs.lifecycle import move
from searchjobs.models import Attempt, Job, Queue, Run, Slot, Team
from searchjobs.queueing import end
from searchjobs.states import State
from tests.factories import make_queue, make_team
from tests.jobs.conftest import make_slot
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
SUCCEEDED = Attempt.Outcome.SUCCEEDED
SPEC = digits_spec(epochs=4)


def job_of(user: User, team: Team, queue: Queue, **columns: Any) -> Job:
    now = timezone.now()
    return Job.objects.create(
        team=team, author=user, queue=queue, spec={}, queued=now, **columns
    )


def attempt_of(job: Job, seconds: float, *, ended: bool = True, **columns: Any) -> None:
    now = timezone.now()
    columns = {"outcome": SUCCEEDED, "ended": now} | columns if ended else columns
    Attempt.objects.create(
        job=job,
        team=job.team,
        number=1,
        worker_name="w",
        started=now - timedelta(seconds=seconds),
        **columns,
    )


def ended_run(user: User, team: Team, queue: Queue, rate: float, **columns: Any) -> Run:
    """A success that took ``rate`` seconds per forward-equivalent sample."""
    run = make_run(user, team, queue, spec=SPEC, state="succeeded")
    units = plan(SPEC).cost_units
    Run.objects.filter(pk=run.pk).update(
        cost_units=units, seconds_search=0.75 * rate * units, epoch=4,
        seconds_evaluation=0.25 * rate * units,
    )  # fmt: skip
    attempt_of(run.job, 60, epochs=4, **columns)
    return run


def real_order(slot: Slot) -> list[int]:
    """Claim until nothing is left; each job holds the slot for the same time."""
    order = []
    while True:
        slot.refresh_from_db()
        taken = claim(slot)
        if taken is None:
            return order
        order.append(taken.job_id)
        assert move(taken.job_id, State.RUNNING, fence=taken.fence)
        assert end(taken.job_id, taken.fence, State.SUCCEEDED, SUCCEEDED)
        now = timezone.now()
        Attempt.objects.filter(job=taken.job_id).update(
            started=now - timedelta(seconds=ASSUMED_SECONDS), ended=now
        )


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_one_slot_claims_in_the_order_that_was_foretold(
    user: User, team: Team, cpu_queue: Queue, data: st.DataObject
) -> None:
    Attempt.objects.all().delete()
    Job.objects.all().delete()
    Slot.objects.all().delete()
    slot = make_slot()
    queues = [cpu_queue, Queue.objects.get_or_create(name="second")[0]]
    teams = [team, *(Team.objects.get_or_create(name=n, slug=n)[0] for n in "ab")]
    small = st.integers(0, 2)
    for _ in range(data.draw(st.integers(1, 8))):
        job_of(
            user,
            teams[data.draw(small)],
            queues[data.draw(st.integers(0, 1))],
            priority=data.draw(st.sampled_from(Job.Priority.values)),
            position=data.draw(small),
            held=data.draw(small) == 0,
            devices=1 + (data.draw(st.integers(0, 5)) == 0),
        )
    for each in teams[: data.draw(st.integers(0, 3))]:
        used = job_of(user, each, cpu_queue, state=State.SUCCEEDED)
        attempt_of(used, 1000.0 * data.draw(st.integers(1, 9)))

    found = starts.starts()
    begins = [job for job, start in found.items() if start.why in {None, Why.UNKNOWN}]
    for queue in queues:
        mine = set(Job.objects.filter(queue=queue).values_list("pk", flat=True))
        places = [found[job].place for job in begins if job in mine]
        assert places == list(range(1, len(places) + 1))
    assert real_order(slot) == begins


def test_the_rest_of_a_run_is_timed_by_runs_like_it(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    """Ten units a second: the waiting runs need what their plan says, or its rest."""
    make_slot()
    for rate in (0.08, 0.1, 0.1, 0.12, 0.3):
        ended_run(user, team, cpu_queue, rate)
    begun = make_run(user, team, cpu_queue, spec=SPEC, state="queued")
    units = plan(SPEC).cost_units
    Run.objects.filter(pk=begun.pk).update(epoch=3, cost_units=0.75 * units)
    fresh = make_run(user, team, cpu_queue, spec=SPEC, state="queued")
    last = make_run(user, team, cpu_queue, spec=SPEC, state="queued")
    for position, run in enumerate([begun, fresh, last]):
        Job.objects.filter(pk=run.job_id).update(position=position)
    found = starts.starts()
    quarter, spread = 0.1 * units / 4, 0.01 * units
    assert found[begun.job_id] == Start(1, 0.0)
    assert found[fresh.job_id].seconds == pytest.approx(quarter)
    assert found[fresh.job_id].spread == pytest.approx(spread / 4)
    assert found[last.job_id].seconds == pytest.approx(5 * quarter)
    assert found[last.job_id].spread == pytest.approx(5 / 4 * spread)


def test_a_running_search_tells_its_rest_itself(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    slot = make_slot()
    run = make_run(user, team, cpu_queue, spec=SPEC, finished=2)
    attempt_of(run.job, 100, ended=False)
    Slot.objects.filter(pk=slot.pk).update(job=run.job)
    waiting = make_run(user, team, cpu_queue, spec=SPEC, state="queued").job_id

    def foretold() -> float | None:
        return starts.starts()[waiting].seconds

    spent = 2 * (1.9 + 0.4)  # as the factory makes epochs
    assert foretold() == pytest.approx(spent)
    told = {"epoch": 3, "seconds_left": 77.0}
    Job.objects.filter(pk=run.job_id).update(progress=told)
    assert foretold() == 77.0
    phase = told | {"phase": "training the autoencoder"}
    Job.objects.filter(pk=run.job_id).update(progress=phase)
    assert foretold() == pytest.approx(spent + 77), "epochs follow the phase"
    Job.objects.filter(pk=run.job_id).update(progress=told)
    Run.objects.filter(pk=run.pk).update(
        epoch=3, seconds_search=9, seconds_evaluation=0
    )
    assert foretold() == 3.0  # what was told of epoch 3 is out of date
    Run.objects.filter(pk=run.pk).update(epoch=4)
    assert foretold() == 0.0
    phase = {"phase": "deriving the cell", "seconds_left": 40.0}
    Job.objects.filter(pk=run.job_id).update(progress=phase)
    assert foretold() == 40.0, "the derivation goes on after the last epoch"
    Job.objects.filter(pk=run.job_id).update(cancel_requested=True)
    assert foretold() == starts.LEAVING.seconds


def test_choosing_samples_before_the_first_epoch_takes_at_least_what_it_tells(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    slot = make_slot()
    units = plan(SPEC).cost_units
    ended_run(user, team, cpu_queue, 10_000 / units)
    run = make_run(user, team, cpu_queue, spec=SPEC, state="running")
    attempt_of(run.job, 6_000, ended=False)
    Slot.objects.filter(pk=slot.pk).update(job=run.job)
    waiting = make_run(user, team, cpu_queue, spec=SPEC, state="queued").job_id
    found = {}
    for left in (None, 1_000.0, 30_000.0):
        phase = {"phase": "training the autoencoder", "seconds_left": left}
        Job.objects.filter(pk=run.job_id).update(progress=phase)
        found[left] = starts.starts()[waiting].seconds
    # 10,000 s as runs like it, of which 6,000 are gone.
    assert found[None] == pytest.approx(4_000, abs=300)
    assert found[1_000.0] == pytest.approx(4_000, abs=300)
    assert found[30_000.0] == 30_000.0


def test_a_time_limit_bounds_what_a_run_takes(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    make_slot()
    ended_run(user, team, cpu_queue, 10.0)
    Queue.objects.update(max_hours=0.5)
    first, second = (
        make_run(user, team, cpu_queue, spec=SPEC, state="queued").job_id
        for _ in range(2)
    )
    found = starts.starts()
    assert (found[first].seconds, found[second].seconds) == (0, 1800)


def test_what_earlier_attempts_took_of_the_time_limit_is_gone(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    make_slot()
    ended_run(user, team, cpu_queue, 10.0)
    Queue.objects.update(max_hours=0.5)
    first, second = (
        make_run(user, team, cpu_queue, spec=SPEC, state="queued").job for _ in range(2)
    )
    attempt_of(first, 600)
    assert starts.starts()[second.pk].seconds == pytest.approx(1200)
    Job.objects.filter(pk=first.pk).update(first_attempt=2)  # queued again by a person
    assert starts.starts()[second.pk].seconds == pytest.approx(1800)


def test_without_a_run_like_it_the_order_alone_is_told(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    make_slot()
    ended_run(user, team, cpu_queue, 0.1, device="cuda", device_name="NVIDIA H100")
    first, second = (
        make_run(user, team, cpu_queue, spec=SPEC, state="queued").job_id
        for _ in range(2)
    )
    found = starts.starts()
    assert found[first] == Start(1, 0.0)
    assert found[second] == Start(2, why=Why.UNKNOWN)


def test_far_back_nothing_is_told(
    user: User, team: Team, cpu_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five jobs of a team only two are read, and those of others in turn."""
    monkeypatch.setattr(starts, "MOST_JOBS", 3)
    make_slot()
    other = make_team("Others")
    many = [job_of(user, team, cpu_queue, position=n).pk for n in range(5)]
    one = job_of(user, other, cpu_queue, position=9).pk
    second = job_of(user, team, make_queue("second"), position=9).pk
    found = starts.starts()
    assert list(found) == [many[0], one, many[1], second]
    assert found[second].why == Why.FAR  # it may come before or after many[2]


def test_the_forecast_takes_as_many_queries_for_many_jobs_as_for_few(
    user: User,
    team: Team,
    cpu_queue: Queue,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(4):
        slot = make_slot(f"w{number}")
        running = make_run(user, team, cpu_queue, spec=SPEC, finished=1)
        attempt_of(running.job, 10, ended=False)
        Slot.objects.filter(pk=slot.pk).update(job=running.job)
        ended_run(user, team, cpu_queue, 0.1)
    for _ in range(8):
        make_run(user, team, cpu_queue, spec=SPEC, state="queued")
    with django_assert_num_queries(9):
        assert len(starts.starts()) == 8


def test_the_launch_page_tells_graphics_and_processors_apart(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    """The spec says "auto": what the ended runs ran on decides."""
    for rate in (1.0, 3.0, 2.0):
        ended_run(user, team, cpu_queue, rate)
    planned = plan(SPEC)
    found = estimates.seconds(user, SPEC, planned)
    assert found is not None
    assert (found.seconds, found.runs) == (pytest.approx(2 * planned.cost_units), 3)
    for _ in range(4):
        gpu = {"device": "cuda", "device_name": "NVIDIA H100"}
        ended_run(user, team, cpu_queue, 0.01, **gpu)
    found = estimates.seconds(user, SPEC, planned)
    assert found is not None
    assert (found.seconds, found.runs) == (pytest.approx(planned.cost_units / 100), 4)


def test_a_run_that_changed_its_device_measures_neither(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = ended_run(user, team, cpu_queue, 1.0)
    Attempt.objects.create(
        job=run.job,
        team=run.job.team,
        number=2,
        worker_name="w",
        started=timezone.now(),
        device="cuda",
        device_name="NVIDIA H100",
    )
    assert estimates.rates(Run.objects.all()) == {}


def test_few_runs_tell_their_range_and_many_their_quartiles(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    for rate in (1.0, 2.0, 9.0):
        ended_run(user, team, cpu_queue, rate)
    (found,) = estimates.rates(Run.objects.all()).values()
    assert (found.seconds, found.spread, found.runs) == pytest.approx((2, 4, 3))
    for rate in (2.0, 3.0):
        ended_run(user, team, cpu_queue, rate)
    (found,) = estimates.rates(Run.objects.all()).values()
    assert (found.seconds, found.spread, found.runs) == pytest.approx((2, 0.5, 5))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start(1, 0.0), "starts in about a moment"),
        (Start(1, 40.0), "starts in about 1 min"),
        (Start(1, 24 * 60.0, 5 * 60.0), "starts in about 24 min ± 5"),
        (Start(1, 4210.0, 500.0), "starts in about 1 h 10 min ± 8 min"),
        (Start(1, 40 * 3600.0, 5000.0), "starts in about 40 h ± 1 h 23 min"),
        (Start(1, why=Why.PAUSED), "no estimate yet: its queue is paused"),
        (None, "no estimate yet: too far back in the queue"),
    ],
)
def test_a_start_in_words(start: Start | None, expected: str) -> None:
    assert starts.words(start) == expected


@override_settings(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
)
def test_pages_share_one_answer_until_somebody_acts(
    user: User,
    admin_user: User,
    team: Team,
    cpu_queue: Queue,
    django_capture_on_commit_callbacks: Any,
) -> None:
    first, second = (job_of(user, team, cpu_queue, position=n) for n in (1, 2))
    assert starts.starts()[second.pk].place == 2
    Job.objects.filter(pk=first.pk).update(position=3)
    assert starts.starts()[second.pk].place == 2
    with django_capture_on_commit_callbacks(execute=True):
        job_control.hold(admin_user, first, "not yet")
    assert starts.starts()[second.pk].place == 1
