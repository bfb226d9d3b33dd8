"""A wrong or damaged file: one sentence, and a table as it was before."""

from __future__ import annotations

import bz2
import gzip
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError

from searchjobs.models import Architecture, BenchmarkResult
from tests.jobs import benchmark_files as files
from tests.jobs.test_import_nasbench201 import made_up_folder, run_import

pytestmark = pytest.mark.django_db


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """A function that imports, expects a refusal, and returns its sentence."""
    before = files.write_csv(tmp_path / "before.csv", files.made_up_rows([100, 101]))
    run_import(before, "--partial")

    def contents() -> tuple[list[dict], list[dict]]:
        return (
            list(Architecture.objects.order_by("id").values()),
            list(BenchmarkResult.objects.order_by("id").values()),
        )

    def attempt(path: Path, *options: str) -> str:
        table = contents()
        with pytest.raises(CommandError) as caught:
            run_import(path, *options)
        assert contents() == table, "the refused file has changed the table"
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.endswith("Nothing was imported.")
        return sentence

    return attempt


def record(index: int, value: float = 50.0) -> dict:
    return {
        "full": files.full_record(index, value),
        "less": files.less_record(index, 9),
    }


# Paths ----------------------------------------------------------------------------


def test_a_path_that_is_not_there_is_named(refused, tmp_path):
    assert f"no file or folder {tmp_path / 'gone.csv'}" in refused(
        tmp_path / "gone.csv"
    )


def test_an_empty_folder_and_an_empty_file_say_so(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "is empty" in refused(tmp_path / "folder")
    (tmp_path / "file.csv").touch()
    assert "is empty" in refused(tmp_path / "file.csv")


def test_the_folder_above_the_table_points_to_the_right_one(refused, tmp_path):
    (tmp_path / "download").mkdir()
    inner = made_up_folder(tmp_path / "download" / "NATS-tss-simple")
    assert f"give {inner}" in refused(tmp_path / "download")


def test_a_folder_of_other_things_says_what_to_give(refused, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.txt").write_text("x")
    assert "no meta.pickle.pbz2" in refused(tmp_path / "photos")


# CSV --------------------------------------------------------------------------------


def test_a_csv_with_a_missing_column_names_it(refused, tmp_path):
    rows = files.made_up_rows(range(3))
    for row in rows:
        del row["cifar100_test"]
    path = files.write_csv(tmp_path / "table.csv", rows)
    assert "lacks the column cifar100_test;" in refused(path, "--partial")


def test_a_csv_of_something_else_says_which_columns_it_should_have(refused, tmp_path):
    (tmp_path / "sales.csv").write_text("month,euros\n1,2\n")
    assert "columns index, arch, n_trials" in refused(tmp_path / "sales.csv")


def test_a_gzip_csv_that_is_cut_off_is_refused(refused, tmp_path):
    plain = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(50)))
    data = gzip.compress(plain.read_bytes())
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(data[: len(data) // 2])
    assert "cut off or damaged" in refused(cut, "--partial")


def test_a_csv_cut_in_a_line_names_the_line(refused, tmp_path):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(5)))
    text = path.read_text()
    path.write_text(text[: text.rindex(",") - 20])
    assert "line 6, has" in refused(path, "--partial")


