from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from searchjobs import child, runfolder
from searchjobs.fencing import StaleAttemptError
from searchjobs.models import Attempt, Job, Slot
from searchjobs.queueing import end, give_back
from searchjobs.runfolder import LOG_LINES, EventFile, FolderBusyError
from searchjobs.states import State
from tests.jobs.conftest import Launch, take


def write(folder: Path, text: str) -> EventFile:
    with (folder / "events.jsonl").open("a") as file:
        file.write(text)
    return EventFile(folder)


def test_events_are_read_once_and_only_when_their_line_is_whole(tmp_path: Path) -> None:
    events = write(tmp_path, "one\ntwo\nthr")
    assert list(events.unread()) == [b"one\n", b"two\n"]
    assert list(events.unread()) == []
    write(tmp_path, "ee\n")
    assert list(events.unread()) == [b"three\n"]


def test_an_event_whose_recording_failed_comes_again(tmp_path: Path) -> None:
    events = write(tmp_path, "one\ntwo\n")
    for line in events.unread():
        if line == b"two\n":
            break
    assert list(events.unread()) == [b"two\n"]


def test_a_folder_without_events_has_none(tmp_path: Path) -> None:
    assert list(EventFile(tmp_path / "nowhere").unread()) == []


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    assert runfolder.log_tail(tmp_path) == ""
    lines = [f"line {number}\0" for number in range(LOG_LINES + 50)]
    runfolder.log_path(tmp_path).write_text("\n".join(lines) + "\n")
    tail = runfolder.log_tail(tmp_path).splitlines()
    assert len(tail) == LOG_LINES
    assert tail[-1] == f"line {LOG_LINES + 49}"


SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts a sleeping process, which does not outlive the test."""
    found: list[subprocess.Popen[bytes]] = []

    def go(code: str = SLEEP, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code]
        found.append(subprocess.Popen(command, start_new_session=True, **options))
        return found[-1]

    yield go
    for process in found:
        process.kill()
        process.wait()


@pytest.fixture
def holder(started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> Any:
    """A process that holds the lock of a folder, as an engine does."""
    with runfolder.locked(tmp_path, 1) as descriptor:
        process = started(pass_fds=(descriptor,))
        runfolder.name_holder(descriptor, process.pid)
    return process


def test_an_orphan_that_still_writes_here_is_killed(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    with runfolder.locked(tmp_path, 1):
        assert holder.wait(10) == -9


def test_an_engine_on_another_machine_is_waited_for_and_not_killed(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "lock").write_text(f"elsewhere {holder.pid}")
    with (
        pytest.raises(FolderBusyError, match="An engine on elsewhere still works"),
        runfolder.locked(tmp_path, 1, seconds=0.3),
    ):
        pass
    assert holder.poll() is None
    holder.kill()
    holder.wait()
    with runfolder.locked(tmp_path, 1):
        pass


def test_an_attempt_that_comes_late_ends_no_engine_of_its_successor(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    runfolder.mark(tmp_path, 2)
    with pytest.raises(StaleAttemptError), runfolder.locked(tmp_path, 1):
        pass
    assert holder.poll() is None
    with runfolder.locked(tmp_path, 3):
        assert holder.wait(10) == -9


def test_what_left_the_group_of_an_engine_is_killed_before_the_next_one_starts(
    tmp_path: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    def marked(folder: Path, start: str) -> subprocess.Popen[bytes]:
        mark = runfolder.family_of(folder) + start
        return started(env={**os.environ, runfolder.FAMILY: mark})

    mine, other = marked(tmp_path, "one"), marked(tmp_path / "other", "one")
    later = marked(tmp_path, "two")
    runfolder.kill_family(runfolder.family_of(tmp_path) + "one")
    assert mine.wait(10) == -9
    assert later.poll() is None
    with runfolder.locked(tmp_path, 1):
        assert later.wait(10) == -9
        assert other.poll() is None


@pytest.mark.django_db
def test_an_engine_whose_job_went_on_without_it_is_killed_and_no_other(
    launched: Launch,
    slot: Slot,
    started: Callable[..., subprocess.Popen[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def engine(folder: Path, attempt: str) -> subprocess.Popen[bytes]:
        marks = {runfolder.FAMILY: f"{runfolder.family_of(folder)}a"}
        if attempt:
            marks[runfolder.ATTEMPT] = attempt
        return started(env={**os.environ, **marks})

    def taken_until(given_back: int) -> Job:
        taken = take(slot)
        assert taken is not None
        for fence in range(1, given_back + 1):
            give_back(taken.job_id, fence, Attempt.Outcome.LOST, "It was lost.")
            if fence < given_back:
                assert take(slot) is not None
        return Job.objects.get(pk=taken.job_id)

    launched(seeds=(1, 2, 3))
    held, again = taken_until(0), taken_until(1)
    taken = take(slot)
    assert taken is not None
    assert (taken.job_id, taken.fence) == (again.pk, 2)
    waits = taken_until(1)
    folders = {job: runfolder.folder_of(job.uuid) for job in (held, again, waits)}
    mine = [engine(folders[held], "1"), engine(folders[again], "2")]
    others = [
        engine(runfolder.folder_of(uuid4()), "1"),
        engine(folders[waits].parent / "elsewhere" / folders[waits].name, "1"),
        engine(folders[waits].parent / "no-job", "1"),
        engine(folders[waits], ""),
        started(),
    ]
    stale = [engine(folders[again], "1"), engine(folders[waits], "1")]
    runfolder.end_stale_engines()
    assert [each.wait(10) for each in stale] == [-9, -9]
    assert [each.poll() for each in [*mine, *others]] == [None] * 7
    for job in (again, waits):
        assert f"The engine of attempt 1 of job {job.uuid} still ran here" in (
            caplog.text
        )
    assert caplog.text.count("still ran here") == 2
    end(held.pk, 1, State.CANCELLED, Attempt.Outcome.CANCELLED)
    runfolder.end_stale_engines()
    assert mine[0].wait(10) == -9
    assert mine[1].poll() is None


def test_the_engine_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("SECRET_KEY_FILE", "/run/secrets/key")
    monkeypatch.setenv("NASWEB_DATA_ROOT", "/data")
    found = child._environment({"OMP_NUM_THREADS": "3"})
    assert not {"DATABASE_URL", "SECRET_KEY_FILE", "REDIS_URL"} & found.keys()
    assert found["NASWEB_DATA_ROOT"] == "/data"
    assert found["OMP_NUM_THREADS"] == "3"


STATES = [
    # the mark, attempts that have recorded epochs, the first whose files count
    pytest.param(0, [], 1, True, id="nothing has run"),
    pytest.param(2, [1, 2], 1, True, id="the last attempt ran here"),
    pytest.param(1, [1], 1, True, id="the last attempt got nowhere"),
    pytest.param(0, [], 1, True, id="files of a version without marks"),
    pytest.param(1, [1, 2], 1, False, id="it has gone on elsewhere"),
    pytest.param(0, [2], 1, False, id="it has only run elsewhere"),
    pytest.param(2, [1, 2], 3, False, id="queued again from the start"),
    pytest.param(0, [], 3, False, id="queued again from the start, unmarked"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("mark", "recorded", "files_from", "trusted"), STATES)
def test_files_are_trusted_unless_the_job_has_gone_on_without_them(
    launched: Launch,
    slot: Slot,
    tmp_path: Path,
    mark: int,
    recorded: list[int],
    files_from: int,
    trusted: bool,
) -> None:
    (job,) = launched()
    Job.objects.update(files_from=files_from)
    for number in (1, 2, 3):
        taken = take(slot)
        assert taken is not None
        epochs = 5 if number in recorded else 0
        Attempt.objects.filter(number=number).update(epochs=epochs)
        if number < 3:
            give_back(job.pk, number, Attempt.Outcome.INTERRUPTED, "The worker left.")
    folder = tmp_path / "run"
    checkpoint = folder / "checkpoints" / "epoch-00001.pt"
    checkpoint.parent.mkdir(parents=True)
    for path in (checkpoint, folder / "events.jsonl", runfolder.log_path(folder)):
        path.write_text("one\n")
    if mark:
        runfolder.mark(folder, mark)
    assert runfolder.marked(folder) == mark
    assert runfolder.prepare(folder, taken) is trusted
    assert checkpoint.exists() is trusted
    assert (folder / "events.jsonl").exists() is trusted
    assert runfolder.log_tail(folder) == "one", "what people read is kept"
    runfolder.mark(folder, taken.fence)
    assert runfolder.prepare(folder, taken), "asked again, it is our own"
    late = replace(taken, fence=taken.fence - 1)
    with pytest.raises(StaleAttemptError):
        runfolder.prepare(folder, late)
