"""The imported table reaches the engine, and what the engine tells becomes rows."""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from searchjobs import table_file
from searchjobs.engine import benchmark_table, places
from searchjobs.engine.benchmark_table import MissingTableError, find, load, read
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.table_search import search_table
from searchjobs.models import BenchmarkImport, EpochRecord, Job, Run, Slot
from searchjobs.recorder import Recorder
from searchjobs.states import State
from searchjobs.supervisor import supervise
from tests.engine.made_up_table import made_up_table, write_table
from tests.jobs import benchmark_files as files
from tests.jobs.conftest import Launch, take

SPACE = "nas-bench-201"
SPEC = {"method": {"name": "evolution", "repeats": 20, "points": 10, "budget": 4000}}


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def whole_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up table as a user brings one, with single trials of one column."""
    table = made_up_table()
    mean = table.columns["cifar10_valid_e12"]
    columns = {
        **table.columns,
        "valid_time_s": table.columns["train_time_s"] / 500,
        "cifar10_valid_e12_seed111": mean - 0.5,
        "cifar10_valid_e12_seed777": mean + 0.5,
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["index", "arch", "n_trials", *columns])
    writer.writerows(
        (index, encoding, 3, *(f"{values[index]:.4f}" for values in columns.values()))
        for index, encoding in enumerate(table.encodings)
    )
    path = tmp_path_factory.mktemp("brought") / "table.csv.gz"
    path.write_bytes(gzip.compress(text.getvalue().encode(), 1))
    return path


def import_table(path: Path, *options: str) -> None:
    call_command("import_nasbench201", str(path), *options, stdout=io.StringIO())


@pytest.mark.slow  # a whole table in and out: 20 seconds on a quiet machine
@pytest.mark.django_db
def test_the_engine_reads_from_the_rows_what_the_user_brought(whole_csv: Path) -> None:
    import_table(whole_csv)
    brought, found = read(whole_csv, SPACE), load(SPACE)
    assert found.encodings == brought.encodings
    for name in benchmark_table.REQUIRED[1:]:
        assert np.array_equal(found.columns[name], brought.columns[name]), name
    assert np.array_equal(
        found.trials("cifar10", "valid", "12"), brought.trials("cifar10", "valid", "12")
    )
    assert found.trials("cifar10", "valid", "12").shape[1] == 2
    assert np.array_equal(
        found.valid_seconds("cifar10"), brought.valid_seconds("cifar10")
    )
    before = found.fingerprint
    stamp = places.table_path(SPACE).stat().st_mtime_ns
    assert find(SPACE).stat().st_mtime_ns == stamp, "nothing new, nothing written"
    BenchmarkImport.objects.create(space=SPACE, source="again", architectures=1)
    assert find(SPACE).stat().st_mtime_ns != stamp
    assert load(SPACE).fingerprint == before


@pytest.mark.django_db
def test_the_file_holds_values_trials_and_times_of_the_rows(tmp_path: Path) -> None:
    rows = files.made_up_rows([3, 11, 1835])
    for number, row in enumerate(rows):
        row["train_time_s"] = f"{1000.5 + number}"
        row["valid_time_s"] = "" if number == 2 else "2.5"
        row["cifar10_valid_seed777"] = f"{60 + number}"
        row["cifar10_valid_seed999"] = "" if number == 1 else "61.5"
    import_table(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    table_file.refresh(SPACE)
    path = places.table_path(SPACE)
    with gzip.open(path, "rt", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["arch"] for row in found] == [row["arch"] for row in rows]
    for row, brought in zip(found, rows, strict=True):
        for name in ("train_time_s", "valid_time_s", *benchmark_table.REQUIRED[2:]):
            assert (row[name] and float(row[name])) == (
                brought[name] and float(brought[name])
            ), name
    assert [row["cifar10_valid_seed1"] for row in found] == ["60.0", "61.0", "62.0"]
    assert [row["cifar10_valid_seed2"] for row in found] == ["61.5", "", "61.5"]
    before = path.stat().st_mtime_ns
    table_file.refresh(SPACE)
    assert path.stat().st_mtime_ns == before, "nothing new, nothing written"
    rows[0]["train_time_s"] = "5000"
    import_table(files.write_csv(tmp_path / "new.csv", rows), "--partial")
    table_file.refresh(SPACE)
    with gzip.open(path, "rt", newline="") as stream:
        assert next(csv.DictReader(stream))["train_time_s"] == "5000.0"


@pytest.mark.parametrize("seconds", ["-3", "nan", "0"])
@pytest.mark.django_db
def test_seconds_that_are_none_are_refused(tmp_path: Path, seconds: str) -> None:
    rows = files.made_up_rows([3])
    rows[0]["train_time_s"] = seconds
    with pytest.raises(CommandError, match="must be above 0, so correct the file"):
        import_table(files.write_csv(tmp_path / "table.csv", rows), "--partial")


@pytest.mark.django_db
def test_a_table_without_times_says_what_it_lacks(tmp_path: Path) -> None:
    rows = files.made_up_rows(range(4))
    import_table(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    with pytest.raises(MissingTableError, match="4 of the 15,625 architectures"):
        load(SPACE)


@pytest.mark.django_db
def test_a_file_that_somebody_put_there_stays() -> None:
    path = places.table_path(SPACE)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert find(SPACE).read_text() == "mine"


@pytest.mark.django_db
def test_seconds_and_trials_of_the_official_folder_are_stored() -> None:
    from searchjobs.models import Architecture, BenchmarkResult

    import_table(files.real_folder())
    times = dict(
        Architecture.objects.values_list("index", "train_seconds").order_by("index")
    )
    assert times == pytest.approx({0: 1444.2186, 11: 2492.4114, 284: 975.1589})
    passes = Architecture.objects.get(index=284).valid_seconds
    assert passes == pytest.approx(2.389493, rel=1e-5)
    result = BenchmarkResult.objects.get(
        architecture__index=0, dataset="cifar10", split="valid", protocol="12"
    )
    assert result.by_trial is not None
    assert sorted(result.by_trial) == pytest.approx([62.712, 64.016], abs=1e-3)
    assert result.value == pytest.approx(sum(result.by_trial) / 2)


@pytest.mark.django_db
def test_a_launch_without_a_table_is_refused_with_what_to_do(launched: Launch) -> None:
    with pytest.raises(SpecError, match="import it with manage"):
        launched(spec=SPEC)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_runs_it_and_every_point_is_a_row(
    launched: Launch, slot: Slot
) -> None:
    write_table(places.table_path(SPACE))
    (job,) = launched(spec=SPEC)
    taken = take(slot)
    assert taken is not None
    supervise(taken)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED, job.error
    run = Run.objects.get(job=job)
    records = list(EpochRecord.objects.filter(run=run).order_by("epoch"))
    assert [record.epoch for record in records] == list(range(1, 11))
    last: dict[str, Any] = records[-1].report["repeats"]
    assert last["repeats"] == 20
    assert last["seconds"] == 4000
    assert sum(last["histogram_counts"]) == 20
    assert records[-1].cost_units == run.cost_units == 0
    assert records[-1].alpha == {}
    assert records[-1].genotype == run.architecture.encoding
    assert run.plan["table"]["repeats"] == 20
    assert run.repeats == {
        name: last[name]
        for name in ("repeats", "seconds", "evaluations", "signal", "accuracies")
    }
    assert run.architectures[0]["architecture"] == run.architecture.encoding


@pytest.mark.django_db
def test_a_point_before_the_first_evaluation_is_a_row_without_an_architecture(
    launched: Launch, slot: Slot
) -> None:
    write_table(places.table_path(SPACE))
    (job,) = launched(spec={"method": {**SPEC["method"], "points": 400}})
    taken = take(slot)
    assert taken is not None
    recorder = Recorder(taken)
    table = made_up_table()
    for event in search_table(SearchSpec.model_validate(job.spec), table=table):
        recorder.record(event)
        if event.type == "epoch_finished":
            break
    row = EpochRecord.objects.get(run__job=job)
    assert (row.genotype, row.architecture) == ("", None)
    assert Run.objects.get(job=job).repeats is None


@pytest.mark.django_db
def test_a_worker_brings_the_table_only_for_what_reads_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(table_file, "refresh", asked.append)
    spec = {"space": {"name": SPACE}}
    table_file.refresh_for({"table": None}, spec)
    table_file.refresh_for({"table": {"repeats": 1}}, spec)
    assert asked == [SPACE]


@pytest.mark.django_db
def test_what_stands_in_the_way_of_writing_is_told(
    tmp_path: Path,
) -> None:
    BenchmarkImport.objects.create(space=SPACE, source="x", architectures=1)
    Path(os.environ["NASWEB_DATA_ROOT"]).write_text("a file where a folder should be")
    with pytest.raises(MissingTableError, match="cannot be written"):
        find(SPACE)
