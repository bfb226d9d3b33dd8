from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from searchjobs import child, runfolder
from searchjobs.runfolder import LOG_LINES, EventFile, FolderBusyError


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
    events = EventFile(tmp_path / "nowhere")
    events.drop_torn_line()
    assert list(events.unread()) == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("one\ntw", "one\n"),
        ("one\n", "one\n"),
        ("o", ""),
        ("one\n" + "x" * 200_000, "one\n"),
    ],
)
def test_what_a_kill_left_of_a_line_is_cut_off(
    tmp_path: Path, written: str, kept: str
) -> None:
    write(tmp_path, written).drop_torn_line()
    assert (tmp_path / "events.jsonl").read_text() == kept


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    assert runfolder.log_tail(tmp_path) == ""
    lines = [f"line {number}\0" for number in range(LOG_LINES + 50)]
    runfolder.log_path(tmp_path).write_text("\n".join(lines) + "\n")
    tail = runfolder.log_tail(tmp_path).splitlines()
    assert len(tail) == LOG_LINES
    assert tail[-1] == f"line {LOG_LINES + 49}"


def holder(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock of a folder, as an engine does."""
    descriptor = runfolder.lock(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        pass_fds=(descriptor,),
        start_new_session=True,
    )
    runfolder.name_holder(descriptor, process.pid)
    os.close(descriptor)
    return process


def test_an_orphan_that_still_writes_here_is_killed(tmp_path: Path) -> None:
    orphan = holder(tmp_path)
    try:
        os.close(runfolder.lock(tmp_path))
        assert orphan.wait(10) == -9
    finally:
        orphan.kill()
        orphan.wait()


def test_an_engine_on_another_machine_is_waited_for_and_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runfolder, "LOCK_WAIT_SECONDS", 0.3)
    other = holder(tmp_path)
    try:
        (tmp_path / "lock").write_text(f"elsewhere {other.pid}")
        with pytest.raises(FolderBusyError, match="An engine on elsewhere still works"):
            runfolder.lock(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    os.close(runfolder.lock(tmp_path))


def test_the_engine_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("SECRET_KEY_FILE", "/run/secrets/key")
    monkeypatch.setenv("NASWEB_DATA_ROOT", "/data")
    found = child._environment({"OMP_NUM_THREADS": "3"})
    assert not {"DATABASE_URL", "SECRET_KEY_FILE", "REDIS_URL"} & found.keys()
    assert found["NASWEB_DATA_ROOT"] == "/data"
    assert found["OMP_NUM_THREADS"] == "3"
