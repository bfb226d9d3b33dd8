"""Artefacts in an S3 store: a real server, spoken to over HTTP as any other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages

from nasweb.settings import parsers
from nasweb.settings.parsers import artefact_storage
from searchjobs import artefacts, retention
from searchjobs.artefacts import StorageAwayError, fetch, publish
from searchjobs.claims import Claim
from searchjobs.models import Artefact, Slot
from searchjobs.retention import Sweep
from searchjobs.supervisor import supervise
from tests.jobs.conftest import Launch, take
from tests.jobs.test_artefacts import checkpoint
from tests.servers import answers, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Keys = Callable[[], list[str]]
KEYS = {"access_key": "minio", "secret_key": "long enough"}
SERVER = "from moto.server import main; main()"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with the bucket ``team``."""
    port = free_port()
    command = [sys.executable, "-c", SERVER, "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(address), seconds=60, what="the S3 server")
        client(address).create_bucket(Bucket="team")
        yield address
    finally:
        server.terminate()
        server.wait(10)


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
    )


def use(settings: Any, endpoint: str, prefix: str) -> None:
    address = f"s3://team/{prefix}?endpoint={endpoint}&region=us-east-1"
    found = artefact_storage(address, Path("/nowhere"), KEYS)
    settings.STORAGES = {**settings.STORAGES, "artefacts": found}


@pytest.fixture
def store(endpoint: str, settings: Any, request: pytest.FixtureRequest) -> str:
    use(settings, endpoint, f"nasweb/{request.node.name}")
    return endpoint


@pytest.fixture
def claim(launched: Launch, slot: Slot) -> Claim:
    launched()
    taken = take(slot)
    assert taken is not None
    return taken


@pytest.fixture
def keys(store: str, request: pytest.FixtureRequest) -> Keys:
    """A function that lists what the bucket holds of this test, without its prefix."""
    prefix = f"nasweb/{request.node.name}/"

    def find() -> list[str]:
        listed = client(store).list_objects_v2(Bucket="team", Prefix=prefix)
        found = [each["Key"] for each in listed.get("Contents", [])]
        return [key.removeprefix(prefix) for key in found]

    return find


def test_a_checkpoint_of_many_parts_is_published_and_fetched(
    keys: Keys, claim: Claim, tmp_path: Path
) -> None:
    content = os.urandom(200_000)  # written a hundred times: more than one part
    name = checkpoint(tmp_path / "here", 3, content)
    assert publish(claim, tmp_path / "here", name, 3)
    row = Artefact.objects.get()
    assert keys() == [row.path]
    assert row.size > 16_000_000
    assert fetch(claim.job_id, tmp_path / "there") == 3
    copy = (tmp_path / "there" / name).read_bytes()
    assert copy == (tmp_path / "here" / name).read_bytes()


def test_a_second_upload_of_a_name_takes_its_place_and_the_first_is_removed(
    keys: Keys, claim: Claim, tmp_path: Path
) -> None:
    for content in (b"first", b"second"):
        publish(claim, tmp_path, checkpoint(tmp_path, 3, content), 3)
    row = Artefact.objects.get()
    assert keys() == [row.path]
    with artefacts.open_artefact(row) as file:
        assert b"second" in file.read()


def test_old_files_that_no_row_names_are_found_in_the_bucket(
    keys: Keys, claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    stale = f"{claim.job_uuid}/7/checkpoints/epoch-00003.pt"
    storages["artefacts"].save(stale, artefacts.ContentFile(b"stale"))
    assert Sweep().go_on() == 0
    monkeypatch.setattr(retention, "ORPHAN_AGE", timedelta(seconds=-60))
    assert Sweep().go_on() == 1
    assert keys() == [Artefact.objects.get().path]


def test_a_search_leaves_its_files_in_the_bucket(
    keys: Keys, claim: Claim, tmp_path: Path
) -> None:
    supervise(claim)
    names = set(Artefact.objects.values_list("name", flat=True))
    assert {"checkpoints/epoch-00003.pt", "logs/attempt-0001.log"} <= names
    assert len(keys()) == len(names)
    assert fetch(claim.job_id, tmp_path / "there") == 3


def test_a_store_that_does_not_answer_is_away_and_costs_seconds_only(
    claim: Claim, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsers, "STORE_CONNECT", 1)
    use(settings, f"http://127.0.0.1:{free_port()}", "nasweb")
    with pytest.raises(StorageAwayError, match="could not write to the storage"):
        publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
    assert not Artefact.objects.exists()


def test_a_bucket_that_is_not_there_is_named(
    endpoint: str, claim: Claim, tmp_path: Path, settings: Any
) -> None:
    given = artefact_storage(f"s3://nobody?endpoint={endpoint}", tmp_path, KEYS)
    settings.STORAGES = {**settings.STORAGES, "artefacts": given}
    with pytest.raises(StorageAwayError, match="NoSuchBucket"):
        publish(claim, tmp_path, checkpoint(tmp_path, 3), 3)
