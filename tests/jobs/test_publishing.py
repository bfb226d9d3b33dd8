"""An attempt publishes beside its supervisor's loop, whatever the storage does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from searchjobs import artefacts, publishing
from searchjobs.claims import Claim
from searchjobs.engine.events import Checkpointed, Event, SamplesPruned
from searchjobs.engine.search import search
from searchjobs.engine.validation import validate
from searchjobs.fencing import StaleAttemptError
from searchjobs.models import Artefact, EpochRecord, Job, Slot
from searchjobs.publishing import Publisher
from searchjobs.recorder import Recorder
from tests.jobs.conftest import Launch, take, tiny

pytestmark = pytest.mark.django_db

EPOCHS = 4


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A small search, its folder and its events."""
    folder = tmp_path_factory.mktemp("run")
    spec = validate(tiny(EPOCHS))
    return folder, list(search(spec, folder))


@pytest.fixture
def claim(launched: Launch, slot: Slot) -> Claim:
    launched(epochs=EPOCHS)
    taken = take(slot)
    assert taken is not None
    return taken


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)


def settle(publisher: Publisher) -> None:
    """Let one upload end and write its rows."""
    publisher.tick()
    transfer = publisher._transfer
    assert transfer is not None
    assert transfer.thread is not None
    transfer.thread.join()
    publisher.tick()


def finish(publisher: Publisher) -> bool:
    until = time.monotonic() + 20
    return publisher.finish(lambda: time.monotonic() < until, lambda: None)


def names() -> list[str]:
    return sorted(Artefact.objects.values_list("name", flat=True))


def test_a_search_leaves_checkpoint_prunings_and_the_log_of_its_attempt(
    claim: Claim, told: tuple[Path, list[Event]]
) -> None:
    folder, events = told
    (folder / "engine.log").write_text("an earlier attempt\n")
    publisher, recorder = Publisher(claim, folder), Recorder(claim)
    (folder / "engine.log").write_text("an earlier attempt\nthis attempt\n")
    for event in events:
        recorder.record(event)
        publisher.hear(event)
    assert finish(publisher)
    pruned = [e.artefact for e in events if isinstance(e, SamplesPruned) and e.artefact]
    assert pruned
    log = f"logs/attempt-{claim.fence:04d}.log"
    newest = f"checkpoints/epoch-{EPOCHS:05d}.pt"
    assert names() == sorted([newest, log, *pruned])
    with artefacts.open_artefact(Artefact.objects.get(name=log)) as file:
        assert file.read() == b"this attempt\n"
    row = Artefact.objects.get(name=pruned[-1])
    assert row.epoch in EpochRecord.objects.values_list("epoch", flat=True)


def test_prunings_of_an_epoch_that_is_not_recorded_wait(
    claim: Claim, told: tuple[Path, list[Event]]
) -> None:
    folder, events = told
    publisher = Publisher(claim, folder)
    for event in events:
        if isinstance(event, SamplesPruned) and event.artefact:
            publisher.hear(event)
            break
    assert publisher.waiting == {}


def test_what_was_chosen_before_the_first_epoch_waits_for_none(
    claim: Claim, told: tuple[Path, list[Event]]
) -> None:
    folder, events = told
    pruned = next(e for e in events if isinstance(e, SamplesPruned) and e.artefact)
    publisher, recorder = Publisher(claim, folder), Recorder(claim)
    for event in (
        events[0],
        pruned.model_copy(update={"epoch": 0, "balance_after": 0.9}),
    ):
        recorder.record(event)
        publisher.hear(event)
    assert publisher.waiting == {pruned.artefact: 0}
    settle(publisher)
    row = Artefact.objects.get(name=pruned.artefact)
    assert row.epoch == 0
    assert not EpochRecord.objects.exists()


def test_while_the_storage_is_away_only_the_newest_checkpoint_waits(
    claim: Claim,
    told: tuple[Path, list[Event]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 0.0)
    storage = tmp_path / "artefacts"
    storage.write_text("a file is in the way")
    folder, events = told
    saved = [event for event in events if isinstance(event, Checkpointed)]
    publisher = Publisher(claim, folder)
    for event in saved:
        publisher.hear(event)
        settle(publisher)
        if publisher._transfer is not None:
            assert publisher._transfer.thread is not None
            publisher._transfer.thread.join()
    assert "wait for" in caplog.text
    assert names() == []
    storage.unlink()
    assert finish(publisher) or finish(publisher)
    assert f"checkpoints/epoch-{EPOCHS:05d}.pt" in names()
    assert sum(name.startswith("checkpoints/") for name in names()) == 1


def test_an_attempt_ends_without_its_files_if_the_storage_is_away(
    claim: Claim, told: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    (tmp_path / "artefacts").write_text("a file is in the way")
    publisher = Publisher(claim, told[0])
    begun = time.monotonic()
    assert not finish(publisher)
    assert time.monotonic() - begun < 5


def test_a_stale_attempt_uploads_nothing(
    claim: Claim, told: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    folder, events = told
    publisher = Publisher(claim, folder)
    publisher.hear(next(e for e in events[::-1] if isinstance(e, Checkpointed)))
    Job.objects.filter(pk=claim.job_id).update(fence=claim.fence + 1)
    with pytest.raises(StaleAttemptError):
        publisher.tick()
    assert not (tmp_path / "artefacts").exists()


def test_what_a_stale_attempt_was_uploading_is_removed_again(
    claim: Claim, told: tuple[Path, list[Event]], tmp_path: Path, wait_until: Any
) -> None:
    folder, events = told
    publisher = Publisher(claim, folder)
    publisher.hear(next(e for e in events[::-1] if isinstance(e, Checkpointed)))
    publisher.tick()
    transfer = publisher._transfer
    assert transfer is not None
    assert transfer.thread is not None
    transfer.thread.join()
    Job.objects.filter(pk=claim.job_id).update(fence=claim.fence + 1)
    files = lambda: [p for p in (tmp_path / "artefacts").rglob("*") if p.is_file()]  # noqa: E731
    assert files()
    with pytest.raises(StaleAttemptError):
        publisher.tick()
    wait_until(lambda: not files(), what="the removal")
    assert names() == []


def test_the_next_attempt_publishes_what_the_last_had_no_time_for_and_nothing_twice(
    claim: Claim, told: tuple[Path, list[Event]]
) -> None:
    folder, events = told
    first = Publisher(claim, folder)
    pruned = [e for e in events if isinstance(e, SamplesPruned) and e.artefact]
    done = pruned[0].artefact
    artefacts.publish(claim, folder, done, pruned[0].epoch)
    assert done not in first.waiting
    second = Publisher(claim, folder)
    for event in events:
        second.hear(event, again=True)
    assert done not in second.waiting
    assert set(second.waiting) == {
        *(each.artefact for each in pruned[1:]),
        f"checkpoints/epoch-{EPOCHS:05d}.pt",
    }
    assert finish(second)
    third = Publisher(claim, folder)
    for event in events:
        third.hear(event, again=True)
    assert third.waiting == {}


def test_a_search_that_went_back_does_not_publish_older_checkpoints(
    claim: Claim, told: tuple[Path, list[Event]]
) -> None:
    folder, events = told
    saved = [event for event in events if isinstance(event, Checkpointed)]
    publisher = Publisher(claim, folder)
    publisher.hear(saved[-1])
    settle(publisher)
    publisher.hear(saved[0])
    assert publisher.waiting == {}
    publisher.hear(saved[-1])  # a derivation saves the last epoch again and again
    assert publisher.waiting == {saved[-1].path: saved[-1].epoch}
