"""A queue of thousands of jobs and dozens of slots, and what came of it.

Used by the test of the claim under load and by ``tests/benchmarks/claims.py``.
"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Max
from django.utils import timezone

from searchjobs.claims import Claim, claim
from searchjobs.models import Attempt, Job, Queue, Slot, Team, Worker
from searchjobs.queueing import end
from searchjobs.states import HELD, State
from tests.factories import make_queue, make_team, make_user

#: Every so many-th job is held by an administrator.
HELD_EVERY = 50
SLOTS_A_WORKER = 8
#: The limits of the queue that has some: slots, jobs of a team, jobs of a user.
LIMITS = (2, 1, 1)


@dataclass(frozen=True)
class Size:
    """How much waits, of whom, and for how many slots."""

    jobs: int
    slots: int
    teams: int = 5
    users: int = 20
    queues: int = 3


@dataclass(frozen=True)
class Line:
    """What was filled in: an open queue comes first, one with limits last."""

    queues: list[Queue]
    slots: list[Slot]


def fill(size: Size, seed: int = 0) -> Line:
    """Write jobs of all teams, users and priorities into the queues, and the slots."""
    chance = random.Random(seed)
    teams = [make_team(f"Team {number}") for number in range(size.teams)]
    people = [
        (make_user(f"user{number}", team), team)
        for number, team in zip(range(size.users), itertools.cycle(teams), strict=False)
    ]
    queues = [make_queue(f"queue-{number}") for number in range(size.queues)]
    slots, team, user = LIMITS
    last = queues[-1]
    last.max_running, last.max_running_team, last.max_running_user = slots, team, user
    last.save()
    now = timezone.now()
    Job.objects.bulk_create(
        (_job(number, chance, people, queues) for number in range(size.jobs)),
        batch_size=1000,
    )
    for number in range(0, size.slots, SLOTS_A_WORKER):
        worker = Worker.objects.create(name=f"worker-{number}", started=now, seen=now)
        Slot.objects.bulk_create(
            Slot(worker=worker, number=index)
            for index in range(min(SLOTS_A_WORKER, size.slots - number))
        )
    analyse()
    return Line(queues, list(Slot.objects.select_related("worker").order_by("pk")))


def _job(
    number: int,
    chance: random.Random,
    people: Sequence[tuple[User, Team]],
    queues: Sequence[Queue],
) -> Job:
    author, team = chance.choice(people)
    return Job(
        team=team,
        author=author,
        spec={"seed": number},
        queue=chance.choice(queues),
        priority=chance.choice(Job.Priority.values),
        position=chance.randrange(1000),
        held=number % HELD_EVERY == 0,
        queued=timezone.now(),
    )


def analyse() -> None:
    """Give the planner its figures at once, as autovacuum does within a minute."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE searchjobs_job, searchjobs_attempt, searchjobs_slot")


@dataclass
class Outcome:
    """What the slots did: seconds of each claim that took a job, and of all."""

    claims: list[float]
    wall: float
    most: dict[str, int]

    @property
    def rate(self) -> float:
        return len(self.claims) / self.wall

    def quantile(self, percent: int) -> float:
        """Return so many per cent of the claims' seconds, in milliseconds."""
        return 1000 * statistics.quantiles(self.claims, n=100)[percent - 1]


def end_properly(taken: Claim) -> None:
    """End a job as a supervisor does; slots are woken."""
    assert end(taken.job_id, taken.fence, State.FAILED, Attempt.Outcome.FAILED)


def end_quickly(taken: Claim) -> None:
    """End a job by one statement and wake nobody: what is timed is the claim."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH job AS (UPDATE searchjobs_job SET state = 'failed' WHERE id = %(job)s),
            slot AS (UPDATE searchjobs_slot SET job_id = NULL WHERE job_id = %(job)s)
            UPDATE searchjobs_attempt SET ended = now(), outcome = 'failed'
            WHERE job_id = %(job)s AND ended IS NULL
            """,
            {"job": taken.job_id},
        )


