"""The claim of a slot: what it takes, from whom it keeps away, and several slots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from searchjobs import claims, supervisor
from searchjobs.claims import Claim, claim
from searchjobs.models import Attempt, Job, Queue, Slot, Worker
from searchjobs.queueing import end
from searchjobs.states import State
from tests.factories import make_queue
from tests.jobs.conftest import Launch, make_slot, order_of_claims, take

pytestmark = pytest.mark.django_db

Outcome = Attempt.Outcome
LONG_AGO = timezone.now() - timedelta(days=1)


def test_priority_goes_first_then_position_then_age(
    launched: Launch, slot: Slot
) -> None:
    low, old, new, high = launched(seeds=(1, 2, 3, 4))
    Job.objects.update(position=5)
    Job.objects.filter(pk=low.pk).update(priority=Job.Priority.LOW, position=1)
    Job.objects.filter(pk=high.pk).update(priority=Job.Priority.HIGH, position=9)
    moved = launched(seeds=(5,))[0]
    Job.objects.filter(pk=moved.pk).update(position=4)
    order = [high.pk, moved.pk, old.pk, new.pk, low.pk]
    assert order_of_claims(slot) == order


def test_a_claim_takes_a_lease_and_begins_an_attempt(
    launched: Launch, slot: Slot, settings: Any
) -> None:
    settings.NASWEB_LEASE_SECONDS = 60
    (job,) = launched()
    taken = take(slot)
    assert taken is not None
    assert "CUDA_VISIBLE_DEVICES" not in supervisor._environment(taken)
    assert taken == Claim(job.pk, job.uuid, "search", job.spec, fence=1)
    job.refresh_from_db()
    assert (job.state, job.fence) == (State.STARTING, 1)
    assert (job.worker, job.slot) == (slot.worker, "slot 0")
    assert job.lease_expires is not None
    assert job.started is not None
    assert 55 < (job.lease_expires - job.started).total_seconds() < 65
    attempt = job.attempts.get()
    assert (attempt.number, attempt.worker_name) == (1, slot.worker.name)
    assert attempt.outcome == Attempt.Outcome.RUNNING


def test_a_claim_takes_few_queries(
    launched: Launch,
    slot: Slot,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    launched()
    with django_assert_max_num_queries(12):
        assert take(slot)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: Queue.objects.update(paused=True),
        lambda _: Worker.objects.update(drain_requested=True),
        lambda _: Worker.objects.update(only_queues=["other"]),
        lambda _: Slot.objects.update(device="cuda"),
        lambda _: Queue.objects.update(max_running=0),
    ],
    ids=["paused queue", "draining worker", "no queue", "other device", "full queue"],
)
def test_nothing_is_claimed_where_it_must_not(
    launched: Launch,
    slot: Slot,
    change: Callable[[Slot], object],
) -> None:
    launched()
    change(slot)
    assert take(slot) is None


def test_a_limit_counts_the_jobs_of_its_queue_only(
    launched: Launch, slot: Slot, cpu_queue: Queue
) -> None:
    other = make_queue("other")
    jobs = launched(seeds=(1, 2, 3))
    Job.objects.filter(pk=jobs[2].pk).update(queue=other)
    Queue.objects.filter(pk=cpu_queue.pk).update(max_running=1)
    assert order_of_claims(slot) == [jobs[0].pk, jobs[2].pk]
    end(jobs[0].pk, 1, State.FAILED, Attempt.Outcome.FAILED)
    assert order_of_claims(slot) == [jobs[1].pk]


def in_threads(work: Callable[[], Any], count: int) -> list[Any]:
    """Call ``work`` in threads that start together; return the answers."""
    together = threading.Barrier(count)

    def go(_: int) -> Any:
        try:
            together.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(go, range(count)))


@pytest.mark.django_db(transaction=True)
def test_many_slots_together_respect_the_limit_of_a_queue(
    launched: Launch, cpu_queue: Queue
) -> None:
    launched(seeds=tuple(range(8)))
    Queue.objects.filter(pk=cpu_queue.pk).update(max_running=2)
    slots = iter([make_slot(number=number) for number in range(6)])
    claims = in_threads(lambda: claim(next(slots)), 6)
    assert sum(taken is not None for taken in claims) == 2


def test_a_worker_of_two_queues_serves_both(launched: Launch, cpu_queue: Queue) -> None:
    other = make_queue("other")
    worker = make_slot("two@here")
    first, second = launched(seeds=(1, 2))
    Job.objects.filter(pk=first.pk).update(queue=other)
    assert order_of_claims(worker) == [first.pk, second.pk]


@pytest.fixture
def four(cpu_queue: Queue) -> list[Slot]:
    """The four slots of one worker."""
    return [make_slot(number=number) for number in range(4)]


def needs(job: Job, devices: int) -> Job:
    Job.objects.filter(pk=job.pk).update(devices=devices)
    return job


def holders(job: Job) -> list[int]:
    """Return the numbers of the slots on which a job is written."""
    return list(job.slots.order_by("number").values_list("number", flat=True))


def starts(slot: Slot, job: Job) -> Claim:
    """Claim by a slot, which must take this job."""
    taken = claim(slot)
    assert taken is not None
    assert taken.job_id == job.pk
    return taken


def finish(taken: Claim | None) -> None:
    assert taken is not None
    assert end(taken.job_id, taken.fence, State.FAILED, Outcome.FAILED)


def test_a_job_of_several_slots_starts_at_once_where_enough_are_free(
    launched: Launch, four: list[Slot]
) -> None:
    job = needs(launched()[0], 3)
    Slot.objects.update(device="cuda")
    Queue.objects.update(device="cuda")
    for slot in four:
        Slot.objects.filter(pk=slot.pk).update(gpu_uuid=f"GPU-{slot.number}")
        slot.refresh_from_db()
    taken = claim(four[1])
    assert taken is not None
    assert (taken.devices, taken.gpus) == (3, ("GPU-1", "GPU-0", "GPU-2"))
    given = supervisor._environment(taken)
    assert given["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-0,GPU-2"
    assert holders(job) == [0, 1, 2]
    assert job.attempts.get().devices == 3
    assert [claim(slot) for slot in four] == [None] * 4


def test_it_gathers_slots_one_by_one_and_no_later_job_takes_them_away(
    launched: Launch, four: list[Slot]
) -> None:
    first, second, third, large, *later = launched(seeds=(1, 2, 3, 4, 5, 6))
    running = [claim(slot) for slot in four[:3]]
    assert [taken and taken.job_id for taken in running] == [
        *(first.pk, second.pk, third.pk)
    ]
    needs(large, 3)
    assert claim(four[3]) is None
    finish(running[0])
    assert claim(four[0]) is None
    assert holders(large) == [0, 3]
    assert claim(four[3]) is None, "a slot that is woken again keeps what it reserved"
    finish(running[1])
    taken = claim(four[1])
    assert taken is not None
    assert (taken.job_id, holders(large)) == (large.pk, [0, 1, 3])
    finish(running[2])
    taken = starts(four[2], later[0])


def test_of_two_large_jobs_the_first_by_order_gets_the_slots_of_both(
    launched: Launch, four: list[Slot]
) -> None:
    one, two, blocker = launched(seeds=(1, 2, 3))
    Slot.objects.filter(number__gte=2).delete()
    Job.objects.filter(pk=blocker.pk).update(priority=Job.Priority.HIGH)
    running = claim(four[1])
    needs(one, 2)
    needs(two, 2)
    assert claim(four[0]) is None
    assert holders(one) == [0]
    Job.objects.filter(pk=two.pk).update(priority=Job.Priority.HIGH)
    finish(running)
    taken = claim(four[1])
    assert taken is not None
    assert (taken.job_id, holders(two), holders(one)) == (two.pk, [0, 1], [])
    finish(taken)
    taken = starts(four[0], one)


def test_a_later_large_job_does_not_take_slots_from_an_earlier_one(
    launched: Launch, four: list[Slot], cpu_queue: Queue
) -> None:
    first, second, earlier, later = launched(seeds=(1, 2, 3, 4), queue=cpu_queue)
    Slot.objects.update(device="cuda", device_name="A100")
    Slot.objects.filter(number__gte=2).update(device_name="V100")
    Queue.objects.update(device="cuda", gpu_pattern="a100")
    slots = list(Slot.objects.select_related("worker").order_by("number"))
    any_gpu = make_queue("any-gpu", "cuda")
    Job.objects.filter(pk__in=[second.pk, later.pk]).update(queue=any_gpu)
    needs(earlier, 2)
    needs(later, 2)
    starts(slots[1], first)
    starts(slots[3], second)
    assert claim(slots[0]) is None
    assert holders(earlier) == [0]
    assert claim(slots[2]) is None
    assert (holders(earlier), holders(later)) == ([0], [2])
    Job.objects.filter(pk=later.pk).update(priority=Job.Priority.HIGH)
    starts(slots[2], later)
    assert (holders(earlier), holders(later)) == ([], [0, 2])


@pytest.mark.parametrize(
    "change",
    [
        lambda job: Job.objects.filter(pk=job.pk).update(state=State.CANCELLED),
        lambda job: Job.objects.filter(pk=job.pk).update(state=State.PAUSED),
        lambda job: Job.objects.filter(pk=job.pk).update(held=True),
        lambda job: Job.objects.filter(pk=job.pk).update(queue=make_queue("g", "cuda")),
        lambda job: Job.objects.filter(pk=job.pk).update(devices=9),
        lambda job: Job.objects.filter(pk=job.pk).delete(),
    ],
    ids=["cancelled", "paused", "held", "moved", "too large", "deleted"],
)
def test_a_slot_gives_up_a_job_that_it_had_reserved_in_vain(
    launched: Launch, four: list[Slot], change: Callable[[Job], object]
) -> None:
    high, large, small = launched(seeds=(1, 2, 3))
    Slot.objects.filter(number__gte=2).delete()
    starts(four[0], high)
    needs(large, 2)
    assert claim(four[1]) is None
    assert holders(large) == [1]
    Slot.objects.filter(pk=four[1].pk).update(job=large)
    change(large)
    starts(four[1], small)


def test_a_slot_with_nothing_to_do_gives_up_what_it_had_reserved(
    launched: Launch, four: list[Slot], cpu_queue: Queue
) -> None:
    large = needs(launched()[0], 4)
    Slot.objects.filter(pk=four[3].pk).update(job=large)
    Queue.objects.update(paused=True)
    assert claim(four[3]) is None
    assert holders(large) == []


def test_other_workers_go_on_while_one_gathers_slots(
    launched: Launch, four: list[Slot]
) -> None:
    busy, large, next_large, small = launched(seeds=(1, 2, 3, 4))
    elsewhere = [make_slot("other@here", number) for number in range(4)]
    starts(four[0], busy)
    needs(large, 4)
    needs(next_large, 4)
    assert claim(four[1]) is None
    Slot.objects.filter(pk=elsewhere[3].pk).update(drain_requested=True)
    starts(elsewhere[0], small)
    assert holders(large) == [1]
    Slot.objects.filter(pk=elsewhere[3].pk).update(drain_requested=False)
    assert claim(elsewhere[1]) is None
    assert holders(next_large) == [1], "the one behind it gathers slots there"


@pytest.mark.parametrize(
    "change",
    [
        lambda: Worker.objects.filter(name="dead@here").update(seen=LONG_AGO),
        lambda: Worker.objects.filter(name="dead@here").update(drain_requested=True),
        lambda: Slot.objects.filter(worker__name="dead@here", number=0).update(
            drain_requested=True
        ),
        lambda: Worker.objects.filter(name="dead@here").update(only_queues=["else"]),
    ],
    ids=["silent worker", "draining worker", "too few slots", "other queues"],
)
def test_slots_of_a_worker_that_will_not_run_it_do_not_block_a_job(
    launched: Launch, change: Callable[[], object]
) -> None:
    large = needs(launched()[0], 2)
    dead = [make_slot("dead@here", number) for number in range(2)]
    Slot.objects.filter(pk=dead[1].pk).update(job=large)
    alive = [make_slot("alive@here", number) for number in range(3)]
    busy = launched()[0]
    Job.objects.filter(pk=busy.pk).update(priority=Job.Priority.HIGH)
    Slot.objects.filter(pk=alive[2].pk).delete()
    taken = starts(alive[0], busy)
    assert claim(alive[1]) is None
    assert alive[1].pk not in large.slots.values_list("pk", flat=True)
    change()
    assert claim(alive[1]) is None
    assert alive[1].pk in large.slots.values_list("pk", flat=True)
    finish(taken)
    taken = starts(alive[0], large)
    assert set(large.slots.all()) == set(alive[:2]), "the dead one's slot is given up"


def test_a_job_that_starts_elsewhere_frees_the_slots_that_had_waited_for_it(
    launched: Launch, four: list[Slot]
) -> None:
    busy, large = launched(seeds=(1, 2))
    starts(four[0], busy)
    needs(large, 4)
    assert claim(four[1]) is None
    elsewhere = [make_slot("other@here", number) for number in range(4)]
    starts(elsewhere[0], large)
    four[1].refresh_from_db()
    assert four[1].job is None


def test_a_slot_reserved_for_a_job_that_another_worker_runs_is_free(
    launched: Launch, four: list[Slot]
) -> None:
    elsewhere = make_slot("other@here")
    runs, waits = launched(seeds=(1, 2))
    starts(elsewhere, runs)
    Slot.objects.filter(pk=four[0].pk).update(job=runs)
    starts(four[0], waits)


def test_a_limit_counts_slots_and_a_large_job_waits_for_its_place_in_it(
    launched: Launch, four: list[Slot]
) -> None:
    first, large, small = launched(seeds=(1, 2, 3))
    too_large = launched()[0]
    Queue.objects.update(max_running=3)
    Job.objects.filter(pk=too_large.pk).update(devices=4, position=0)
    running = claim(four[0])
    assert running is not None
    assert running.job_id == first.pk
    needs(large, 3)
    assert claim(four[1]) is None, "the small one does not overtake"
    assert holders(large) == [], "and nothing is reserved that may not start"
    finish(running)
    taken = starts(four[1], large)
    finish(taken)
    starts(four[1], small)


def test_a_large_job_keeps_its_place_under_a_limit_from_workers_too_small_for_it(
    launched: Launch, four: list[Slot]
) -> None:
    busy, large, small = launched(seeds=(1, 2, 3))
    little = make_slot("little@here")
    starts(four[0], busy)
    needs(large, 4)
    Queue.objects.update(max_running=5)
    assert claim(four[1]) is None
    assert holders(large) == [1]
    assert claim(little) is None, "the small one would take its place"
    Queue.objects.update(max_running=6)
    starts(little, small)


def test_nobody_claims_a_job_before_its_time(launched: Launch, slot: Slot) -> None:
    early, late = launched(seeds=(1, 2))
    soon = timezone.now() + timedelta(hours=1)
    Job.objects.filter(pk=early.pk).update(not_before=soon)
    assert order_of_claims(slot) == [late.pk]
    Job.objects.filter(pk=early.pk).update(not_before=LONG_AGO)
    assert order_of_claims(slot) == [early.pk]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_somebody_is_just_changing_is_skipped_and_not_waited_for(
    launched: Launch, slot: Slot
) -> None:
    first, second = launched(seeds=(1, 2))
    with transaction.atomic():
        Job.objects.filter(pk=first.pk).update(priority=Job.Priority.LOW)
        (taken,) = in_threads(lambda: take(slot), 1)
    assert taken.job_id == second.pk


@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_until_a_limit_has_been_changed_and_obeys_it(
    launched: Launch, slot: Slot, cpu_queue: Queue
) -> None:
    launched()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Queue.objects.filter(pk=cpu_queue.pk).update(paused=True)
            waiting = pool.submit(in_threads, lambda: take(slot), 1)
            time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result(10) == [None]


@pytest.mark.django_db(transaction=True)
def test_a_process_frozen_in_mid_claim_stops_the_others_for_seconds_only(
    launched: Launch, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "FROZEN_SECONDS", 1)
    first, _ = launched(seeds=(1, 2))
    frozen, woken = threading.Event(), threading.Event()

    def freeze() -> None:
        with transaction.atomic():
            assert claim(slot) is not None
            frozen.set()
            woken.wait(20)

    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(in_threads, freeze, 1)
        assert frozen.wait(10)
        (taken,) = in_threads(lambda: claim(slot), 1)
        woken.set()
        assert lost.exception(10) is not None
    assert taken.job_id == first.pk
    assert Attempt.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_slots_that_gather_and_end_large_jobs_at_once_never_deadlock(
    launched: Launch, four: list[Slot]
) -> None:
    jobs = launched(seeds=tuple(range(24)))
    for job in jobs[::3]:
        needs(job, 3)
    turns = iter(four)

    def work() -> list[int]:
        slot = next(turns)
        found = []
        until = time.monotonic() + 20
        while Job.objects.filter(state=State.QUEUED).exists():
            assert time.monotonic() < until, "nothing is claimed any more"
            taken = claim(slot)
            if taken is not None:
                found.append(taken.job_id)
                finish(taken)
        return found

    done = in_threads(work, 4)
    assert sorted(key for found in done for key in found) == [job.pk for job in jobs]
    assert not Slot.objects.filter(job__isnull=False).exists()
