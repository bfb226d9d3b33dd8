"""Production settings, in a process of their own: settings are read once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

GIVEN = {
    "SECRET_KEY": "not-a-real-key-" * 5 + "0123456789",
    "DATABASE_URL": "postgresql://nasweb@db.example/nasweb",
    "REDIS_URL": "redis://redis.example/0",
    "NASWEB_HOSTS": "nas.example.org",
}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = ("NASWEB_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    settings = {"DJANGO_SETTINGS_MODULE": "nasweb.settings.production"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**kept, **settings, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def evaluate(expression: str, **variables: str) -> str:
    code = f"from django.conf import settings; print({expression})"
    done = manage("shell", "--no-imports", "-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_django_finds_nothing_to_warn_of() -> None:
    done = manage("check", "--deploy", **GIVEN)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_what_is_missing_is_named_in_one_sentence(name: str) -> None:
    done = manage("check", **{k: v for k, v in GIVEN.items() if k != name})
    assert done.returncode != 0
    assert done.stderr.strip().startswith(f"Production needs {name}: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_cookies_travel_by_https_only_unless_that_is_switched_off() -> None:
    secure = "settings.SESSION_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS > 0"
    assert evaluate(secure, **GIVEN) == "True True"
    assert evaluate(secure, **GIVEN, NASWEB_HTTPS="0") == "False False"


def test_the_secret_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-a-file")
    given = {k: v for k, v in GIVEN.items() if k != "SECRET_KEY"}
    found = evaluate("settings.SECRET_KEY", **given, SECRET_KEY_FILE=str(file))
    assert found == "from-a-file"


def test_a_misspelt_setting_is_warned_of_with_the_right_name() -> None:
    done = manage("check", **GIVEN, NASWEB_CPU_SLOT="2")
    assert "NASWEB_CPU_SLOT is no setting of nasweb" in done.stderr
    assert "Did you mean NASWEB_CPU_SLOTS?" in done.stderr
