"""Look-ups in the imported table: values, ranks, distances, and few queries."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from searchjobs.benchmark import (
    DATASETS,
    PROTOCOLS,
    lookup,
    optimum,
    resolve,
    resolve_one,
    table_loaded,
)
from searchjobs.benchmark_import import rows as table_rows
from searchjobs.engine.spaces.nas_bench_201.encoding import all_architectures
from searchjobs.models import Architecture
from tests.jobs import benchmark_files as files
from tests.jobs.test_import_nasbench201 import run_import

pytestmark = pytest.mark.django_db

SPACE = "nas-bench-201"
NAMES = all_architectures()


@pytest.fixture(autouse=True)
def real_cache(settings):
    """The cache of the site; elsewhere in the tests nothing is cached."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "benchmark"}}
    cache.clear()


@pytest.fixture
def four_cells(tmp_path):
    """A table of the cells 0 to 3 with chosen CIFAR-10 test accuracies."""
    rows = files.made_up_rows(range(4))
    for row, value in zip(rows, ("50", "90.5", "70", "70"), strict=True):
        row["cifar10_test"] = value
        row["cifar10_test_e12"] = str(100 - float(value))
    run_import(files.write_csv(tmp_path / "table.csv", rows), "--partial")


# Architectures ----------------------------------------------------------------------


def test_a_new_architecture_gets_its_row_with_index_and_figures():
    row = resolve_one(SPACE, NAMES[1835])
    assert (row.index, row.parameters, row.flops) == (1835, 73_306, 7_783_050)
    assert row.canonical == "0+0+0+0"  # four ways to reach the output, all skips


def test_many_architectures_are_resolved_in_four_queries(
    django_assert_max_num_queries,
):
    known = resolve(SPACE, NAMES[:30])
    with django_assert_max_num_queries(4):  # two reads, one write, its savepoint
        rows = resolve(SPACE, NAMES[:300])
    assert {encoding: rows[encoding].pk for encoding in known} == {
        encoding: row.pk for encoding, row in known.items()
    }
    assert [rows[name].index for name in NAMES[:300]] == list(range(300))
    assert Architecture.objects.count() == 300


def test_nothing_is_written_for_architectures_that_are_known(
    django_assert_num_queries,
):
    resolve(SPACE, NAMES[:5])
    with django_assert_num_queries(1):
        resolve(SPACE, [*NAMES[:5], *NAMES[:5]])


def test_a_malformed_string_is_an_error_and_makes_no_row():
    with pytest.raises(ValueError, match="not a NAS-Bench-201 cell"):
        resolve(SPACE, [NAMES[0], "|skip~0|"])
    assert not Architecture.objects.exists()


# The table --------------------------------------------------------------------------


def test_without_a_table_look_ups_are_empty():
    resolve(SPACE, NAMES[:2])
    assert not table_loaded(SPACE)
    assert lookup(SPACE, NAMES[:2]) == {}
    assert optimum(SPACE) == {}


def test_a_look_up_says_value_trials_rank_and_distance(four_cells):
    assert table_loaded(SPACE)
    entries = lookup(SPACE, [NAMES[2], NAMES[0], NAMES[9]])
    assert set(entries) == {NAMES[2], NAMES[0]}
    value = entries[NAMES[2]].get("cifar10", "test")
    assert (value.value, value.trials, value.rank, value.of) == (70.0, 2, 2, 4)
    assert value.distance == pytest.approx(20.5)
    assert entries[NAMES[0]].datasets["cifar10"]["test"].rank == 4
    assert set(entries[NAMES[0]].datasets) == set(DATASETS)
    assert all(
        set(splits) == {"valid", "test"}
        for splits in entries[NAMES[0]].datasets.values()
    )


def test_the_twelve_epoch_protocol_has_values_and_ranks_of_its_own(four_cells):
    entries = lookup(SPACE, NAMES[:4], protocol="12")
    assert entries[NAMES[0]].get("cifar10", "test").rank == 1
    assert entries[NAMES[1]].get("cifar10", "test").value == 9.5
    assert optimum(SPACE, "12")["cifar10", "test"].value == 50.0


def test_the_optimum_names_the_best_cell_of_each_column(four_cells):
    best = optimum(SPACE)
    assert len(best) == 6
    assert best["cifar10", "test"].encoding == NAMES[1]
    assert (best["cifar10", "test"].value, best["cifar10", "test"].of) == (90.5, 4)


def test_a_look_up_takes_two_queries_whatever_the_number(
    four_cells, django_assert_max_num_queries
):
    cache.clear()
    with django_assert_max_num_queries(2):
        assert len(lookup(SPACE, NAMES)) == 4


def test_a_new_import_is_seen_at_once(four_cells, tmp_path):
    assert optimum(SPACE)["cifar10", "test"].value == 90.5
    rows = files.made_up_rows([0])
    rows[0]["cifar10_test"] = "99"
    run_import(files.write_csv(tmp_path / "more.csv", rows), "--partial")
    assert optimum(SPACE)["cifar10", "test"].encoding == NAMES[0]
    assert lookup(SPACE, NAMES[:1])[NAMES[0]].get("cifar10", "test").rank == 1


def test_a_column_that_the_file_lacks_is_absent(tmp_path):
    record = {"full": files.full_record(8, 60.0), "less": files.less_record(8, 20.0)}
    run_import(files.write_pth(tmp_path / "table.pth", {8: record}))
    entry = lookup(SPACE, [NAMES[8]], protocol="12")[NAMES[8]]
    assert entry.get("cifar10", "valid").value == 20.0
    assert entry.get("cifar10", "test") is None
    assert entry.get("imagenet16", "test") is None


def test_the_import_and_the_look_up_speak_of_the_same_columns():
    assert {dataset for dataset, _ in table_rows.SPLITS} == set(DATASETS)
    assert set(table_rows.PROTOCOLS) == set(PROTOCOLS)
