"""A line of events is in the file whole or not at all, whatever ends its writer."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys

import pytest

from searchjobs.engine import eventlog
from searchjobs.engine.eventlog import EventLog, drop_torn_line
from searchjobs.engine.files import write_whole


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("one\ntw", "one\n"),
        ("one\n", "one\n"),
        ("o", ""),
        ("", ""),
        ("one\n" + "x" * (3 * eventlog.WINDOW), "one\n"),
        ("x" * eventlog.WINDOW + "\n" + "y" * eventlog.WINDOW, "x" * 65536 + "\n"),
    ],
)
def test_what_a_kill_left_of_a_line_is_cut_off(tmp_path, written, kept):
    path = tmp_path / eventlog.NAME
    path.write_text(written)
    drop_torn_line(path)
    assert path.read_text() == kept
    log = EventLog(tmp_path)
    log.write("next\n")
    log.close()
    assert path.read_text() == kept + "next\n"


def limited(folder, code, most):
    """Run Python code in a process whose files may have ``most`` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert done.returncode != -signal.SIGXFSZ
    return done


def test_a_line_for_which_there_is_no_room_leaves_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from searchjobs.engine.eventlog import EventLog\n"
        "log = EventLog(Path(sys.argv[1]))\n"
        "log.write('a' * 900 + '\\n', durable=True)\n"
        "try:\n"
        "    log.write('b' * 900 + '\\n')\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
        "log.write('c\\n')\n"
    )
    done = limited(tmp_path, code, 1000)
    assert done.stdout == f"{errno.EFBIG}\n", done.stderr
    lines = (tmp_path / eventlog.NAME).read_text().splitlines()
    assert lines == ["a" * 900, "c"]


def test_a_file_for_which_there_is_no_room_stays_what_it_was(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"good")
    code = (
        "import sys; from pathlib import Path\n"
        "from searchjobs.engine.files import write_whole\n"
        "write_whole(Path(sys.argv[1], 'file'), b'x' * 5000)\n"
    )
    done = limited(tmp_path, code, 1000)
    assert "OSError" in done.stderr
    assert path.read_bytes() == b"good"
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "no half is left"
