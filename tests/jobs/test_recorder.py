"""Events of a real search, told in every order that a crash can make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from pytest_django import DjangoAssertNumQueries

from searchjobs import bell
from searchjobs.engine.events import (
    EpochFinished,
    Event,
    Failed,
    Finished,
    Progress,
    SamplesPruned,
    StopSuggested,
)
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.fencing import StaleAttemptError
from searchjobs.models import DatasetStatistics, EpochRecord, Job, Run, Slot
from searchjobs.queueing import release_expired
from searchjobs.recorder import Recorder
from searchjobs.states import State
from tests.jobs.conftest import Launch, take, tiny

pytestmark = pytest.mark.django_db

Recording = tuple[Job, Recorder]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """What a real search of four epochs tells."""
    return list(search(validate({**tiny(4), "seed": 1})))


@pytest.fixture
def recording(launched: Launch, slot: Slot) -> Recording:
    (job,) = launched(epochs=4)
    taken = take(slot)
    assert taken is not None
    return job, Recorder(taken)


def rows(job: Job) -> dict[str, list[Any]]:
    """Return all that was recorded of a run, without keys and times."""
    epochs = EpochRecord.objects.filter(run__job=job).values()
    sets = DatasetStatistics.objects.filter(run__job=job).values()
    hidden = {"id", "recorded"}
    return {
        "epochs": [{k: v for k, v in row.items() if k not in hidden} for row in epochs],
        "sets": [{k: v for k, v in row.items() if k not in hidden} for row in sets],
        "run": list(Run.objects.filter(job=job).values()),
    }


def test_an_epoch_is_told_whole(recording: Recording, events: list[Event]) -> None:
    job, recorder = recording
    for event in events:
        recorder.record(event)
    second = next(e for e in events if isinstance(e, EpochFinished) and e.epoch == 2)
    record = EpochRecord.objects.get(run__job=job, epoch=2)
    assert record.alpha == second.alpha
    assert record.train_loss == second.train_loss
    assert record.genotype == record.architecture.encoding == second.genotype
    told = {
        **record.report,
        **{
            name: getattr(record, name)
            for name in type(second).model_fields
            if name not in record.report and name != "type"
        },
    }
    assert EpochFinished.model_validate(told) == second, "nothing of it is lost"
    state = DatasetStatistics.objects.get(run__job=job, epoch=2, set="T")
    pruned = next(e for e in events if isinstance(e, SamplesPruned) and e.set == "T")
    assert state.class_counts == second.sets["T"].class_counts
    assert SamplesPruned.model_validate(state.event) == pruned
    assert DatasetStatistics.objects.get(run__job=job, epoch=1, set="T").event is None


def test_an_epoch_that_is_told_again_stands_once(
    recording: Recording, events: list[Event]
) -> None:
    job, recorder = recording
    for event in events:
        recorder.record(event)
    before = rows(job)
    for event in events:
        recorder.record(event)
    again = Recorder(recorder.claim)
    for event in events:
        again.replay(event)
    assert rows(job) == before
    assert again.finished


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_replay_completes_what_a_killed_worker_began(
    recording: Recording, events: list[Event], cut: int
) -> None:
    job, recorder = recording
    essential = [event for event in events if not isinstance(event, Progress)]
    for event in essential[:cut]:
        recorder.record(event)
    after_crash = Recorder(recorder.claim)
    for event in essential[:-1]:
        after_crash.replay(event)
    after_crash.record(essential[-1])
    epochs = EpochRecord.objects.filter(run__job=job).values_list("epoch", flat=True)
    assert list(epochs) == [1, 2, 3, 4]
    pruned = DatasetStatistics.objects.filter(run__job=job, event__isnull=False)
    told = sum(isinstance(event, SamplesPruned) for event in events)
    assert pruned.count() == told > 0


def test_a_stale_attempt_writes_nothing(
    recording: Recording, events: list[Event], slot: Slot
) -> None:
    job, stale = recording
    stale.record(events[0])
    Job.objects.update(lease_expires="2020-01-01T00:00Z")
    release_expired()
    taken = take(slot)
    assert taken is not None
    before = rows(job)
    progress = Progress(epoch=1, epochs=4, step=1, steps=8)
    suggestion = StopSuggested(
        rule="r", epoch=1, architecture_epoch=1, stopped=False, reason="because"
    )
    # Of progress only one: what comes within a second of another is not written.
    silent = {"progress", "samples_pruned", "checkpointed"}
    told = [event for event in events if event.type not in silent]
    for event in [*told, progress, suggestion]:
        with pytest.raises(StaleAttemptError):
            stale.record(event)
    assert rows(job) == before
    job.refresh_from_db()
    assert (job.state, job.progress) == (State.STARTING, {})
    assert job.fence == stale.claim.fence + 1


def test_an_epoch_takes_few_queries(
    recording: Recording,
    events: list[Event],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    _, recorder = recording
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    recorder.record(epochs[0])
    known = epochs[1].model_copy(update={"genotype": epochs[0].genotype})
    # BEGIN is not counted in a test: savepoint, lock, epoch, sets, run, the epochs and
    # the events of the attempt, release.
    with django_assert_max_num_queries(8):
        recorder.record(known)


def test_progress_is_kept_but_not_more_than_once_a_second(
    recording: Recording,
) -> None:
    job, recorder = recording
    for step in (1, 2, 3):
        recorder.record(Progress(epoch=1, epochs=4, step=step, steps=8))
    job.refresh_from_db()
    assert (job.progress["step"], job.progress["steps"]) == (1, 8)


def test_a_suggestion_to_stop_stands_once_beside_its_epoch(
    recording: Recording, events: list[Event]
) -> None:
    job, recorder = recording
    recorder.record(next(e for e in events if isinstance(e, EpochFinished)))
    for rule in ("a", "b", "a"):
        recorder.record(
            StopSuggested(
                rule=rule, epoch=1, architecture_epoch=1, stopped=False, reason="flat"
            )
        )
    report = EpochRecord.objects.get(run__job=job, epoch=1).report
    assert [told["rule"] for told in report["stop_suggestions"]] == ["b", "a"]


def test_what_a_rule_names_is_listed_while_the_search_goes_on(
    recording: Recording, events: list[Event]
) -> None:
    job, recorder = recording
    first, second = [e for e in events if isinstance(e, EpochFinished)][:2]
    recorder.record(first)
    recorder.record(second)
    for title in ("sc_2", "sc_3", "sc_2"):
        recorder.record(
            StopSuggested(
                rule="darts-plus-skips",
                title=title,
                epoch=2,
                architecture_epoch=1,
                stopped=False,
                reason="Enough.",
            )
        )
    listed = Run.objects.get(job=job).architectures
    assert [each["criterion"] for each in listed] == ["sc_3", "sc_2"]
    assert listed[0] == {
        "derivation": "darts-plus-skips",
        "epoch": 1,
        "architecture": first.genotype,
        "connected": first.connected,
        "criterion": "sc_3",
        "note": "Enough.",
        "without_none": first.genotype_without_none,
    }
    finished = next(e for e in events if isinstance(e, Finished))
    recorder.record(finished)
    told = [each.model_dump(mode="json") for each in finished.architectures]
    assert Run.objects.get(job=job).architectures == told


def test_the_result_brings_the_accuracy_of_its_own_epoch(
    recording: Recording, events: list[Event]
) -> None:
    job, recorder = recording
    told = [e for e in events if isinstance(e, EpochFinished)]
    cell, other = told[0].genotype, "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for number, event in enumerate(told, start=1):
        genotype = cell if number < 4 else other
        changed = {"genotype": genotype, "inherited_accuracy": number / 10}
        recorder.record(event.model_copy(update=changed))
    finished = next(e for e in events if isinstance(e, Finished))
    for architecture, epoch, expected in (
        (cell, 2, 0.2),  # that of the epoch that is named
        (cell, 4, 0.3),  # the newest epoch that held it
        ("|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|", 4, None),
    ):
        given = finished.architectures[0].model_copy(
            update={"architecture": architecture, "epoch": epoch}
        )
        recorder.record(finished.model_copy(update={"architectures": [given]}))
        assert Run.objects.get(job=job).inherited_accuracy == expected


def test_a_failure_is_kept_for_the_supervisor(recording: Recording) -> None:
    _, recorder = recording
    recorder.replay(Failed(sentence="An old one."))
    assert recorder.failure is None
    failed = Failed(sentence="Lower the learning rate.", kind="diverged")
    recorder.record(failed)
    assert recorder.failure == failed


@pytest.fixture
def bells(recording: Recording) -> Iterator[Callable[[], list[str]]]:
    """A function that returns what was rung for the run since the last call."""
    job, _ = recording
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as pubsub:
        pubsub.subscribe(bell.run_channel(job.run.uuid))
        pubsub.get_message(timeout=5)

        def heard() -> list[str]:
            found = []
            while message := pubsub.get_message(timeout=0.3):
                found.append(message["data"].decode())
            return found

        yield heard


@pytest.mark.django_db(transaction=True)
def test_live_pages_hear_of_an_epoch_after_its_commit(
    recording: Recording, events: list[Event], bells: Callable[[], list[str]]
) -> None:
    _, recorder = recording
    recorder.record(next(e for e in events if isinstance(e, EpochFinished)))
    assert bells() == ["1"]


@pytest.mark.django_db(transaction=True)
def test_without_redis_nothing_is_lost(
    recording: Recording, events: list[Event], settings: Any
) -> None:
    job, recorder = recording
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for event in events:
        recorder.record(event)
    assert EpochRecord.objects.filter(run__job=job).count() == 4