def work_off(
    line: Line,
    *,
    most: int,
    seconds_a_job: float = 0.0,
    meanwhile: Callable[[], object] = lambda: None,
    finish: Callable[[Claim], object] = end_properly,
) -> Outcome:
    """Let all slots claim and end jobs, a thread and a connection each.

    Args:
        line: the slots.
        most: claims after which they stop, more or less.
        seconds_a_job: for how long a job is held.
        meanwhile: called while they work.
        finish: how a job ends.
    """
    taken: list[float] = []
    together = threading.Barrier(len(line.slots) + 1)
    stop = threading.Event()

    def go(slot: Slot) -> None:
        try:
            connection.ensure_connection()
            together.wait(60)
            while not stop.is_set() and len(taken) < most:
                if not _claim_and_end(slot, seconds_a_job, taken, finish):
                    if not Job.objects.filter(state=State.QUEUED, held=False).exists():
                        return
                    time.sleep(0.005)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(line.slots)) as pool, watching(line) as seen:
        work = [pool.submit(go, slot) for slot in line.slots]
        together.wait(60)
        begun = time.perf_counter()
        try:
            meanwhile()
        except BaseException:
            stop.set()
            raise
        for each in work:
            each.result()
        wall = time.perf_counter() - begun
    return Outcome(taken, wall, seen)


def _claim_and_end(
    slot: Slot, seconds: float, taken: list[float], finish: Callable[[Claim], object]
) -> bool:
    begun = time.perf_counter()
    found = claim(slot)
    if found is None:
        return False
    taken.append(time.perf_counter() - begun)
    if seconds:
        time.sleep(seconds)
    finish(found)
    return True


@contextmanager
def watching(line: Line) -> Iterator[dict[str, int]]:
    """Count, again and again, what runs in the limited queue; give the most."""
    most: dict[str, int] = {"queue": 0, "team": 0, "user": 0}
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.wait(0.03):
                rows = list(
                    Job.objects.filter(
                        queue=line.queues[-1], state__in=HELD
                    ).values_list("team", "author")
                )
                teams = Counter(team for team, _ in rows)
                users = Counter(user for _, user in rows)
                most["queue"] = max(most["queue"], len(rows))
                most["team"] = max(most["team"], *teams.values(), 0)
                most["user"] = max(most["user"], *users.values(), 0)
        finally:
            connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join(10)


def last_attempt(queue: Queue) -> int:
    """Return the number of the newest claim in a queue."""
    rows = Attempt.objects.filter(job__queue=queue)
    return int(rows.aggregate(last=Max("pk"))["last"] or 0)


def faults_of_order(line: Line) -> list[str]:
    """Return what was wrong about the claims, as sentences; none: all is right.

    The keys of attempts rise in the order of the claims of a queue.
    """
    found = []
    counts = Counter(Attempt.objects.values_list("job", flat=True))
    found += [f"job {job} was claimed {n} times" for job, n in counts.items() if n > 1]
    if Attempt.objects.filter(job__held=True).exists():
        found.append("a held job was claimed")
    for queue in line.queues:
        claims = list(
            Attempt.objects.filter(job__queue=queue)
            .order_by("pk")
            .values_list(
                *("job__team", "job__author", "job__priority", "job__position", "job")
            )
        )
        limited = queue == line.queues[-1]
        found += _faults(queue.name, claims, limited=limited)
    return found


def _faults(
    queue: str, claims: Sequence[tuple[int, ...]], *, limited: bool
) -> list[str]:
    """Check priorities over all, then places inside a team.

    Where a user may run no more, others overtake: only the own places count then.
    """
    found = []
    lines: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for team, author, priority, position, job in claims:
        place = (-priority, position, job)
        lines.setdefault((team, author) if limited else (team,), []).append(place)
    for who, places in lines.items():
        if places != sorted(places):
            found.append(f"{queue}: jobs of {who} overtook each other")
    priorities = [claim[2] for claim in claims]
    if not limited and priorities != sorted(priorities, reverse=True):
        found.append(f"{queue}: a lower priority went first")
    return found
