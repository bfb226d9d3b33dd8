from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from nasweb import embedded
from nasweb.embedded import ServerError, servers
from tests.servers import ROOT, wait_until


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path that the user of the servers may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="nasweb-embedded-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def execute(home: Path, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(embedded.postgres_url(home))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_a_second_start_finds_the_data_of_the_first(home: Path) -> None:
    with servers(home, redis=False, durable=False):
        execute(home, "CREATE TABLE note AS SELECT 42 AS answer")
    with servers(home, redis=False, durable=False):
        assert execute(home, "SELECT answer FROM note") == [(42,)]


def test_a_stopped_server_starts_again_on_its_data(home: Path) -> None:
    with servers(home, redis=False, durable=False) as started:
        execute(home, "CREATE TABLE note AS SELECT 42 AS answer")
        (postgres,) = started
        postgres.stop()
        assert not postgres.is_running()
        with pytest.raises(psycopg2.OperationalError):
            execute(home, "SELECT answer FROM note")
        postgres.start()
        assert execute(home, "SELECT answer FROM note") == [(42,)]


def test_no_server_outlives_the_block(home: Path) -> None:
    with servers(home, durable=False) as started:
        processes = [
            psutil.Process(server.process.pid) for server in started if server.process
        ]
        assert {server.name for server in started} == {"postgres", "redis"}
    assert not any(process.is_running() for process in processes)
    assert not list(embedded.socket_folder(home).glob("*.pid"))


def test_a_second_start_beside_the_first_is_refused_in_one_sentence(home: Path) -> None:
    with (
        servers(home, postgres=False, redis=False),
        pytest.raises(ServerError, match=f"already runs from .* {os.getpid()}"),
        servers(home, postgres=False, redis=False),
    ):
        pass


def test_a_killed_owner_leaves_no_server_and_the_next_start_works(home: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from nasweb import embedded\n"
        "with embedded.servers(Path(sys.argv[1]), durable=False) as s:\n"
        "    print(*(server.process.pid for server in s), flush=True)\n"
        "    time.sleep(60)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    owner.kill()
    owner.wait()
    owner.stdout.close()
    if sys.platform.startswith("linux"):  # elsewhere the next start stops them
        wait_until(lambda: not any(map(psutil.pid_exists, pids)), seconds=15)
    with servers(home, durable=False):
        assert execute(home, "SELECT 1") == [(1,)]


def test_a_server_that_was_left_running_is_stopped_before_the_next(home: Path) -> None:
    with servers(home, postgres=False):
        pass
    folder = embedded.socket_folder(home)
    stale = embedded._redis(home)
    stale.start()
    assert (folder / "redis.pid").exists()
    with servers(home, postgres=False):
        wait_until(lambda: not stale.is_running(), seconds=5)
    assert not (folder / "redis.pid").exists()


def test_a_pid_file_that_names_another_program_harms_nobody(home: Path) -> None:
    folder = embedded.socket_folder(home)
    folder.mkdir(parents=True)
    (folder / "postgres.pid").write_text(str(os.getpid()))
    (folder / "redis.pid").write_text("not a number")
    with servers(home, postgres=False):
        assert psutil.pid_exists(os.getpid())


def test_a_long_path_gets_a_short_folder_for_its_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 30)
    folder = embedded.socket_folder(long)
    assert len(str(folder / ".s.PGSQL.5432")) < embedded.SOCKET_PATH_LIMIT
    assert folder == embedded.socket_folder(long)
    assert folder != embedded.socket_folder(tmp_path / ("long" * 30))


def test_a_full_disk_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LEAST_FREE_BYTES", 2**62)
    with pytest.raises(ServerError, match=r"is full .* set NASWEB_HOME"), servers(home):
        pass
    output = "LOG: x\nFATAL: could not write file: No space left on device\n"
    assert "is full" in embedded._why("postgres", home, output)


def test_data_of_a_version_that_is_not_installed_are_left_alone(home: Path) -> None:
    data = home / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(ServerError, match="was made by PostgreSQL 9"),
        servers(home, redis=False),
    ):
        pass
    assert (data / "PG_VERSION").read_text() == "9\n"


def test_only_the_owner_may_enter_the_folder_of_the_sockets(home: Path) -> None:
    with servers(home, postgres=False):
        assert embedded.socket_folder(home).stat().st_mode & 0o777 == 0o700
