"""The places of waiting jobs: before another one, up, down, to the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from searchjobs import job_control, lifecycle
from searchjobs.lifecycle import NotAllowedError
from searchjobs.models import AuditEvent, Job, Queue, Slot, Team
from searchjobs.states import State
from tests.factories import make_queue, make_team
from tests.jobs.conftest import Launch, make_slot, take, tiny

pytestmark = pytest.mark.django_db


@pytest.fixture
def line(launched: Launch) -> list[Job]:
    """Five jobs that were launched at one moment, so with one position."""
    return launched(seeds=(1, 2, 3, 4, 5))


def order(queue: Queue) -> list[int]:
    """Return the seeds in the order in which slots take them."""
    waiting = Job.objects.filter(queue=queue, state=State.QUEUED)
    rows = waiting.order_by("-priority", "position", "pk")
    return [int(spec["seed"]) for spec in rows.values_list("spec", flat=True)]


@pytest.mark.parametrize(
    ("moved", "before", "expected"),
    [
        (5, 1, [5, 1, 2, 3, 4]),
        (1, 5, [2, 3, 4, 1, 5]),
        (4, 2, [1, 4, 2, 3, 5]),
        (2, 4, [1, 3, 2, 4, 5]),
        (2, None, [1, 3, 4, 5, 2]),
    ],
)
def test_a_job_is_put_before_another_one(
    line: list[Job],
    admin_user: User,
    cpu_queue: Queue,
    moved: int,
    before: int | None,
    expected: list[int],
) -> None:
    other = None if before is None else line[before - 1]
    assert job_control.place_before(admin_user, line[moved - 1], other)
    assert order(cpu_queue) == expected
    event = AuditEvent.objects.get(verb="reorder")
    assert event.object_id == str(line[moved - 1].uuid)
    assert (event.before, event.after) == (
        {"place": moved},
        {"place": expected.index(moved) + 1},
    )


def test_slots_take_jobs_in_the_order_that_people_gave(
    line: list[Job], admin_user: User, slot: Slot
) -> None:
    job_control.place_before(admin_user, line[4], line[0])
    job_control.move_up(admin_user, line[3])
    taken = [take(slot) for _ in line]
    assert [claim.spec["seed"] for claim in taken if claim] == [5, 1, 2, 4, 3]


def test_up_and_down_change_places_with_a_neighbour(
    line: list[Job], admin_user: User, cpu_queue: Queue
) -> None:
    assert job_control.move_up(admin_user, line[2])
    assert order(cpu_queue) == [1, 3, 2, 4, 5]
    assert job_control.move_down(admin_user, line[2])
    assert job_control.move_down(admin_user, line[2])
    assert order(cpu_queue) == [1, 2, 4, 3, 5]


def test_what_stands_there_already_is_not_told(
    line: list[Job], admin_user: User, cpu_queue: Queue
) -> None:
    assert not job_control.move_up(admin_user, line[0])
    assert not job_control.move_down(admin_user, line[4])
    assert not job_control.place_before(admin_user, line[1], line[2])
    assert not job_control.place_before(admin_user, line[1], line[1])
    assert not job_control.place_before(admin_user, line[4], None)
    assert order(cpu_queue) == [1, 2, 3, 4, 5]
    assert not AuditEvent.objects.filter(verb="reorder").exists()


def test_what_is_launched_later_stays_behind(
    line: list[Job], admin_user: User, cpu_queue: Queue, launched: Launch
) -> None:
    job_control.place_before(admin_user, line[0], None)
    launched(seeds=(9,))
    assert order(cpu_queue) == [2, 3, 4, 5, 1, 9]


def test_what_comes_back_from_a_worker_keeps_its_old_place(
    line: list[Job], admin_user: User, cpu_queue: Queue
) -> None:
    Job.objects.filter(pk=line[0].pk).update(state=State.RUNNING)
    for job in line[1:]:
        Job.objects.filter(pk=job.pk).update(position=job.position + 1000)
    job_control.place_before(admin_user, line[4], line[1])
    lifecycle.move(line[0], State.QUEUED)
    assert order(cpu_queue) == [1, 5, 2, 3, 4]


def test_a_place_counts_only_within_a_team_and_a_priority(
    line: list[Job], admin_user: User, cpu_queue: Queue
) -> None:
    other_team, high, moved, running = line[1:]
    Job.objects.filter(pk=other_team.pk).update(team=make_team("Others"))
    Job.objects.filter(pk=high.pk).update(priority=10)
    Job.objects.filter(pk=moved.pk).update(queue=make_queue("other"))
    Job.objects.filter(pk=running.pk).update(state=State.RUNNING)
    for other in (other_team, high, moved, running):
        with pytest.raises(NotAllowedError, match="the fair share decides"):
            job_control.place_before(admin_user, line[0], other)
    with pytest.raises(NotAllowedError, match="only a waiting job has a place"):
        job_control.move_up(admin_user, running)
    assert not AuditEvent.objects.filter(verb="reorder").exists()


@given(st.lists(st.integers(-50, 50)).map(sorted))
def test_positions_differ_and_none_grows(positions: list[int]) -> None:
    given_ = job_control.strictly_rising(positions)
    assert all(a < b for a, b in pairwise(given_))
    assert all(new <= old for new, old in zip(given_, positions, strict=True))
    if len(set(positions)) == len(positions):
        assert given_ == positions


def test_ten_thousand_jobs_are_reordered_in_one_update(
    user: User, team: Team, admin_user: User, cpu_queue: Queue, monkeypatch: Any
) -> None:
    spec = {**tiny(), "seed": 1}
    now = timezone.now()
    jobs = Job.objects.bulk_create(
        Job(team=team, author=user, spec=spec, queue=cpu_queue, position=7, queued=now)
        for _ in range(10_000)
    )
    writes = []
    write = job_control._write

    def counted(positions: dict[int, int]) -> None:
        writes.append(len(positions))
        write(positions)

    monkeypatch.setattr(job_control, "_write", counted)
    began = time.perf_counter()
    assert job_control.place_before(admin_user, jobs[-1], jobs[0])
    assert job_control.move_down(admin_user, jobs[-1])
    assert time.perf_counter() - began < 8
    assert writes == [9_999, 2]  # they all had one position; then a swap
    waiting = Job.objects.filter(queue=cpu_queue).order_by("position", "pk")
    assert list(waiting.values_list("pk", flat=True)[:3]) == [
        jobs[0].pk,
        jobs[-1].pk,
        jobs[1].pk,
    ]


@pytest.mark.django_db(transaction=True)
def test_two_administrators_and_slots_at_one_moment_lose_no_job(
    launched: Launch, admin_user: User, cpu_queue: Queue
) -> None:
    jobs = launched(seeds=tuple(range(1, 31)))
    slots = [make_slot(f"worker{number}@here") for number in range(10)]
    taken: list[int] = []
    problems: list[BaseException] = []

    def apart(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                problems.append(error)
            finally:
                connection.close()

        return threading.Thread(target=run)

    def reorder() -> None:
        for job in jobs[::3]:
            try:
                job_control.place_before(admin_user, job, None)
            except NotAllowedError:
                continue  # a slot was faster

    def claim_all() -> None:
        for slot in slots:
            claim = take(slot)
            assert claim is not None
            taken.append(claim.job_id)

    threads = [apart(reorder), apart(reorder), apart(claim_all)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert len(set(taken)) == 10
    positions = Job.objects.filter(state=State.QUEUED).values_list(
        "position", flat=True
    )
    assert len(positions) == len(set(positions)) == 20
