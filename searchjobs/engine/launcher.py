"""Start the processes of one search, watch over them, and say how they ended.

``python -m searchjobs.engine run`` starts itself again once per device if the spec
asks for several, with the environment that torchrun gives (RANK, WORLD_SIZE,
LOCAL_RANK), so torchrun can start the same processes.  Ours find each other by a file
in a private folder instead of an open port, stay in the process group of whoever
started us, and die with us.

Nothing here imports PyTorch: the process that only watches stays small.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from .faults import FAULT
from .orphans import die_with_parent

#: A file in a private folder, by which processes of one machine find each other.
MEETING_PLACE = "NASWEB_MEETING_PLACE"
#: The end of a pipe into which a process writes why it fails, a line of JSON.
FAULTS_PIPE = "NASWEB_FAULTS_PIPE"
#: How a process ends that only lost its partner: the cause is the partner's.
PARTNER_LOST = 4
#: What the others are given to say why they fail, once one has failed.
LAST_WORDS_SECONDS = 3.0
#: What they are given to end after SIGTERM, before SIGKILL.
GRACE_SECONDS = 1.0
TICK_SECONDS = 0.05
#: More processes than this are a slip in the spec, and validation says so.
MOST_DEVICES = 64
#: A line of at most 4 KiB is written to a pipe whole.
LONGEST_SENTENCE = 2000

Process = subprocess.Popen[bytes]


class PartnerLostError(RuntimeError):
    """Another process of this search is gone; it says why, or its end does."""


class SeveralFailedError(Exception):
    """The search failed in one of its processes.

    Attributes:
        kind: as in ``events.Failed``; empty if the process was ended by a signal from
            outside, which is nothing that the search can say of itself.
        code: exit code for all of them.
    """

    def __init__(self, sentence: str, kind: str, code: int) -> None:
        self.kind, self.code = kind, code
        super().__init__(sentence)


def is_one_of_several() -> bool:
    """Say whether a launcher (ours or torchrun) started this process as one of
    several, by the environment that they give it."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def leads_here() -> bool:
    """Say whether this process tells events; before the others are met."""
    return not is_one_of_several() or os.environ["RANK"] == "0"


def devices_asked(spec: str) -> int:
    """Return the devices that a spec in YAML asks for; 1 if what it says is no sense,
    which validation then tells."""
    try:
        asked = int(yaml.safe_load(spec)["compute"]["devices"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        return 1
    return asked if asked <= MOST_DEVICES else 1


def run_several(spec: str, arguments: Sequence[str], size: int) -> None:
    """Run the engine in ``size`` processes until all have ended well.

    Args:
        spec: as YAML.
        arguments: of ``python -m searchjobs.engine run``, beside the spec.
        size: number of processes.

    Raises:
        SeveralFailedError: one has not; the others are ended.
    """
    with tempfile.TemporaryDirectory(prefix="nasweb-") as folder, _faults() as pipe:
        faults, into = pipe
        extra = {
            MEETING_PLACE: str(Path(folder, "store")),
            FAULTS_PIPE: str(into),
            "WORLD_SIZE": str(size),
            **_defaults(size),
        }
        path = Path(folder, "spec.yaml")
        path.write_text(spec, "utf-8")
        command = ["run", str(path), *arguments]
        ranks: list[Process] = []
        try:
            ranks.extend(_start(command, rank, extra) for rank in range(size))
            codes = _watch(ranks)
        finally:
            _end(ranks)
        if any(codes):
            raise _failure(codes, faults)


def tell_fault(sentence: str, kind: str, code: int) -> bool:
    """Say to the launcher why this process fails; False if there is none."""
    into = os.environ.get(FAULTS_PIPE)
    if into is None:
        return False
    fault = {"sentence": sentence[:LONGEST_SENTENCE], "kind": kind, "code": code}
    with suppress(OSError):
        os.write(int(into), f"{json.dumps(fault)}\n".encode())
    return True


def end_at_once_on_signals() -> None:
    """Let SIGTERM and Ctrl-C end this process wherever it is: it may be waiting for
    a partner that has gone, where Python hears no signal."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def _faults() -> Iterator[tuple[int, int]]:
    """Make a pipe that the children inherit at its second end."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    os.set_inheritable(ends[1], True)
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _defaults(size: int) -> dict[str, str]:
    """Return what the environment should say, as far as it does not: a fair part of
    the cores each, and to talk by the loopback device alone."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    wanted = {"OMP_NUM_THREADS": str(max(1, cores // size))}
    names = {name for _, name in socket.if_nameindex()}
    for loopback in ("lo", "lo0"):
        if loopback in names:
            wanted["GLOO_SOCKET_IFNAME"] = wanted["NCCL_SOCKET_IFNAME"] = loopback
    return {name: text for name, text in wanted.items() if name not in os.environ}


def _start(arguments: Sequence[str], rank: int, extra: Mapping[str, str]) -> Process:
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    return subprocess.Popen(
        [sys.executable, "-m", "searchjobs.engine", *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **extra, **own},
        # The lock of the run's folder is theirs too: it is free when they are gone.
        close_fds=False,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )


def _watch(ranks: Sequence[Process]) -> list[int]:
    """Wait until all have ended, or one has failed and the others had time to follow.
    Return their exit codes, 0 for those that still run."""
    failed_at = None
    while True:
        codes = [process.poll() for process in ranks]
        if None not in codes:
            break
        now = time.monotonic()
        if any(codes) and failed_at is None:
            failed_at = now
        if failed_at is not None and now - failed_at > LAST_WORDS_SECONDS:
            break
        time.sleep(TICK_SECONDS)
    return [code or 0 for code in codes]


def _end(ranks: Sequence[Process]) -> None:
    for process in ranks:
        process.terminate()
    until = time.monotonic() + GRACE_SECONDS
    for process in ranks:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _failure(codes: Sequence[int], faults: int) -> SeveralFailedError:
    """Return the cause: what the first process that failed said; else what ended it."""
    said = _first_fault(faults)
    if said is not None:
        return SeveralFailedError(said["sentence"], said["kind"], said["code"])
    causes = [code for code in codes if code not in {0, PARTNER_LOST}]
    code = min(causes, default=PARTNER_LOST)  # a signal is a negative code
    which = f"Process {codes.index(code) + 1} of the {len(codes)} of this search"
    if code < 0:
        name = signal.Signals(-code).name
        sentence = f"{which} was ended by {name}, and the search with it."
        if -code == signal.SIGKILL:
            sentence += " The system does that where memory runs out."
        sentence += " Resume it: it goes on from its last checkpoint."
        return SeveralFailedError(sentence, "", 128 - code)
    sentence = f"{which} ended with exit code {code}; the log says more."
    return SeveralFailedError(sentence, "bug", FAULT)


def _first_fault(faults: int) -> dict[str, Any] | None:
    with suppress(BlockingIOError):
        line = os.read(faults, 65536).partition(b"\n")[0]
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
    return None