def test_a_csv_that_lacks_architectures_is_refused_unless_asked_for(refused, tmp_path):
    path = files.write_csv(tmp_path / "table.csv", files.made_up_rows(range(5)))
    assert "5 of the 15,625 architectures" in refused(path)
    assert "--partial" in refused(path)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("cifar10_test", "100.5", "gives 100.5 as cifar10 test accuracy"),
        ("cifar10_test", "-1", "gives -1 as cifar10 test accuracy"),
        ("imagenet16_valid", "nan", "gives nan as imagenet16 valid accuracy"),
        ("cifar100_valid_e12", "", "'' in column cifar100_valid_e12"),
        ("cifar10_valid", "high", "'high' in column cifar10_valid"),
        ("index", "2.5", "'2.5' in column index"),
        ("n_trials", "inf", "'inf' in column n_trials"),
        ("index", "4", "the index 4, but its official index is 3"),
        ("arch", "|warp~0|+|none~0|none~1|+|none~0|none~1|none~2|", "is not an arch"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(refused, tmp_path, column, value, words):
    rows = files.made_up_rows(range(5))
    rows[3][column] = value
    sentence = refused(files.write_csv(tmp_path / "t.csv", rows), "--partial")
    assert "line 5," in sentence
    assert words in sentence


def test_an_architecture_that_comes_twice_is_refused(refused, tmp_path):
    rows = files.made_up_rows([3, 4, 3])
    path = files.write_csv(tmp_path / "table.csv", rows)
    assert "line 4, repeats the architecture 3" in refused(path, "--partial")


# Official .pth ----------------------------------------------------------------------


def test_a_pth_that_is_cut_off_is_refused(refused, tmp_path):
    path = files.write_pth(tmp_path / "table.pth", {0: record(0)})
    data = path.read_bytes()
    for share in (0.05, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert "cut off or damaged" in refused(path)


def test_a_zip_named_pth_is_refused(refused, tmp_path):
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not a table")
    assert "ordinary zip archive" in refused(path)


def test_a_pth_with_other_content_is_refused(refused, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pth")
    assert "not NAS-Bench-201" in refused(tmp_path / "model.pth")
    for odd in ({"meta_archs": None}, {"arch2infos": [1]}, {"arch2infos": {15625: 0}}):
        path = files.write_pth(tmp_path / "odd.pth", {0: record(0)}, **odd)
        assert "not NAS-Bench-201" in refused(path)
    path = files.write_pth(tmp_path / "none.pth", {})
    assert "holds no architecture" in refused(path)


def test_a_pth_that_would_run_code_is_refused_and_runs_none(refused, tmp_path):
    witness = tmp_path / "witness"

    class Payload:
        def __reduce__(self):
            return (Path.touch, (witness,))

    path = files.write_pth(tmp_path / "table.pth", {0: record(0)}, extra=Payload())
    assert "could run code" in refused(path)
    assert not witness.exists()


def test_a_pth_with_broken_records_is_refused(refused, tmp_path):
    path = files.write_pth(tmp_path / "table.pth", {0: {"full": 3, "less": 4}})
    assert "the nas-bench-201 package cannot read" in refused(path)
    state = record(0)
    state["full"]["all_results"]["cifar10", 777]["eval_acc1es"] = {}
    path = files.write_pth(tmp_path / "table.pth", {0: state})
    assert "architecture 0, has no ori-test accuracy of cifar10" in refused(path)


def test_a_pth_with_a_value_out_of_range_is_refused(refused, tmp_path):
    path = files.write_pth(tmp_path / "table.pth", {0: record(0, 99.5)})
    assert "gives 100.5 as cifar10 valid accuracy" in refused(path)  # of one trial


def test_a_pth_in_another_order_is_refused(refused, tmp_path):
    encodings = files.all_architectures()[::-1]
    path = files.write_pth(
        tmp_path / "table.pth", {0: record(0)}, meta_archs=list(encodings)
    )
    assert "official index is 15624" in refused(path)


# NATS-Bench folder ------------------------------------------------------------------


def test_a_folder_with_a_file_that_is_cut_off_names_it(refused, tmp_path):
    folder = made_up_folder(tmp_path / "NATS-tss")
    file = folder / "000040.pickle.pbz2"
    file.write_bytes(file.read_bytes()[:-100])
    assert f"{file} is cut off or damaged" in refused(folder)


def test_a_folder_with_a_pickle_that_would_run_code_runs_none(refused, tmp_path):
    witness = tmp_path / "witness"

    class Payload:
        def __reduce__(self):
            return (Path.touch, (witness,))

    folder = made_up_folder(tmp_path / "NATS-tss")
    file = folder / "000002.pickle.pbz2"
    file.write_bytes(bz2.compress(pickle.dumps(Payload())))
    assert "is not allowed" in refused(folder)
    assert not witness.exists()


def test_a_folder_whose_list_is_something_else_is_refused(refused, tmp_path):
    folder = made_up_folder(tmp_path / "NATS-tss")
    for content in ({"meta_archs": [1, 2]}, {}, [3]):
        packed = bz2.compress(pickle.dumps(content))
        (folder / "meta.pickle.pbz2").write_bytes(packed)
        assert "does not list the architectures" in refused(folder)


def test_a_folder_with_only_the_list_is_refused(refused, tmp_path):
    folder = made_up_folder(tmp_path / "NATS-tss")
    for file in folder.glob("0*"):
        file.unlink()
    assert "no architecture such as 000000.pickle.pbz2" in refused(folder)


def test_a_record_under_the_name_of_another_is_refused(refused, tmp_path):
    folder = made_up_folder(tmp_path / "NATS-tss")
    (folder / "000002.pickle.pbz2").rename(folder / "000003.pickle.pbz2")
    assert "000003.pickle.pbz2 is not the record of" in refused(folder)


def test_a_single_file_of_nats_bench_asks_for_the_folder(refused, tmp_path):
    folder = made_up_folder(tmp_path / "NATS-tss")
    assert "give the unpacked folder" in refused(folder / "000002.pickle.pbz2")
