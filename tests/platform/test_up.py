"""`manage.py up` as a person runs it, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import psycopg2
import pytest

from nasweb import embedded
from searchjobs.engine.orphans import die_with_parent
from tests.servers import ROOT, answers, free_port, wait_until

UP = [sys.executable, "manage.py", "up"]


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nasweb-up-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def environment(home: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a person who has set nothing but these."""
    ours = ("NASWEB_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PORT")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return {**kept, "NASWEB_HOME": str(home), "OMP_NUM_THREADS": "1", **changes}


def start(
    env: dict[str, str], output: IO[bytes], *arguments: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*UP, *arguments],
        cwd=ROOT,
        env=env,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )


def query(home: Path, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(embedded.postgres_url(home))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_up_starts_everything_and_ctrl_c_stops_all_of_it(home: Path) -> None:
    port = free_port()
    log = home / "up.log"
    with log.open("wb") as output:
        process = start(environment(home, PORT=str(port)), output)
        try:

            def said(pattern: str) -> re.Match[str] | None:
                text = log.read_text(errors="replace")
                assert process.poll() is None, text
                return re.search(pattern, text)

            wait_until(lambda: said("nasweb is ready: "), seconds=120, what="the site")
            assert said(rf"http://localhost:{port}/")
            password = said(r"with password +(\S+)")
            assert password is not None
            assert answers(f"http://127.0.0.1:{port}/accounts/login/")
            wait_until(
                lambda: query(home, "SELECT 1 FROM searchjobs_attempt"),
                seconds=120,
                what="the example search to begin",
            )
            assert query(home, "SELECT number FROM searchjobs_slot") == [(0,)]
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) > 5
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert "stopped; your data are in" in log.read_text()
    assert "Traceback" not in log.read_text()
    state = _state_after_the_stop(home)
    assert state == "queued"  # given back at once, to go on from its checkpoint


def _state_after_the_stop(home: Path) -> object:
    with embedded.servers(home, redis=False):
        (found,) = query(home, "SELECT state, fence FROM searchjobs_job")
    return found[0]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"DATABASE_URL": "postgresql://me:hidden@127.0.0.1:1/nasweb"},
            "The PostgreSQL of DATABASE_URL cannot be used",
        ),
        (
            {"NASWEB_CPU_SLOTS": "many"},
            "NASWEB_CPU_SLOTS is 'many'; set it to a whole number",
        ),
        ({"PORT": "80000"}, "PORT is '80000'; set it to a whole number from 0 to"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    home: Path, variables: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        UP,
        cwd=ROOT,
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()
    assert len(last) == 1, done.stderr
    assert sentence in last[0]
    assert "hidden" not in done.stdout + done.stderr
