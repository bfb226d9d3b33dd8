"""The order of claims: a plain model of the rule foretells each claim of each slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searchjobs.claims import claim
from searchjobs.models import Attempt, Job, Queue, Slot, Team, Worker
from searchjobs.order import LEAST_SECONDS, Waiting, device_seconds, heads, order_key
from searchjobs.states import State
from tests.factories import make_queue, make_team
from tests.jobs.conftest import Launch, make_slot

pytestmark = pytest.mark.django_db

TEAMS, USERS, QUEUES, WORKERS, SLOTS = 3, 4, 2, 2, 3


@dataclass
class AJob:
    """A job of the model; ``slots`` are those that it holds."""

    team: int
    user: int
    queue: int
    priority: int
    position: int
    devices: int
    held: bool
    key: int = 0
    ended: bool = False
    slots: list[int] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return bool(self.slots) and not self.ended

    @property
    def waits(self) -> bool:
        return not self.slots and not self.held and not self.ended

    def is_like(self, other: AJob) -> bool:
        mine = (self.team, self.user, self.queue, self.devices)
        return mine == (other.team, other.user, other.queue, other.devices)


@dataclass
class AQueue:
    """A queue of the model with its limits: slots, jobs of a team, of a user."""

    paused: bool
    most: tuple[int | None, int | None, int | None]


@dataclass
class Installation:
    """The rule, spelled out: no index, no heads, no locks."""

    jobs: list[AJob]
    queues: list[AQueue]
    used: list[int]
    drained: set[int]
    only: dict[int, int]
    reserved: dict[int, AJob] = field(default_factory=dict)

    def claim(self, slot: int) -> AJob | None:
        """Return what the slot starts now."""
        if any(job.runs and slot in job.slots for job in self.jobs):
            return None
        self.reserved.pop(slot, None)
        if slot in self.drained:
            return None
        closed: set[int] = set()
        booked: list[AJob] = []
        for job in sorted((job for job in self.jobs if job.waits), key=self.place):
            worker = slot // SLOTS
            too_large = self.capacity(worker, job) < job.devices
            if not self.serves(worker, job):
                continue
            if too_large and any(job.is_like(other) for other in booked):
                continue  # the first of them keeps a place for all
            if not self.allowed(job, closed, booked):
                continue
            if too_large:
                booked.append(job)
                continue
            slots = [slot, *self.free(slot, job)]
            if len(slots) >= job.devices:
                job.slots = slots[: job.devices]
                gone = [key for key, its in self.reserved.items() if its is job]
                for key in [*gone, *job.slots]:
                    self.reserved.pop(key, None)
                return job
            if not self.gathered_elsewhere(slot, job):
                self.reserved[slot] = job
                return None
            booked.append(job)
        return None

    def place(self, job: AJob) -> tuple[float, ...]:
        running = sum(
            LEAST_SECONDS * other.devices
            for other in self.jobs
            if other.runs and other.team == job.team
        )
        used = self.used[job.team] + running
        return (-job.priority, used, job.position, job.key)

    def allowed(self, job: AJob, closed: set[int], booked: list[AJob]) -> bool:
        queue = self.queues[job.queue]
        if queue.paused or job.queue in closed:
            return False
        if all(self.capacity(w, job) < job.devices for w in range(WORKERS)):
            return False
        running = [each for each in self.jobs if each.runs and each.queue == job.queue]
        most, of_team, of_user = queue.most
        if of_team is not None and of_team <= sum(
            each.team == job.team for each in running
        ):
            return False
        if of_user is not None and of_user <= sum(
            each.user == job.user for each in running
        ):
            return False
        ahead = [each for each in booked if each.queue == job.queue]
        total = sum(each.devices for each in [*running, *ahead])
        if most is not None and total + job.devices > most:
            if job.devices <= most:
                closed.add(job.queue)
            return False
        return True

    def serves(self, worker: int, job: AJob) -> bool:
        return self.only.get(worker, job.queue) == job.queue

    def capacity(self, worker: int, job: AJob) -> int:
        if not self.serves(worker, job):
            return 0
        return sum(slot not in self.drained for slot in slots_of(worker))

    def free(self, slot: int, job: AJob) -> list[int]:
        taken = {key for each in self.jobs if each.runs for key in each.slots}
        found = []
        for other in slots_of(slot // SLOTS):
            if other == slot or other in taken | self.drained:
                continue
            its = self.reserved.get(other)
            if its is None or not its.waits or self.place(its) >= self.place(job):
                found.append(other)
        return sorted(found, key=lambda other: self.reserved.get(other) is not job)

    def gathered_elsewhere(self, slot: int, job: AJob) -> bool:
        return any(
            its is job
            and other // SLOTS != slot // SLOTS
            and other not in self.drained
            and self.capacity(other // SLOTS, job) >= job.devices
            for other, its in self.reserved.items()
        )


def slots_of(worker: int) -> range:
    return range(worker * SLOTS, worker * SLOTS + SLOTS)


def jobs(devices: Sequence[int]) -> st.SearchStrategy[AJob]:
    return st.builds(
        AJob,
        team=st.integers(0, TEAMS - 1),
        user=st.integers(0, USERS - 1),
        queue=st.integers(0, QUEUES - 1),
        priority=st.sampled_from(Job.Priority.values),
        position=st.integers(0, 3),
        devices=st.sampled_from(devices),
        held=st.sampled_from([False, False, False, False, True]),
    )


def installations(
    devices: Sequence[int], limits: Sequence[int | None]
) -> st.SearchStrategy[Installation]:
    limit = st.sampled_from(limits)
    queue = st.builds(
        AQueue,
        paused=st.sampled_from([False, False, False, False, True]),
        most=st.tuples(limit, limit, limit),
    )
    return st.builds(
        Installation,
        jobs=st.lists(jobs(devices), min_size=8, max_size=16),
        queues=st.lists(queue, min_size=QUEUES, max_size=QUEUES),
        used=st.lists(
            st.sampled_from([0, 30, 60, 90, 5000]), min_size=TEAMS, max_size=TEAMS
        ),
        drained=st.sampled_from([set(), set(), {1}, {3}]),
        only=st.sampled_from([{}, {}, {0: 0}, {1: 1}]),
    )


#: A slot that claims; below zero: first the job that has run longest ends.
turns = st.lists(
    st.integers(-WORKERS * SLOTS, WORKERS * SLOTS - 1), min_size=10, max_size=25
)
LIMITED = installations([1], [None, None, 0, 1, 2, 3])
SEVERAL = installations([1, 1, 2, 2, 3, 4], [None] * 8 + [2, 3])


def examples(count: int) -> settings:
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow)


@given(model=LIMITED, turns=turns)
@examples(12)
def test_each_claim_under_limits_is_the_one_that_the_rule_foretells(
    db: None, model: Installation, turns: list[int]
) -> None:
    compare(model, turns)


@given(model=SEVERAL, turns=turns)
@examples(12)
def test_each_claim_of_jobs_of_several_slots_is_the_one_that_the_rule_foretells(
    db: None, model: Installation, turns: list[int]
) -> None:
    compare(model, turns)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(model=LIMITED | SEVERAL, turns=turns)
@examples(400)
def test_hundreds_of_queues_are_worked_off_as_the_rule_foretells(
    db: None, model: Installation, turns: list[int]
) -> None:
    compare(model, turns)


def compare(model: Installation, turns: list[int]) -> None:
    """Let slots claim in turn; each must take what the model takes."""
    with transaction.atomic():
        slots = write(model)
        by_key = {job.key: job for job in model.jobs}
        for turn in turns:
            if turn < 0:
                end_the_oldest(model)
            slot = turn if turn >= 0 else -1 - turn
            foretold = model.claim(slot)
            taken = claim(slots[slot])
            assert (taken and taken.job_id) == (foretold and foretold.key)
            if taken is not None:
                numbers = Slot.objects.filter(job=taken.job_id)
                held = {number for number, its in enumerate(slots) if its in numbers}
                assert held == set(by_key[taken.job_id].slots)
            assert_no_limit_is_exceeded(model)
        transaction.set_rollback(True)


def write(model: Installation) -> list[Slot]:
    """Write the model into the database; return the slots by number."""
    teams = [make_team(f"Team {number}") for number in range(TEAMS)]
    users = [User.objects.create(username=f"user{number}") for number in range(USERS)]
    queues = [
        Queue.objects.create(
            name=f"queue-{number}",
            paused=queue.paused,
            max_running=queue.most[0],
            max_running_team=queue.most[1],
            max_running_user=queue.most[2],
        )
        for number, queue in enumerate(model.queues)
    ]
    use(teams, users[0], model.used)
    for job in model.jobs:
        job.key = Job.objects.create(
            team=teams[job.team],
            author=users[job.user],
            queue=queues[job.queue],
            spec={},
            priority=job.priority,
            position=job.position,
            devices=job.devices,
            held=job.held,
            queued=timezone.now(),
        ).pk
    slots = []
    for worker in range(WORKERS):
        for number in slots_of(worker):
            name = f"worker-{worker}"
            slots.append(
                make_slot(name, number, drain_requested=number in model.drained)
            )
        if worker in model.only:
            only = [queues[model.only[worker]].name]
            Worker.objects.filter(name=f"worker-{worker}").update(only_queues=only)
    found = Slot.objects.select_related("worker").in_bulk([slot.pk for slot in slots])
    return [found[slot.pk] for slot in slots]


def use(teams: Sequence[Team], user: User, seconds: Sequence[float]) -> None:
    """Let each team have used so many device seconds."""
    queue, now = make_queue("past"), timezone.now()
    for team, spent in zip(teams, seconds, strict=True):
        job = Job.objects.create(
            team=team,
            author=user,
            queue=queue,
            spec={},
            state=State.SUCCEEDED,
            queued=now,
        )
        ended = now - timedelta(hours=1)
        Attempt.objects.create(
            job=job,
            team=team,
            number=1,
            worker_name="w",
            started=ended - timedelta(seconds=spent),
            ended=ended,
        )


def end_the_oldest(model: Installation) -> None:
    """End the first job that runs, as if it had taken no time."""
    running = [job for job in model.jobs if job.runs]
    if running:
        job = running[0]
        job.ended = True
        Job.objects.filter(pk=job.key).update(state=State.SUCCEEDED)
        for attempt in Attempt.objects.filter(job=job.key):
            Attempt.objects.filter(pk=attempt.pk).update(ended=attempt.started)
        Slot.objects.filter(job=job.key).update(job=None)


def assert_no_limit_is_exceeded(model: Installation) -> None:
    """Read from the rows, not from the model, what runs in each queue."""
    for number, queue in enumerate(model.queues):
        rows = Job.objects.filter(state=State.STARTING, queue__name=f"queue-{number}")
        running = list(rows.values_list("devices", "team", "author", "held"))
        most, of_team, of_user = queue.most
        assert not (running and queue.paused)
        assert not any(held for *_, held in running)
        assert most is None or sum(devices for devices, *_ in running) <= most
        for column, least in ((1, of_team), (2, of_user)):
            keys = [row[column] for row in running]
            assert least is None or all(keys.count(key) <= least for key in keys)


def test_teams_that_have_used_alike_take_turns(user: User, cpu_queue: Queue) -> None:
    teams = [make_team(f"Team {number}") for number in range(3)]
    for position, team in enumerate([team for team in teams for _ in range(4)]):
        Job.objects.create(
            team=team,
            author=user,
            queue=cpu_queue,
            spec={},
            position=position,
            queued=timezone.now(),
        )
    claimed = []
    for number in range(12):
        taken = claim(make_slot(number=number))
        assert taken is not None
        claimed.append(Job.objects.get(pk=taken.job_id).team)
    assert claimed == teams * 4


def test_the_team_that_has_used_the_least_goes_first_until_it_has_caught_up(
    user: User, cpu_queue: Queue
) -> None:
    greedy, modest = make_team("Greedy"), make_team("Modest")
    use([greedy, modest], user, [150, 0])
    for team in (greedy, modest):
        for position in range(4):
            Job.objects.create(
                team=team,
                author=user,
                queue=cpu_queue,
                spec={},
                position=position,
                queued=timezone.now(),
            )
    names = []
    for number in range(8):
        taken = claim(make_slot(number=number))
        assert taken is not None
        names.append(Job.objects.get(pk=taken.job_id).team.name)
    assert names == [*["Modest"] * 3, "Greedy", "Modest", *["Greedy"] * 3]


def test_use_counts_devices_and_only_what_lies_in_the_window(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    job = Job.objects.create(
        team=team, author=user, queue=cpu_queue, spec={}, queued=now
    )
    spans = [
        (30 * hour, 26 * hour, 1),  # over before the window
        (25 * hour, 23 * hour, 1),  # one hour of it counts
        (5 * hour, 4 * hour, 4),  # four hours of devices
        (0 * hour, None, 2),  # just begun: a minute for each of two
    ]
    for number, (begun, ended, devices) in enumerate(spans):
        Attempt.objects.create(
            job=job,
            team=team,
            number=number,
            worker_name="w",
            devices=devices,
            started=now - begun,
            ended=None if ended is None else now - ended,
        )
    expected = pytest.approx(5 * 3600 + 120, abs=30)
    assert device_seconds("cpu") == {team.pk: expected}
    assert device_seconds("cuda") == {}


def test_heads_are_one_for_each_team_user_and_number_of_devices(
    launched: Launch, cpu_queue: Queue, maintainer: User
) -> None:
    mine = launched(seeds=(1, 2, 3, 4))
    others = launched(seeds=(1, 2), actor=maintainer)
    Job.objects.filter(pk=mine[1].pk).update(priority=Job.Priority.HIGH)
    Job.objects.filter(pk=mine[2].pk).update(devices=2)
    Job.objects.filter(pk=others[0].pk).update(held=True)
    found = {head.job_id for head in heads([cpu_queue.pk])}
    assert found == {mine[1].pk, mine[2].pk, others[1].pk}
    found = {head.job_id for head in heads([cpu_queue.pk], [mine[1].pk, mine[2].pk])}
    assert found == {mine[0].pk, others[1].pk}
    assert heads([]) == []


def test_priority_goes_before_share_share_before_place_and_place_before_age() -> None:
    def job(key: int, team: int, priority: int, position: int) -> Waiting:
        return Waiting(key, 1, team, 1, priority, position, 1)

    used = {1: 100.0, 2: 5.0}
    expected = [
        job(9, 1, 10, 9),
        job(8, 3, 0, 7),
        job(7, 2, 0, 6),
        job(6, 1, 0, 1),
        job(4, 1, 0, 2),
        job(5, 1, 0, 2),
        job(1, 3, -10, 0),
    ]
    shuffled = sorted(expected, key=lambda each: each.job_id)
    assert sorted(shuffled, key=lambda each: order_key(each, used)) == expected
