"""`manage.py doctor` against real servers, and against ones that are not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from nasweb import __version__, doctor
from searchjobs import gpus, machine, workers
from searchjobs.models import Job, Queue, Team, Worker
from searchjobs.states import State
from tests.servers import ROOT, environment
from tests.site.factories import make_run

CPU = {"device": "cpu", "device_name": "CPU, 2 cores", "threads": 1}


def found(topic: str, level: str = "") -> list[str]:
    """Return what the doctor says about a topic, with the remedies."""
    return [
        f"{each.sentence} → {each.remedy}"
        for each in doctor.examine()
        if each.topic == topic and level in {"", each.level}
    ]


def only_asks(monkeypatch: pytest.MonkeyPatch, *topics: str) -> None:
    chosen = tuple(each for each in doctor.CHECKS if each[0] in topics)
    monkeypatch.setattr(doctor, "CHECKS", chosen)


@pytest.mark.django_db
def test_an_installation_that_is_well_gets_no_cross() -> None:
    workers.register("w@here", [CPU])
    out = StringIO()
    call_command("doctor", stdout=out, no_color=True)
    said = out.getvalue()
    assert "✕" not in said
    for topic in ("settings", "packages", "database", "broker", "storage", "gpus"):
        assert f"✓ {topic}" in said
    assert "1 workers answer, with 1 slots" in said
    assert "PostgreSQL" in said
    assert "Redis" in said


def run_doctor(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_servers_that_are_not_there_are_crosses_with_remedies_and_exit_code_1(
    servers: Any,
) -> None:
    done = run_doctor(
        "--json",
        DATABASE_URL=re.sub(r"/\w+\?", "/nowhere?", environment()["DATABASE_URL"]),
        REDIS_URL="redis://:pass-w0rd@127.0.0.1:1/0",
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is False
    by_topic: dict[str, list[dict[str, str]]] = {}
    for each in told["findings"]:
        by_topic.setdefault(each["topic"], []).append(each)
    (database,) = by_topic["database"]
    assert database["level"] == "fault"
    assert 'database "nowhere" does not exist' in database["sentence"]
    assert "DATABASE_URL" in database["remedy"]
    (broker,) = by_topic["broker"]
    assert broker["level"] == "fault"
    assert "REDIS_URL" in broker["remedy"]
    assert by_topic["workers"][0]["sentence"].startswith("Not checked")
    assert {each["level"] for each in by_topic["storage"]} <= {"ok", "warning"}
    assert "pass-w0rd" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_public_addresses_are_checked_in_production(servers: Any) -> None:
    done = run_doctor(
        "--json",
        DJANGO_SETTINGS_MODULE="nasweb.settings.production",
        SECRET_KEY="x" * 10 + "yz" * 30,
        NASWEB_HOSTS="*",
        NASWEB_ORIGINS="http://nas.example.org",
        NASWEB_BEAT_SECONDS="30",
        NASWEB_NO_SUCH="1",
    )
    about = [
        f"{each['level']} {each['sentence']} {each['remedy']}"
        for each in json.loads(done.stdout)["findings"]
        if each["topic"] == "settings"
    ]
    text = "\n".join(about)
    assert "warning NASWEB_HOSTS is *" in text
    assert "fault NASWEB_ORIGINS has http://nas.example.org" in text
    assert "NASWEB_BEHIND_PROXY=1" in text
    assert "A lease lasts 60 s and is renewed every 30 s" in text
    assert "NASWEB_NO_SUCH is no setting" in text
    assert done.returncode == 1


@pytest.mark.django_db
def test_migrations_that_are_still_to_come_are_a_cross(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_asks(monkeypatch, "database")
    known = MigrationRecorder(connection).migration_qs
    known.filter(app="searchjobs").order_by("-name")[:1].get().delete()
    (said,) = found("database", "fault")
    assert "1 migrations are still to come" in said
    assert "manage.py migrate" in said


@pytest.mark.django_db
def test_workers_that_are_silent_old_late_or_full_are_told(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    only_asks(monkeypatch, "workers")
    assert found("workers", "warning")[0].startswith("No worker answers")
    now = timezone.now()
    mine = machine.versions()
    rows = {
        "fine": {"versions": mine},
        "silent": {"versions": mine, "seen": now - timedelta(seconds=500)},
        "old": {"versions": mine | {"nasweb": "0.0.1", "torch": "1.0"}},
        "late": {"versions": mine, "clock_offset": -7.5},
        "full": {"versions": mine, "disk_free": 2**20},
    }
    for name, columns in rows.items():
        Worker.objects.create(name=name, **{"started": now, "seen": now} | columns)
    said = "\n".join(found("workers"))
    assert "silent has been silent for 500 s" in said
    assert f"old runs nasweb 0.0.1, this is {__version__}" in said
    assert "old has torch 1.0" in said
    assert "The clock of late is 7.5 s behind" in said
    assert "full has only 1 MB of disk left" in said
    assert "fine " not in said


@pytest.mark.django_db
def test_jobs_that_nothing_can_run_and_leases_that_nobody_ends_are_told(
    monkeypatch: pytest.MonkeyPatch, user: User, team: Team, cpu_queue: Queue
) -> None:
    only_asks(monkeypatch, "workers")
    workers.register("w@here", [CPU])
    big = Queue.objects.create(name="big", device=Queue.Device.GPU)
    make_run(user, team, cpu_queue, state="queued")
    make_run(user, team, big, state="queued")
    lost = make_run(user, team, cpu_queue, state="running").job
    Job.objects.filter(pk=lost.pk).update(
        state=State.RUNNING, lease_expires=timezone.now() - timedelta(minutes=10)
    )
    assert any("Jobs wait in big, and no slot" in each for each in found("workers"))
    assert not any("Jobs wait in cpu" in each for each in found("workers"))
    (fault,) = found("workers", "fault")
    assert "1 runs of lost workers were not given back" in fault
    assert "manage.py housekeeping" in fault


def test_a_folder_in_which_nothing_can_be_kept_is_a_cross(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    only_asks(monkeypatch, "storage")
    file = tmp_path / "file"
    file.write_text("in the way")
    settings.NASWEB_RUNS_DIR = file / "runs"
    monkeypatch.setattr(doctor, "storage", lambda: FileSystemStorage(file / "x"))
    artefacts, runs = found("storage", "fault")
    assert "NASWEB_ARTEFACTS_DIR" in artefacts
    assert "NASWEB_RUNS_DIR" in runs


def test_the_probe_of_the_storage_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    only_asks(monkeypatch, "storage")
    settings.NASWEB_RUNS_DIR = tmp_path / "runs"
    store = FileSystemStorage(tmp_path / "store")
    store.save("kept", ContentFile(b"kept"))
    monkeypatch.setattr(doctor, "storage", lambda: store)
    assert found("storage", "fault") == []
    assert sorted(tmp_path.rglob("*")) == [
        tmp_path / "runs",
        tmp_path / "store",
        tmp_path / "store" / "kept",
    ]


@pytest.mark.parametrize("likely", [True, False])
def test_a_device_without_its_driver_is_a_cross_and_no_device_is_none(
    monkeypatch: pytest.MonkeyPatch, likely: bool
) -> None:
    only_asks(monkeypatch, "gpus")
    monkeypatch.setattr(gpus, "installed", list)
    monkeypatch.setattr(gpus, "why_none", lambda: "NVML Shared Library Not Found")
    monkeypatch.setattr(doctor, "gpu_likely", lambda: likely)
    assert bool(found("gpus", "fault")) is likely
    assert len(found("gpus")) == 1


def test_a_gpu_on_which_pytorch_cannot_compute_is_a_cross(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver claims a GPU that PyTorch does not find: a UUID of no device."""
    only_asks(monkeypatch, "gpus")
    gpu = gpus.Gpu("GPU-0", "NVIDIA H200", 143_771, 0, "GPU-0")
    monkeypatch.setattr(gpus, "installed", lambda: [gpu])
    monkeypatch.setattr(gpus, "driver_version", lambda: "580.65")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (said,) = found("gpus", "fault")
    assert "PyTorch computes on 0 of 1 GPUs" in said
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (said,) = found("gpus", "warning")
    assert "hides all 1 GPUs" in said


def test_a_check_that_fails_itself_is_told_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> Any:
        raise RuntimeError("no idea\nwhat this is")

    given: tuple[tuple[str, Callable[[], Any], bool], ...] = (
        ("first", fails, False),
        ("second", lambda: iter([doctor.fine("All is well.")]), False),
    )
    monkeypatch.setattr(doctor, "CHECKS", given)
    first, second = doctor.examine()
    assert "RuntimeError: no idea" in first.sentence
    assert second.level == "ok"
