"""The engine's benchmark table: read, refused in a sentence, timed, one seed drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from searchjobs.engine import benchmark_table, places
from searchjobs.engine.benchmark_table import MissingTableError, find, load, read

from .made_up_table import made_up_table, write_table


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Only files count here; the site's rows are tested with the site."""
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(places, "table_providers", [])
    monkeypatch.setattr(benchmark_table, "table_providers", [])


def test_a_file_gives_back_every_number(tmp_path):
    table = made_up_table()
    found = read(write_table(tmp_path / "table.csv.gz"), "nas-bench-201")
    assert found.encodings == table.encodings
    for name, values in table.columns.items():
        assert np.array_equal(found.columns[name], values), name


def test_the_fingerprint_tells_one_changed_number(tmp_path):
    table = made_up_table()
    changed = dict(table.columns)
    changed["cifar10_valid_e12"] = table.columns["cifar10_valid_e12"].copy()
    changed["cifar10_valid_e12"][77] += 0.001
    one, two = (
        read(write_table(tmp_path / f"{n}.gz", each), "nas-bench-201")
        for n, each in enumerate([table, dataclasses.replace(table, columns=changed)])
    )
    assert one.fingerprint != two.fingerprint


def test_without_a_table_one_sentence_says_how_to_import_it():
    with pytest.raises(MissingTableError) as refused:
        find("nas-bench-201")
    (problem,) = refused.value.problems
    assert problem.field == "space"
    assert "import it with manage.py import_nasbench201 PATH" in problem.sentence


def test_a_space_without_a_table_is_refused():
    with pytest.raises(MissingTableError, match="choose nas-bench-201"):
        find("mobilenet")


def test_cells_of_five_nodes_are_refused_in_one_sentence_that_says_why():
    with pytest.raises(MissingTableError) as refused:
        find("nas-bench-201-five")
    assert [problem.sentence for problem in refused.value.problems] == [
        "The benchmark table holds cells of four nodes, and this method looks every "
        "architecture up in one; choose nas-bench-201."
    ]


def test_the_file_in_the_data_folder_is_found_and_read_again_when_it_changes(tmp_path):
    path = write_table(places.table_path("nas-bench-201"))
    first = load("nas-bench-201")
    assert load("nas-bench-201") is first
    table = made_up_table()
    seconds = {**table.columns, "valid_time_s": table.columns["train_time_s"] / 100}
    write_table(path, dataclasses.replace(table, columns=seconds))
    assert "valid_time_s" in load("nas-bench-201").columns


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text[: len(text) // 2], "has .* of the 15,625 architectures"),
        (lambda text: text.replace("train_time_s", "time"), "lacks values of train_ti"),
        (
            lambda text: text.replace("\n|", "\n|", 1).replace(",6", ",x6", 1),
            "no number",
        ),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, change, sentence):
    import gzip

    path = write_table(tmp_path / "table.csv.gz")
    text = gzip.decompress(path.read_bytes()).decode()
    at = change(text)
    path.write_text(at.rpartition("\n")[0] if "architectures" in sentence else at)
    with pytest.raises(MissingTableError, match=sentence):
        read(path, "nas-bench-201")


def test_seconds_are_those_of_the_official_records():
    """Index 0, 11 and 284: training epochs of CIFAR-10 (half), CIFAR-100, ImageNet16,
    and passes over their validation images, as the official files hold them."""
    known = {
        0: (7.22109, 14.44219, 43.81759, 2.548979, 0.509796, 0.305878),
        11: (12.46206, 24.92411, 75.61976, 4.151252, 0.830250, 0.498150),
        284: (4.87579, 9.75159, 29.58632, 2.389493, 0.477899, 0.286739),
    }
    table = made_up_table()
    columns = {name: values.copy() for name, values in table.columns.items()}
    columns["valid_time_s"] = np.full(len(table.encodings), np.nan)
    for index, (epoch, *_, look, _, _) in known.items():
        columns["train_time_s"][index] = 200 * epoch
        columns["valid_time_s"][index] = look
    timed = dataclasses.replace(table, columns=columns)
    for place, dataset in enumerate(("cifar10", "cifar100", "imagenet16")):
        for index, values in known.items():
            assert timed.train_seconds(dataset)[index] == pytest.approx(
                values[place], rel=1e-5
            )
            assert timed.valid_seconds(dataset)[index] == pytest.approx(
                values[3 + place], rel=1e-5
            )
    unknown = timed.valid_seconds("cifar10")[1] / timed.train_seconds("cifar10")[1]
    assert unknown == pytest.approx(benchmark_table.PASS_SHARE)


def test_trials_stand_first_in_their_rows_and_the_mean_stands_in_for_none():
    table = made_up_table()
    mean = table.columns["cifar10_valid_e12"]
    assert np.array_equal(table.trials("cifar10", "valid", "12"), mean[:, None])
    one, two = mean - 1, mean + 1
    one[5] = np.nan
    columns = {
        **table.columns,
        "cifar10_valid_e12_seed111": one,
        "cifar10_valid_e12_seed777": two,
        "cifar10_valid_seed777": two,
    }
    trials = dataclasses.replace(table, columns=columns).trials(
        "cifar10", "valid", "12"
    )
    assert trials.shape == (15_625, 2)
    assert trials[5, 0] == two[5]
    assert np.isnan(trials[5, 1])
    assert trials[6].tolist() == [one[6], two[6]]


def test_operations_are_columns_of_the_rows():
    table = made_up_table()
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    for index in (0, 284, 9930):
        words = [term.split("~")[0] for term in table.encodings[index].split("|")]
        wanted = [names.index(word) for word in words if word in names]
        assert table.choices[index].tolist() == wanted
