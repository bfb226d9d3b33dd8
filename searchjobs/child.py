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

import yaml

from . import runfolder
from .orphans import die_with_parent

#: What a child is given to end after SIGTERM, before SIGKILL.
GRACE_SECONDS = 2.0
#: The engine has no business with these.
SECRETS = (
    *("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CELERY_BROKER_URL"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
ENGINE = (sys.executable, "-m", "searchjobs.engine")

Engine = subprocess.Popen[bytes]


def start(spec: Mapping[str, Any], folder: Path, extra: Mapping[str, str]) -> Engine:
    """Start the engine on a spec; it goes on from the newest checkpoint in folder.

    Its events go to ``events.jsonl``, which the supervisor reads; its standard
    error to ``engine.log``.  ``extra`` is added to its environment: threads, GPU.
    """
    descriptor = runfolder.lock(folder)
    try:
        runfolder.EventFile(folder).drop_torn_line()
        with runfolder.log_path(folder).open("ab") as log:
            child = subprocess.Popen(
                [*ENGINE, "run", "-", "--out", str(folder), "--resume"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(extra),
                pass_fds=(descriptor,),
                # A Ctrl-C in the terminal is for the worker, which stops us in order.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        runfolder.name_holder(descriptor, child.pid)
    finally:
        os.close(descriptor)
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(yaml.safe_dump(dict(spec), sort_keys=False).encode())
    return child


def stop(child: Engine) -> None:
    """End the child and what it started: SIGTERM, then SIGKILL after the grace."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    kill(child)


def kill(child: Engine) -> None:
    """End the child and what it started at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    hidden = {*SECRETS, *(f"{name}_FILE" for name in SECRETS)}
    kept = {name: text for name, text in os.environ.items() if name not in hidden}
    roots = [str(Path(__file__).resolve().parents[1]), kept.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(root for root in roots if root)
    return {**kept, **extra}
