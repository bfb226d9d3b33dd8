"""One command starts the processes of a search, and all of them end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from searchjobs.engine import checkpoint, launcher
from searchjobs.engine.events import parse
from searchjobs.engine.search import search

from .conftest import tiny, without_clock
from .ranks import on_ranks

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ENGINE = (sys.executable, "-m", "searchjobs.engine")


@pytest.fixture
def start():
    """A function that starts the engine; what it started ends with the test."""
    started = []

    def go(spec, out, *arguments):
        child = subprocess.Popen(
            [*ENGINE, "run", spec, "--out", out, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        started.append(child)
        return child

    yield go
    for child in started:
        child.kill()
        child.communicate()


def wait_for(child, kind):
    """Return the first event of a kind, and the processes that the child started."""
    for line in child.stdout:
        event = parse(line)
        if event.type == kind:
            return event, psutil.Process(child.pid).children(recursive=True)
    raise AssertionError(child.stderr.read())


def gone(processes, seconds=5.0):
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in left if p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def long_spec(tmp_path_factory):
    """A search over two processes that lasts longer than a test."""
    path = tmp_path_factory.mktemp("spec") / "spec.yaml"
    path.write_text(
        tiny(training={"epochs": 500}, compute={"devices": 2}).to_yaml(), "utf-8"
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of one search, which the tests below break off in turn."""
    return tmp_path_factory.mktemp("run")


def test_all_processes_die_with_the_one_that_started_them(start, long_spec, folder):
    child = start(long_spec, folder)
    event, processes = wait_for(child, "checkpointed")
    assert event.epoch == 1
    assert len(processes) == 2
    child.kill()
    child.communicate(timeout=60)
    assert gone(processes)
    environment = json.loads((folder / "events.jsonl").open().readline())["environment"]
    assert environment["processes"] == "2, joined by gloo"


def test_a_process_that_is_killed_ends_the_run_with_a_sentence(
    start, long_spec, folder
):
    child = start(long_spec, folder, "--resume")
    _, processes = wait_for(child, "started")
    follower = next(p for p in processes if p.environ()["RANK"] == "1")
    follower.kill()
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 128 + signal.SIGKILL
    assert errors.splitlines()[-1].startswith(
        "Process 2 of the 2 of this search was ended by SIGKILL, and the search with "
    )
    assert "Traceback" not in errors
    assert gone(processes)


def test_sigterm_ends_all_processes_at_once(start, long_spec, folder):
    child = start(long_spec, folder, "--resume")
    _, processes = wait_for(child, "epoch_finished")
    child.terminate()
    child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert gone(processes)


def test_a_fault_in_all_processes_is_told_once(start, long_spec, tmp_path):
    checkpoint.save(tmp_path, 1, {"spec": "of another search"})
    child = start(long_spec, tmp_path, "--resume")
    told, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    events = [parse(line) for line in told.splitlines()]
    assert [event.type for event in events] == ["failed"]
    assert events[0].sentence.startswith("The checkpoint in this folder belongs to")
    assert errors.splitlines()[-1] == events[0].sentence
    assert "Traceback" not in errors
    assert (tmp_path / "events.jsonl").read_text() == told


def searched(ours, spec):
    return [without_clock(event) for event in search(spec)]


@pytest.mark.slow
def test_torchrun_starts_the_same_search(tmp_path):
    """Bit for bit what processes find that a launcher of ours would start."""
    spec = tiny(training={"epochs": 2}, compute={"devices": 2})
    path, out = tmp_path / "spec.yaml", tmp_path / "out"
    path.write_text(spec.to_yaml(), "utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--local-addr=127.0.0.1", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "searchjobs.engine", "run", path, "--out", out],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "events.jsonl").read_text() == done.stdout
    told = [without_clock(parse(line)) for line in done.stdout.splitlines()]
    theirs = [event for event in told if event["type"] == "epoch_finished"]
    leaders, _ = on_ranks(searched, spec)
    assert theirs == [e for e in leaders if e["type"] == "epoch_finished"]
    assert len(theirs) == 2


@pytest.mark.parametrize(
    ("codes", "kind", "code", "beginning"),
    [
        ([1, -11], "", 139, "Process 2 of the 2 of this search was ended by SIGSEGV"),
        ([4, 0, 7], "bug", 1, "Process 3 of the 3 of this search ended with exit code"),
        ([4, 4], "bug", 1, "Process 1 of the 2 of this search ended with exit code 4"),
    ],
)
def test_without_a_word_the_end_of_a_process_is_the_cause(codes, kind, code, beginning):
    with launcher._faults() as (faults, _):
        failure = launcher._failure(codes, faults)
    assert str(failure).startswith(beginning)
    assert (failure.kind, failure.code) == (kind, code)


def test_the_first_word_of_a_process_is_the_cause(monkeypatch):
    with launcher._faults() as (faults, into):
        monkeypatch.setenv(launcher.FAULTS_PIPE, str(into))
        assert launcher.tell_fault("The disk is full.", "disk", 3)
        assert launcher.tell_fault("Too late.", "bug", 1)
        failure = launcher._failure([4, 3], faults)
    assert (str(failure), failure.kind, failure.code) == (
        "The disk is full.",
        "disk",
        3,
    )


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("compute: {devices: 2}", 2),
        ("compute: {devices: '3'}", 3),
        ("compute: {devices: many}", 1),
        ("compute: {devices: 1000}", 1),
        ("compute: 5", 1),
        ("[", 1),
        ("", 1),
    ],
)
def test_a_spec_that_makes_no_sense_starts_one_process_that_says_so(text, devices):
    assert launcher.devices_asked(text) == devices


def test_the_launcher_loads_no_pytorch():
    program = "import sys, searchjobs.engine.launcher; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_process_without_a_launcher_tells_its_fault_itself():
    assert launcher.FAULTS_PIPE not in os.environ
    assert not launcher.tell_fault("A sentence.", "bug", 1)
