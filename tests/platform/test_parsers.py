from __future__ import annotations

import socket
import time
from pathlib import Path

import psycopg2
import pytest

from nasweb.settings.parsers import (
    POSTGRES_PATIENCE,
    Environment,
    SettingError,
    broker_url,
    database,
    local_secret,
    redis_url,
)


def env(**variables: str) -> Environment:
    return Environment(variables)


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON"])
def test_a_switch_is_on(text: str) -> None:
    assert env(A=text).boolean("A", default=False) is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
def test_a_switch_is_off(text: str) -> None:
    assert env(A=text).boolean("A", default=True) is False


def test_an_unset_or_empty_variable_takes_the_default() -> None:
    assert env().boolean("A", default=True) is True
    assert env(A="").integer("A", 7) == 7
    assert env(A="  ").text("A", "x") == "x"
    assert env().names("A") == []
    assert env().path("A", Path("/x")) == Path("/x")


def test_a_switch_that_is_neither_stops_and_names_the_variable() -> None:
    with pytest.raises(SettingError, match=r"^NASWEB_DEBUG is 'maybe'; set it to 1"):
        env(NASWEB_DEBUG="maybe").boolean("NASWEB_DEBUG", default=False)


@pytest.mark.parametrize("text", ["abc", "0", "65", "1.5", "-3"])
def test_a_number_outside_its_limits_stops(text: str) -> None:
    with pytest.raises(SettingError, match="a whole number from 1 to 64"):
        env(A=text).integer("A", 1, least=1, most=64)


def test_a_choice_that_is_not_offered_stops() -> None:
    assert env(A="b").text("A", choices=("a", "b")) == "b"
    with pytest.raises(SettingError, match="one of a, b"):
        env(A="c").text("A", choices=("a", "b"))


def test_a_list_drops_blanks() -> None:
    assert env(A=" gpu, cpu ,,").names("A") == ["gpu", "cpu"]


def test_a_secret_comes_from_the_variable_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert env(KEY="plain").secret("KEY") == "plain"
    assert env(KEY_FILE=str(file)).secret("KEY") == "from the file"
    assert env().secret("KEY") == ""


def test_a_secret_given_twice_missing_or_empty_stops(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(SettingError, match="Both KEY and KEY_FILE are set"):
        env(KEY="a", KEY_FILE="b").secret("KEY")
    with pytest.raises(SettingError, match="cannot be read"):
        env(KEY_FILE=str(tmp_path / "none")).secret("KEY")
    with pytest.raises(SettingError, match="which is empty"):
        env(KEY_FILE=str(empty)).secret("KEY")


def test_variables_that_nothing_asked_for_are_known_by_name() -> None:
    known = env(NASWEB_CPU_SLOTS="2", NASWEB_CPU_SLOT="2", HOME="/")
    known.integer("NASWEB_CPU_SLOTS", 1)
    assert known.unknown("NASWEB_") == ["NASWEB_CPU_SLOT"]


def test_a_postgresql_address_is_taken_apart() -> None:
    settings = database("postgres://me:p%40ss@db.local:5433/nas?sslmode=require")
    assert settings == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "nas",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.local",
        "PORT": "5433",
        "OPTIONS": {**POSTGRES_PATIENCE, "sslmode": "require"},
    }


def test_nobody_waits_for_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/nas?connect_timeout=2&sslmode=disable"
        given = database(url)
        assert given["OPTIONS"]["connect_timeout"] == "2"
        begun = time.monotonic()
        with pytest.raises(psycopg2.OperationalError, match="timeout expired"):
            psycopg2.connect(host=given["HOST"], port=port, **given["OPTIONS"])
        assert time.monotonic() - begun < 10


def test_a_server_that_has_gone_is_given_up_before_a_lease_ends() -> None:
    given = {name: int(value) for name, value in POSTGRES_PATIENCE.items()}
    probes = given["keepalives_interval"] * given["keepalives_count"]
    for seconds in (
        given["connect_timeout"],
        given["keepalives_idle"] + probes,
        given["tcp_user_timeout"] / 1000,
    ):
        assert seconds <= 30


def test_a_unix_socket_is_given_by_its_folder() -> None:
    settings = database("postgresql://nasweb@/nasweb?host=/run/postgresql")
    assert settings["HOST"] == "/run/postgresql"
    assert settings["PORT"] == ""
    assert settings["OPTIONS"] == {}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u@h/x", "starts with 'mysql'"),
        ("somewhere", "no scheme"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@h/", "names no database"),
        ("postgresql://u@h:db/x", "port that is not a number"),
        ("postgresql://u@h/x?ssl=1", "unknown option 'ssl'"),
    ],
)
def test_a_database_address_that_cannot_be_used_stops(url: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        database(url)


def test_no_sentence_on_a_database_address_shows_its_password() -> None:
    for url in ("mysql://u:hidden@h/x", "postgresql://u:hidden@h/x?odd=1"):
        with pytest.raises(SettingError) as caught:
            database(url)
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://h:6379/0", "rediss://:p@h/1", "unix:///run/redis.sock"]
)
def test_a_redis_address_is_kept(url: str) -> None:
    assert redis_url(url) == url


@pytest.mark.parametrize("url", ["http://h", "h:6379", "unix://"])
def test_a_redis_address_that_cannot_be_used_stops(url: str) -> None:
    with pytest.raises(SettingError, match="REDIS_URL"):
        redis_url(url)


def test_celery_gets_the_same_socket_under_its_own_scheme() -> None:
    assert broker_url("unix:///r/redis.sock") == "redis+socket:///r/redis.sock"
    assert broker_url("redis://h/0") == "redis://h/0"
    assert broker_url("") == ""


def test_a_local_secret_is_made_once_and_only_its_owner_reads_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "home" / "secret_key"
    first = local_secret(path)
    assert len(first) >= 50
    assert local_secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
