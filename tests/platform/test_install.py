"""What a person reads and runs before anything of ours can run."""

from __future__ import annotations

import re
import sys

import pytest

from nasweb import checks
from nasweb.settings import base
from tests.servers import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import preflight

GUIDE = (ROOT / "docs" / "guide" / "install.md").read_text()


def test_an_old_python_is_told_how_to_name_another() -> None:
    sentence = preflight.problem((3, 9, 2), 1e12, modules=True)
    assert sentence.startswith("nasweb needs Python 3.11 or newer, and this is 3.9;")


def test_a_python_without_venv_is_told_what_to_install() -> None:
    assert "python3-venv" in preflight.problem((3, 11, 2), 1e12, modules=False)


def test_a_full_disk_is_noticed_before_anything_is_installed() -> None:
    assert "(1.0 GB are free)" in preflight.problem((3, 12, 0), 1e9, modules=True)
    assert preflight.problem((3, 12, 0), 1e12, modules=True) == ""


def test_every_variable_of_the_settings_stands_in_the_guide() -> None:
    asked = base.env.asked | checks.KNOWN | {"SECRET_KEY", "PORT"}
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", GUIDE))
    missing = {name for name in asked if name.removesuffix("_FILE") not in named}
    assert missing == set()


@pytest.mark.parametrize("name", ["run", "test", "test-slow", "lint", "bench", "clean"])
def test_make_says_what_each_target_does(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{name}:.* ## \S", makefile, re.M)
