from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from nasweb.pages import health
from tests.servers import environment

FINE = {"database": "ok", "redis": "ok", "migrations": "ok", "storage": "ok"}


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_migrated", False)


def told(client: Client) -> tuple[int, dict[str, str]]:
    answer = client.get("/healthz")
    said = answer.json()
    assert said.pop("version")
    return answer.status_code, said


@pytest.mark.django_db
def test_all_is_well_without_a_log_in(client: Client) -> None:
    assert told(client) == (200, FINE)


@pytest.mark.django_db
def test_without_redis_the_site_is_up_and_says_so(
    client: Client, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert told(client) == (200, FINE | {"redis": "unreachable"})


@pytest.mark.django_db
def test_a_migration_that_is_still_to_come_is_seen_until_it_has_come(
    client: Client, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    known = MigrationRecorder(connection).migration_qs
    last = known.filter(app="searchjobs").order_by("-name").first()
    known.filter(pk=last.pk).delete()
    assert told(client) == (200, FINE | {"migrations": "pending"})
    last.save()
    assert told(client) == (200, FINE)
    with django_assert_max_num_queries(1):
        assert told(client) == (200, FINE)


@pytest.mark.django_db
def test_a_storage_that_takes_no_files_is_seen(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setattr(health, "storage", lambda: FileSystemStorage(file / "x"))
    assert told(client) == (200, FINE | {"storage": "not writable"})


def test_without_postgresql_the_site_is_not_up(servers: Any) -> None:
    """A site whose database is away answers 503, and says what is the matter."""
    program = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "answer = Client().get('/healthz')\n"
        "print(answer.status_code, answer.content.decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(DATABASE_URL="postgresql://x@127.0.0.1:1/x"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    status, _, said = done.stdout.strip().partition(" ")
    assert status == "503"
    assert json.loads(said)["database"] == "unreachable"
    assert json.loads(said)["migrations"] == "unknown"
    assert "Traceback" not in done.stdout
