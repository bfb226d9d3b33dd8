"""The floors: the engine stands on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_engine_imports_with_django_celery_and_redis_blocked():
    program = """
import sys
for name in ("django", "celery", "redis", "kombu", "psycopg2", "nasweb"):
    sys.modules[name] = None
import searchjobs.engine.__main__
import searchjobs.engine.search
from searchjobs.engine.spec import SearchSpec
SearchSpec()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_no_module_is_longer_than_five_hundred_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("nasweb", "searchjobs", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
        and (lines := len(path.read_text().splitlines())) > 500
    }
    assert not long


def test_no_file_outside_a_method_names_a_method():
    """`if method == ...` stands nowhere: a method is found by its name alone."""
    from searchjobs.engine.contracts import methods

    names = {part.name for part in methods.all()}
    for path in (ROOT / "searchjobs").rglob("*.py"):
        if path.parent.name == "methods":
            continue
        text = path.read_text()
        for name in names:
            assert f'== "{name}"' not in text, f"{path} asks for the method {name}"
