"""The three kinds of file, imported by the command that a user types."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import call_command
from django.db import connection, transaction

from searchjobs.benchmark import lookup
from searchjobs.benchmark_import.restricted_unpickler import restricted_loads
from searchjobs.engine.spaces.nas_bench_201.encoding import all_architectures
from searchjobs.models import Architecture, BenchmarkResult
from tests.jobs import benchmark_files as files

pytestmark = pytest.mark.django_db

Key = tuple[int, str, str, str]


def run_import(path: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("import_nasbench201", str(path), *options, stdout=out)
    return out.getvalue()


def stored() -> dict[Key, tuple[float, int | None]]:
    """Return value and trials by official index, data set, split and protocol."""
    rows = BenchmarkResult.objects.values_list(
        "architecture__index", "dataset", "split", "protocol", "value", "trials"
    )
    return {(*row[:4],): (row[4], row[5]) for row in rows}


def ranks(dataset: str, split: str, protocol: str) -> dict[int, int]:
    rows = BenchmarkResult.objects.filter(
        dataset=dataset, split=split, protocol=protocol
    )
    return dict(rows.values_list("architecture__index", "rank"))


def rows_that_the_planner_sees() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT replace(relname, 'searchjobs_', ''), reltuples FROM pg_class"
            " WHERE relname IN ('searchjobs_architecture',"
            " 'searchjobs_benchmarkresult')"
        )
        return {name: int(rows) for name, rows in cursor.fetchall()}


def column_of(dataset: str, split: str, protocol: str) -> str:
    return f"{dataset}_{split}" + ("_e12" if protocol == "12" else "")


# CSV ------------------------------------------------------------------------------


def test_every_value_of_a_csv_is_stored_under_its_data_set_split_and_protocol(tmp_path):
    rows = files.made_up_rows([3, 11, 1835])
    answer = run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    assert "Imported 3 of 15,625 architectures (36 accuracies)" in answer
    values = stored()
    assert len(values) == 36
    for row in rows:
        for (index, *column), (value, trials) in values.items():
            if index == int(row["index"]):
                assert value == float(row[column_of(*column)])
                if column[2] == "200":
                    assert trials == int(row["n_trials"])
    assert values[3, "cifar10", "valid", "12"][1] == 2
    assert values[3, "cifar10", "test", "12"][1] == 1


def test_an_imported_architecture_has_the_figures_of_its_space(tmp_path):
    rows = files.made_up_rows([1462])
    run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    architecture = Architecture.objects.get()
    assert architecture.encoding == all_architectures()[1462]
    assert architecture.index == 1462
    assert architecture.parameters == 1_531_546  # six 3x3: 0.073306 + 6 x 0.24304 M
    assert architecture.flops == 220_119_690
    assert architecture.canonical


def test_a_gzip_csv_gives_the_same_rows_as_the_plain_one(tmp_path):
    plain = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(5)))
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    run_import(packed, "--partial")
    first = stored()
    BenchmarkResult.objects.all().delete()
    run_import(plain, "--partial")
    assert stored() == first
    assert len(first) == 60


def test_a_rank_counts_from_the_best_and_equal_values_share_it(tmp_path):
    rows = files.made_up_rows([0, 1, 2, 3])
    for row, value in zip(rows, ("50", "90", "70", "70"), strict=True):
        row["cifar10_test"] = value
    run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    assert ranks("cifar10", "test", "200") == {1: 1, 2: 2, 3: 2, 0: 4}


def test_a_second_import_changes_no_row(tmp_path):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(40)))
    run_import(path, "--partial")
    before = list(BenchmarkResult.objects.order_by("id").values())
    run_import(path, "--partial")
    assert list(BenchmarkResult.objects.order_by("id").values()) == before
    assert Architecture.objects.count() == 40


def test_a_better_file_replaces_values_and_ranks_anew(tmp_path):
    rows = files.made_up_rows([0, 1])
    rows[0]["cifar10_test"], rows[1]["cifar10_test"] = "80", "70"
    run_import(files.write_csv(tmp_path / "old.csv", rows), "--partial")
    assert ranks("cifar10", "test", "200") == {0: 1, 1: 2}
    rows[1]["cifar10_test"] = "85.5"
    run_import(files.write_csv(tmp_path / "new.csv", rows), "--partial")
    assert ranks("cifar10", "test", "200") == {0: 2, 1: 1}
    assert stored()[1, "cifar10", "test", "200"] == (85.5, 3)


def test_an_architecture_that_a_search_met_before_keeps_its_row(tmp_path):
    known = Architecture.objects.create(
        space="nas-bench-201", encoding=all_architectures()[7]
    )
    rows = files.made_up_rows([7])
    run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    known.refresh_from_db()
    assert known.index == 7
    assert known.results.count() == 12


def test_an_import_after_one_that_was_rolled_back_tells_the_planner_its_rows(tmp_path):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(200)))
    with transaction.atomic():
        run_import(path, "--partial")
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        # What autovacuum does at a moment that no test can choose.
        cursor.execute("ANALYZE searchjobs_architecture, searchjobs_benchmarkresult")
    assert rows_that_the_planner_sees() == {"architecture": 0, "benchmarkresult": 0}
    run_import(path, "--partial")
    assert rows_that_the_planner_sees() == {
        "architecture": 200,
        "benchmarkresult": 2_400,
    }


def test_the_whole_space_is_imported_in_well_under_a_minute(tmp_path):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(15_625)))
    start = time.monotonic()
    answer = run_import(path)
    seconds = time.monotonic() - start
    assert "Imported 15,625 of 15,625 architectures (187,500 accuracies)" in answer
    assert seconds < 60, f"it took {seconds:.1f} s"
    assert max(ranks("imagenet16", "test", "200").values()) == 15_625


def test_the_real_table_has_the_best_cells_and_the_all_skip_cell_as_published():
    run_import(files.real_csv())
    values = stored()
    assert len(values) == 15_625 * 12
    best = {
        ("cifar10", "valid"): (6111, 91.61),
        ("cifar10", "test"): (6111, 94.37),
        ("cifar100", "valid"): (9930, 73.49),
        ("cifar100", "test"): (9930, 73.51),
        ("imagenet16", "valid"): (10676, 46.73),
        ("imagenet16", "test"): (857, 47.31),
    }
    for (dataset, split), (index, value) in best.items():
        assert ranks(dataset, split, "200")[index] == 1
        assert round(values[index, dataset, split, "200"][0], 2) == value
    all_skip = (39.77, 54.30, 15.03, 15.61, 16.43, 16.32)
    nine_thousand = (91.55, 94.36, 73.49, 73.51, 46.37, 46.34)
    for index, expected in ((1835, all_skip), (9930, nine_thousand)):
        found = [round(values[index, *column, "200"][0], 2) for column in best]
        assert tuple(found) == expected
    trials = [
        value[1]
        for key, value in values.items()
        if key[1:] == ("cifar10", "test", "200")
    ]
    assert (trials.count(3), trials.count(2)) == (8_169, 7_456)
    entry = lookup("nas-bench-201", [all_architectures()[1835]]).popitem()[1]
    skip = entry.get("cifar10", "test")
    assert skip.of == 15_625
    assert 14_000 < skip.rank < 15_625
    assert skip.distance == pytest.approx(94.37 - 54.30, abs=0.011)


# NATS-Bench folder ------------------------------------------------------------------


def test_the_official_sample_gives_the_values_of_the_table():
    answer = run_import(files.real_folder())
    assert "Imported 3 of 15,625 architectures (36 accuracies)" in answer
    rows = {int(row["index"]): row for row in files.real_rows()}
    values = stored()
    assert {key[0] for key in values} == {0, 11, 284}
    for (index, *column), (value, trials) in values.items():
        assert value == pytest.approx(float(rows[index][column_of(*column)]), abs=1e-4)
        if column[2] == "200":
            assert trials == int(rows[index]["n_trials"])
        else:
            assert trials == (2 if column[:2] == ["cifar10", "valid"] else 1)


def test_the_sample_on_top_of_the_table_leaves_the_other_rows_alone(tmp_path):
    rows = files.made_up_rows([0, 5])
    run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")
    run_import(files.real_folder())
    values = stored()
    assert {key[0] for key in values} == {0, 5, 11, 284}
    assert values[5, "cifar10", "test", "200"][0] == float(rows[1]["cifar10_test"])
    assert sorted(ranks("cifar10", "test", "200").values()) == [1, 2, 3, 4]


def made_up_folder(folder: Path) -> Path:
    """Write two architectures in the layout of the NATS-Bench folder."""
    folder.mkdir()
    contents = {"meta": {"meta_archs": list(all_architectures())}}
    for index in (2, 40):
        contents[f"{index:06d}"] = {
            "200": files.full_record(index, 50.0 + index),
            "12": files.less_record(index, 20.0 + index),
        }
    for name, content in contents.items():
        packed = bz2.compress(pickle.dumps(content))
        (folder / f"{name}.pickle.pbz2").write_bytes(packed)
    return folder


def test_a_folder_with_some_architectures_is_imported_as_far_as_it_goes(tmp_path):
    answer = run_import(made_up_folder(tmp_path / "NATS-tss"))
    assert "Imported 2 of 15,625 architectures (14 accuracies)" in answer
    values = stored()
    assert values[40, "cifar10", "valid", "200"] == (90.0, 2)
    assert values[40, "cifar10", "valid", "12"] == (60.0, 1)
    assert values[2, "imagenet16", "test", "200"] == (54.0, 1)


# Official .pth ----------------------------------------------------------------------


def test_a_pth_built_by_the_package_gives_the_mean_over_its_trials(tmp_path):
    infos = {
        index: {
            "full": files.full_record(index, 70.0 + index / 1000),
            "less": files.less_record(index, 30.0),
        }
        for index in (0, 9930)
    }
    answer = run_import(files.write_pth(tmp_path / "NAS-Bench-201-v1_1.pth", infos))
    assert "Imported 2 of 15,625 architectures (14 accuracies)" in answer
    values = stored()
    assert values[0, "cifar10", "valid", "200"] == (70.0, 2)
    assert values[0, "cifar10", "test", "200"] == (73.0, 1)
    assert values[9930, "cifar100", "valid", "200"] == (pytest.approx(80.93), 1)
    assert values[9930, "cifar100", "test", "200"] == (pytest.approx(81.93), 1)
    assert values[9930, "imagenet16", "test", "200"] == (pytest.approx(81.93), 1)
    assert values[9930, "cifar10", "valid", "12"] == (30.0, 1)
    assert (9930, "cifar10", "test", "12") not in values  # version 1.0 has none


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_real_records_with_numpy_numbers_pass_through_both_kinds_of_pth(
    tmp_path, zipped
):
    folder = files.real_folder()
    infos = {}
    for index in (0, 11, 284):
        data = bz2.decompress((folder / f"{index:06d}.pickle.pbz2").read_bytes())
        records = restricted_loads(data)
        for result in records["200"]["all_results"].values():
            result["params"] = np.float64(result["params"])
        infos[index] = {"full": records["200"], "less": records["12"]}
    content = {
        "meta_archs": list(all_architectures()),
        "arch2infos": infos,
        "evaluated_indexes": [0, 11, 284],
    }
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    run_import(path)
    from_pth = stored()
    BenchmarkResult.objects.all().delete()
    run_import(folder)
    assert from_pth == stored()
    assert len(from_pth) == 36


def test_a_file_is_known_by_its_content_and_not_by_its_name(tmp_path):
    pth = files.write_pth(
        tmp_path / "whatever.bin",
        {5: {"full": files.full_record(5, 50.0), "less": files.less_record(5, 20.0)}},
    )
    run_import(pth)
    table = files.write_csv(tmp_path / "table.pth", files.made_up_rows([6]))
    run_import(table, "--partial")
    assert {key[0] for key in stored()} == {5, 6}


def test_the_bar_is_quiet_where_nobody_watches(tmp_path, capfd):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows([1]))
    run_import(path, "--partial")
    assert capfd.readouterr().err == ""


def test_a_copied_sample_without_one_file_is_smaller_by_one(tmp_path):
    folder = tmp_path / "sample"
    shutil.copytree(files.real_folder(), folder)
    (folder / "000011.pickle.pbz2").chmod(0o600)
    folder.chmod(0o700)
    (folder / "000011.pickle.pbz2").unlink()
    run_import(folder)
    assert {key[0] for key in stored()} == {0, 284}
