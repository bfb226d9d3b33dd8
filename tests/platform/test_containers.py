"""docker-compose.yml and Dockerfile, as far as they can be checked without Docker."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import Any

import pytest
import uvicorn
import yaml
from django.core.management import get_commands, load_command_class

from nasweb import checks
from nasweb.settings import base
from tests.servers import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, each in SERVICES.items() if each["image"] == "nasweb"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUIDES = "".join(path.read_text() for path in (ROOT / "docs" / "guide").glob("*.md"))
DEFAULT = json.loads(
    re.sub(r"\\\n\s*", "", DOCKERFILE).partition("\nCMD ")[2].splitlines()[0]
)
BUILT_IN = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}


def test_it_starts_database_broker_site_worker_and_housekeeping() -> None:
    assert set(SERVICES) == {
        *("postgres", "redis", "migrate", "site"),
        *("worker", "worker-gpu", "housekeeping"),
    }
    assert SERVICES["postgres"]["image"].startswith("postgres:")
    assert SERVICES["redis"]["image"].startswith("valkey/valkey:")


def test_only_the_profile_for_gpus_asks_for_them() -> None:
    asked = {name for name, each in SERVICES.items() if "deploy" in each}
    assert asked == {"worker-gpu"}
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    profiles = {name: each.get("profiles") for name, each in SERVICES.items()}
    assert {name for name, found in profiles.items() if found} == {"worker-gpu"}
    assert profiles["worker-gpu"] == ["gpu"]


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_that_we_have(name: str) -> None:
    command = SERVICES[name].get("command", DEFAULT)
    if command[0] == "uvicorn":
        uvicorn.main.make_context("uvicorn", list(command[1:]))
        module, _, attribute = command[1].partition(":")
        assert callable(getattr(import_module(module), attribute))
        return
    assert command[:2] == ["python", "manage.py"]
    app = get_commands()[command[2]]
    found = load_command_class(app, command[2]) if isinstance(app, str) else app
    found.create_parser("manage.py", command[2]).parse_args(command[3:])


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    known = base.env.asked | checks.KNOWN | {"SECRET_KEY_FILE"} | BUILT_IN
    assert set(SERVICES[name].get("environment", {})) <= known


def test_every_variable_of_the_image_is_one_that_somebody_reads() -> None:
    ours = set(re.findall(r"\b(NASWEB_\w+|\w+_URL|SECRET_KEY)=", DOCKERFILE))
    assert ours
    assert ours <= base.env.asked | checks.KNOWN | {"SECRET_KEY"}


def test_what_may_be_set_from_outside_stands_in_a_guide() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    open_to_all = set(re.findall(r"\$\{(\w+)", text))
    assert {"PORT", "REDIS_URL", "ARTEFACTS_VOLUME"} <= open_to_all
    missing = {name for name in open_to_all if f"`{name}" not in GUIDES}
    assert missing == set()


def test_a_token_for_prometheus_and_keys_of_a_store_reach_the_containers() -> None:
    for name in OURS:
        given = SERVICES[name]["environment"]
        for variable in (
            *("NASWEB_METRICS_TOKEN", "NASWEB_ARTEFACTS_URL"),
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        ):
            assert given[variable] == f"${{{variable}:-}}"


def test_volumes_and_secrets_are_declared() -> None:
    for each in SERVICES.values():
        assert set(each.get("secrets", [])) <= set(COMPOSE["secrets"])
        for volume in each.get("volumes", []):
            source = re.sub(r"^\$\{\w+:-(\w+)\}", r"\1", volume).partition(":")[0]
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_all_of_ours_share_the_artefacts(name: str) -> None:
    (shared,) = [each for each in SERVICES[name]["volumes"] if "artefacts" in each]
    folder = shared.rpartition(":")[2]
    assert f"NASWEB_ARTEFACTS_DIR={folder}" in DOCKERFILE
    assert re.search(rf"^VOLUME .*{folder}\b", DOCKERFILE, re.M)
    assert f"--owner nasweb {folder}" in DOCKERFILE, (
        "a volume has the owner of its image"
    )


def test_two_workers_of_a_machine_share_no_working_folder() -> None:
    folders = {
        name: SERVICES[name]["environment"].get("NASWEB_RUNS_DIR")
        for name in ("worker", "worker-gpu")
    }
    assert len(set(folders.values())) == 2


def test_a_worker_has_time_to_give_its_jobs_back() -> None:
    for name in ("worker", "worker-gpu"):
        assert SERVICES[name]["stop_grace_period"] == "60s"


def test_the_image_can_speak_to_an_s3_store() -> None:
    assert "'.[s3]'" in DOCKERFILE
