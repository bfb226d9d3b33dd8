"""Where artefacts are kept: a folder, or an S3 store by its address."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, storages
from django.core.files.storage.handler import StorageHandler
from storages.backends.s3 import S3Storage

from nasweb.settings.parsers import SettingError, artefact_storage
from tests.platform.test_production import GIVEN, evaluate

FOLDER = Path("/srv/artefacts")
ADDRESS = "s3://lab/nas/files?endpoint=https://minio.example:9000&region=eu-west-1"
KEYS = {"access_key": "who", "secret_key": "hidden", "security_token": ""}


def test_without_an_address_artefacts_lie_in_a_folder() -> None:
    storage = StorageHandler({"artefacts": artefact_storage("", FOLDER)})["artefacts"]
    assert isinstance(storage, FileSystemStorage)
    assert Path(storage.location) == FOLDER


def test_an_address_names_bucket_prefix_endpoint_and_region() -> None:
    given = artefact_storage(ADDRESS, FOLDER, KEYS)
    storage = StorageHandler({"artefacts": given})["artefacts"]
    assert isinstance(storage, S3Storage)
    assert (storage.bucket_name, storage.location) == ("lab", "nas/files")
    assert storage.endpoint_url == "https://minio.example:9000"
    assert storage.region_name == "eu-west-1"
    assert (storage.access_key, storage.secret_key) == ("who", "hidden")
    assert storage.file_overwrite is False, "a stale upload replaces nothing"
    assert storage.client_config.connect_timeout <= 10
    assert storage.client_config.s3 == {"addressing_style": "auto"}


def test_a_bucket_alone_is_one_of_aws_and_keys_are_looked_for_as_usual() -> None:
    options = artefact_storage("s3://lab", FOLDER)["OPTIONS"]
    assert (options["bucket_name"], options["location"]) == ("lab", "")
    assert options["endpoint_url"] is None
    assert not {"access_key", "secret_key", "security_token"} & options.keys()


def test_a_store_may_ask_for_its_kind_of_addresses() -> None:
    given = artefact_storage(f"{ADDRESS}&addressing=path", FOLDER)
    assert given["OPTIONS"]["client_config"].s3 == {"addressing_style": "path"}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://minio.example/lab", "names no bucket"),
        ("s3://", "names no bucket"),
        ("/mnt/artefacts", "set NASWEB_ARTEFACTS_DIR to a folder"),
        ("s3://who:hidden@lab", "holds keys, which would show in logs"),
        ("s3://lab?zone=1", "unknown option 'zone'; known are addressing, endpoint"),
        ("s3://lab?endpoint=minio:9000", "endpoint=https://host:9000"),
        ("s3://lab?addressing=odd", "one of auto, path, virtual"),
    ],
)
def test_an_address_that_cannot_be_used_stops(url: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as caught:
        artefact_storage(url, FOLDER)
    assert str(caught.value).startswith("NASWEB_ARTEFACTS_URL ")
    assert "hidden" not in str(caught.value)


def test_a_missing_client_is_told_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    for name in [name for name in sys.modules if name.partition(".")[0] == "storages"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingError, match=r"run pip install 'nasweb\[s3\]'"):
        artefact_storage(ADDRESS, FOLDER)


def test_production_keeps_the_storage_of_artefacts_beside_its_static_files(
    tmp_path: Path,
) -> None:
    found = "{name: each['BACKEND'] for name, each in settings.STORAGES.items()}"
    backends = evaluate(found, **GIVEN)
    assert "whitenoise.storage.CompressedManifestStaticFilesStorage" in backends
    assert "'artefacts': 'django.core.files.storage.FileSystemStorage'" in backends
    key = tmp_path / "key"
    key.write_text("from-a-file")
    given = {**GIVEN, "NASWEB_ARTEFACTS_URL": "s3://lab", "AWS_ACCESS_KEY_ID": "who"}
    secret = "settings.STORAGES['artefacts']['OPTIONS']['secret_key']"
    assert evaluate(secret, **given, AWS_SECRET_ACCESS_KEY_FILE=str(key)) == (
        "from-a-file"
    )


def test_the_tests_keep_artefacts_out_of_your_own() -> None:
    assert "nasweb-test-" in str(storages["artefacts"].location)  # type: ignore[attr-defined]
