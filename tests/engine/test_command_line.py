"""`python -m searchjobs.engine`, as a shell and as the supervisor use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from searchjobs.engine.__main__ import main
from searchjobs.engine.events import parse

from .conftest import tiny, without_clock


def engine(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "searchjobs.engine", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(tiny().to_yaml())
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to its end: what the engine said, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "spec.yaml").write_text(tiny().to_yaml())
    done = engine("run", folder / "spec.yaml", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return done, folder / "out"


def test_run_tells_its_events_on_standard_output_and_in_a_file(finished, tiny_events):
    done, out = finished
    told = [parse(line) for line in done.stdout.splitlines()]
    assert (out / "events.jsonl").read_text() == done.stdout
    ours = [without_clock(e) for e in told if e.type == "epoch_finished"]
    theirs = [without_clock(e) for e in tiny_events if e.type == "epoch_finished"]
    assert ours == theirs


def test_the_log_tells_each_epoch_and_each_pruning_in_a_line(finished):
    log = finished[0].stderr.splitlines()
    assert log[0].startswith("started: 6 epochs, T 100 and V 100 images of 10 classes")
    assert sum(line.startswith("epoch 3/6: loss ") for line in log) == 1
    assert "epoch 2: 20 of 100 pruned from T (lowest VoE), 20 asked for" in log
    assert log[-1].startswith("finished after epoch 6: |")


def test_a_stopped_run_resumes_and_its_file_tells_every_epoch_once_or_alike(
    spec_file, tmp_path, tiny_events
):
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "searchjobs.engine", "run", spec_file, "--out", out],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for line in child.stdout:
        if parse(line).type == "checkpointed":
            break
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    # 0 only if the search was over before the signal came
    assert child.returncode in {143, 0}
    assert engine("run", spec_file, "--out", out, "--resume").returncode == 0
    lines = (out / "events.jsonl").read_text().splitlines()
    epochs = {}
    for event in map(parse, lines):
        if event.type == "epoch_finished":
            known = epochs.setdefault(event.epoch, without_clock(event))
            assert known == without_clock(event)
    assert list(epochs.values()) == [
        without_clock(e) for e in tiny_events if e.type == "epoch_finished"
    ]


def test_a_folder_in_use_is_not_overwritten(spec_file, tmp_path):
    out = tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints" / "epoch-00001.pt").write_bytes(b"somebody's")
    done = engine("run", spec_file, "--out", out)
    assert done.returncode == 2
    assert "already holds such work" in done.stderr
    assert (out / "checkpoints" / "epoch-00001.pt").read_bytes() == b"somebody's"


def test_wrong_input_is_one_sentence_and_no_traceback(tmp_path):
    out = tmp_path / "out"
    wrong = json.dumps({"training": {"weight_lr": -1}})
    done = engine("run", "-", "--out", out, stdin=wrong)
    assert done.returncode == 2
    assert done.stderr == (
        "training.weight_lr: Weight learning rate must be greater than 0; "
        "you gave -1.\n"
    )
    assert json.loads(done.stdout)["kind"] == "spec"
    assert not out.exists()


def test_seeds_that_are_none_are_told_as_in_the_form(spec_file, tmp_path):
    done = engine("run", spec_file, "--out", tmp_path / "out", "--seed", "a,b")
    assert done.returncode == 2
    assert done.stderr == (
        "seed: Seeds are whole numbers such as 1, 2, 3 or a range such as 1-5; "
        "'a' is none.\n"
    )


def test_a_missing_spec_is_said_in_a_sentence(tmp_path, capsys):
    assert main(["plan", str(tmp_path / "nothing.yaml")]) == 2
    told = capsys.readouterr().err
    assert "cannot be read" in told
    assert "Traceback" not in told


def test_plan_prints_the_counts_and_the_cost(spec_file, capsys):
    done = engine("plan", spec_file)
    assert done.returncode == 0
    assert "52" in done.stdout
    assert main(["plan", str(spec_file), "--json"]) == 0
    as_json = json.loads(capsys.readouterr().out)
    assert as_json["remaining"]["T"] == [100, 100, 80, 80, 64, 64, 52]


def test_list_names_every_part_with_its_options(capsys):
    assert main(["list", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert set(parts) == {
        "spaces",
        "methods",
        "selections",
        "stopping",
        "derivations",
        "datasets",
        "recipes",
    }
    for members in parts.values():
        assert members
        for member in members:
            assert {"name", "summary", "source", "options"} <= set(member)
    assert {"full", "bdp"} <= {part["name"] for part in parts["selections"]}
    assert "bdp-digits" in {part["name"] for part in parts["recipes"]}


def test_the_reader_of_events_may_go_away(spec_file, tmp_path):
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "searchjobs.engine", "run", spec_file, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.readline()
    child.stdout.close()
    errors = child.stderr.read()
    child.wait(timeout=60)
    assert "Traceback" not in errors
