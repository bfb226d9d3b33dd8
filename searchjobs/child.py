"""The engine as a child process: started apart, stopped surely, never orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from . import runfolder
from .engine.orphans import die_with_parent

#: What a child is given to end after SIGTERM, before SIGKILL.
GRACE_SECONDS = 2.0
#: The engine has no business with these.
SECRETS = (
    *("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CELERY_BROKER_URL"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "NASWEB_METRICS_TOKEN",
)
ENGINE = (sys.executable, "-m", "searchjobs.engine")


class Engine(subprocess.Popen[bytes]):
    """The process of an engine; ``mark`` is in the environment of all that it starts.

    Each start has a mark of its own: a supervisor that wakes up late must not end the
    engine of its successor.
    """

    mark: str


def start(
    work: str,
    spec: Mapping[str, Any],
    folder: Path,
    extra: Mapping[str, str],
    lock: int,
) -> Engine:
    """Start the engine on a spec; it goes on from the newest checkpoint in folder.

    Its events go to ``events.jsonl``, which the supervisor reads; its standard
    error to ``engine.log``.

    Args:
        work: which kind of work, as the engine's command line calls it.
        spec: of that work.
        folder: where its files are.
        extra: variables that are added to its environment: threads, GPUs.
        lock: descriptor that holds the lock of the folder; the engine inherits it.
    """
    mark = f"{runfolder.family_of(folder)}{uuid4().hex}"
    with runfolder.log_path(folder).open("ab") as log:
        child = Engine(
            command(work, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=_environment({**extra, runfolder.FAMILY: mark}),
            pass_fds=(lock,),
            # A Ctrl-C in the terminal is for the worker, which stops us in order.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    child.mark = mark
    runfolder.name_holder(lock, child.pid)
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(yaml.safe_dump(dict(spec), sort_keys=False).encode())
    return child


def command(work: str, folder: Path) -> list[str]:
    """Return the command line of an engine; it reads the spec from its input."""
    return [*ENGINE, work, "-", "--out", str(folder), "--resume"]


def stop(child: Engine | None) -> None:
    """End the child and what it started: SIGTERM, then SIGKILL after the grace."""
    if child is None:
        return
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    kill(child)


def kill(child: Engine) -> None:
    """End the child and all that it started at once, in whatever group they are."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    runfolder.kill_family(child.mark)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    hidden = {*SECRETS, *(f"{name}_FILE" for name in SECRETS)}
    kept = {name: text for name, text in os.environ.items() if name not in hidden}
    roots = [str(Path(__file__).resolve().parents[1]), kept.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(root for root in roots if root)
    return {**kept, **extra}
