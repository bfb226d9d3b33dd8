"""What the process of an engine is given."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import nasweb.settings
from searchjobs import child, runfolder

PRINT = "import os, sys; sys.stderr.write(' '.join(os.environ))"


def test_an_engine_is_given_none_of_the_installations_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(nasweb.settings.__file__).parent
    settings = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    secrets = set(re.findall(r"env\.secret\(\"(\w+)\"\)", settings))
    assert {"SECRET_KEY", "DATABASE_URL"} <= secrets
    hidden = secrets | {f"{name}_FILE" for name in secrets}
    for name in hidden:
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setattr(child, "command", lambda *_: [sys.executable, "-c", PRINT])
    with runfolder.locked(tmp_path, 1) as lock:
        engine = child.start("run", {}, tmp_path, {"OMP_NUM_THREADS": "3"}, lock)
    assert engine.wait(30) == 0
    given = runfolder.log_tail(tmp_path).split()
    assert "OMP_NUM_THREADS" in given
    assert not hidden & set(given)
