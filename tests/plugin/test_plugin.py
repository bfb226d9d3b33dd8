"""A package with one entry point adds a method to the engine, the form and the pages.

The package is installed into a folder of its own.  Everything that must know it is a
real process that has this folder on its path: nothing is registered by hand.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client

from nasweb import spec_form
from searchjobs.engine.__main__ import main
from searchjobs.engine.validation import validate
from searchjobs.models import Queue, Run
from tests import servers

PACKAGE = Path(__file__).with_name("package")
SPEC = {
    "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
    "dataset": {"name": "digits", "per_class": 8},
    "diagnostics": {"probe_samples": 16, "eigenvalue_every": 0},
    "training": {"batch_size": 16},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package, installed: its module and its metadata beside each other."""
    told = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    target = tmp_path_factory.mktemp("site-packages")
    shutil.copy(PACKAGE / "sgd_darts.py", target)
    about = target / f"sgd_darts-{told['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n"
    )
    lines = [
        line
        for group, entries in told["entry-points"].items()
        for line in (f"[{group}]", *(f"{n} = {v}" for n, v in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return str(target)


def engine(folder: str, *arguments: str, given: str = "") -> str:
    """Return what the engine prints where the package is installed."""
    done = subprocess.run(
        [sys.executable, "-m", "searchjobs.engine", *arguments],
        env={**os.environ, "PYTHONPATH": folder},
        cwd=servers.ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_lists_and_plans_the_method(folder: str) -> None:
    methods = {
        m["name"]: m for m in json.loads(engine(folder, "list", "--json"))["methods"]
    }
    found = methods["sgd-darts"]
    assert found["label"] == "DARTS with SGD for alpha"
    assert found["family"] == "From other packages"
    assert found["options"]["alpha_momentum"]["default"] == 0.5
    spec = yaml.safe_dump({**SPEC, "method": {"name": "sgd-darts"}})
    planned = json.loads(engine(folder, "plan", "-", "--json", given=spec))
    assert planned["epochs"] == 3  # the method's own default
    assert "darts" in methods


def test_without_the_package_nobody_knows_the_method(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", "--json"]) == 0
    assert '"sgd-darts"' not in capsys.readouterr().out


class Browser:
    """Asks a running site as a person who is logged in."""

    def __init__(self, site: str, user: User) -> None:
        logged_in = Client()
        logged_in.force_login(user)
        self.site = site
        self.token = "t" * 32
        self.cookie = (
            f"sessionid={logged_in.cookies['sessionid'].value}; csrftoken={self.token}"
        )

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        """Return address and text of the answer, redirects followed."""
        request = urllib.request.Request(
            self.site + path,
            data=urllib.parse.urlencode(form).encode() if form is not None else None,
            headers={"Cookie": self.cookie, "X-CSRFToken": self.token},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.geturl(), unescape(answer.read().decode())


@pytest.fixture
def browser(
    folder: str, transactional_db: None, user: User, cpu_queue: Queue
) -> Iterator[Browser]:
    """A site and a worker, both with the package on their path."""
    with (
        servers.running_worker("plugin", ready_on_entry=False, PYTHONPATH=folder),
        servers.running_site(PYTHONPATH=folder) as site,
    ):
        yield Browser(site, user)


def filled(**changes: str) -> dict[str, str]:
    """Return what a browser sends of the form; the site knows more methods than we."""
    values = spec_form.from_spec(validate(SPEC, check_data=False))
    del values["training.epochs"], values["training.alpha_lr"]
    typed = {name.replace("__", "."): value for name, value in changes.items()}
    return {**values, "seeds": "1", "priority": "0", "queue": "", "name": "", **typed}


def test_the_form_the_preview_and_the_pages_of_a_run_know_the_method(
    browser: Browser, wait_until: Callable[..., Any]
) -> None:
    _, page = browser.ask("/experiments/new/")
    family = page[page.index('<optgroup label="From other packages">') :]
    assert re.match(r'[^/]*<option value="sgd-darts"', family)

    chosen = filled(method__name="sgd-darts", method__alpha_momentum="0.25")
    _, fields = browser.ask("/experiments/new/form/", chosen)
    assert "Momentum of alpha" in fields
    assert "Share of the last step of alpha" in fields
    assert "An example of a package beside nasweb." in fields
    _, preview = browser.ask("/experiments/new/preview/", chosen)
    assert "in 3 epochs" in preview

    address, _ = browser.ask("/experiments/new/", chosen)
    assert "/runs/" in address
    run = Run.objects.select_related("job").get()

    def ended() -> bool:
        run.job.refresh_from_db()
        return run.job.state in {"succeeded", "failed", "lost"}

    wait_until(ended, seconds=120, what="the search")
    assert run.job.state == "succeeded", run.job.error
    assert run.job.spec["method"] == {"name": "sgd-darts", "alpha_momentum": 0.25}
    _, shown = browser.ask(f"/runs/{run.uuid}/")
    assert "DARTS with SGD for alpha" in shown
    assert "Architecture parameters: softmax(alpha) under SGD" in shown
    assert "Norm of alpha" in shown
    assert 'data-chart="scalar-norm_of_alpha"' in shown
