"""Numbers and states in words; tiles that say what they compare with."""

from __future__ import annotations

from typing import Any

import pytest

from nasweb.runs.spec_view import differences, flatten
from nasweb.runs.tiles import tiles
from nasweb.runs.words import compact, duration, per_cent, phase_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0.25, "0.2 s"),
        (58, "58 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (2460, "41 min"),
        (3599, "1 h"),
        (7200, "2 h"),
        (9660, "2 h 41 min"),
        (76 * 3600, "3 d 4 h"),
        (200_000, "2 d 8 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(
    seconds: float | None, words: str
) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("progress", "by_epochs", "words"),
    [
        ({"step": 3, "steps": 10, "seconds_left": 40}, True, "x 3 of 10, 40 s left"),
        ({"step": 3, "steps": 1000}, False, "x 3 of 1,000"),
        ({"epoch": 2, "epochs": 50, "step": 3, "steps": 9}, True, "x, epoch 2 of 50"),
        ({"epoch": 50, "epochs": 50, "step": 3, "steps": 9}, False, "x 3 of 9"),
        ({"step": 0, "steps": 0}, False, "x"),
    ],
)
def test_a_phase_tells_where_it_stands(
    progress: dict[str, Any], by_epochs: bool, words: str
) -> None:
    assert phase_words({"phase": "x", **progress}, by_epochs=by_epochs) == words


def test_shares_and_large_numbers() -> None:
    assert per_cent(0.275) == "27.5 %"
    assert per_cent(None) == "–"
    assert compact(1_290_000) == "1.29 M"
    assert compact(None) == ""


POINT: dict[str, Any] = {
    "epoch": 3,
    "table": {"cifar10": {"test": 93.76, "rank": 212, "of": 15625}},
    "inherited_accuracy": 0.5,
    "sets": {"T": {"remaining": 25}, "V": {"remaining": 50}},
    "cost_share": 0.58,
    "cost_units": 1234.0,
    "cell": [("cell", str(edge), "skip_connect") for edge in range(6)],
    "skips": 1,
    "nones": 0,
    "parameter_free": 1,
    "connected": True,
}


def of(point: dict[str, Any] | None, **more: Any) -> dict[str, dict[str, str]]:
    given: dict[str, Any] = {
        "sizes": {"T": 100, "V": 100},
        "dataset": "cifar10",
        "dataset_label": "CIFAR-10",
        "table_loaded": True,
        "optimum": 94.37,
        "eigenvalues": [],
        "eigenvalue_every": 5,
        **more,
    }
    return {tile["key"]: tile for tile in tiles(point, **given)}  # type: ignore[misc]


def test_five_tiles_compare_each_number_with_something() -> None:
    found = of(POINT)
    assert list(found) == ["genotype", "samples", "cost", "skips", "eigenvalue"]
    assert found["genotype"]["value"] == "93.76 %"
    assert found["genotype"]["note"] == (
        "table look-up · rank 212 of 15,625 · optimum 94.37"
    )
    assert found["samples"]["value"] == "37.5 %"
    assert found["samples"]["note"] == "T 25 of 100 · V 50 of 100"
    assert found["cost"]["value"] == "0.58 ×"
    assert found["skips"]["unit"] == "of 6 edges"


def test_without_a_table_the_tile_shows_inherited_weights_and_how_to_import() -> None:
    tile = of({**POINT, "table": None}, table_loaded=False, optimum=None)["genotype"]
    assert tile["value"] == "50.0 %"
    assert "not trained" in tile["label"]
    assert "import_nasbench201" in tile["note"]


@pytest.mark.parametrize(
    ("change", "words", "tone"),
    [
        ({"parameter_free": 3}, "no sign of collapse", ""),
        ({"parameter_free": 4}, "close to collapse", "warning"),
        ({"parameter_free": 6}, "collapsed", "danger"),
        ({"connected": False}, "not connected", "danger"),
    ],
)
def test_parameter_free_operations_warn_of_collapse(
    change: dict[str, Any], words: str, tone: str
) -> None:
    tile = of({**POINT, **change})["skips"]
    assert words in tile["note"]
    assert tile["tone"] == tone


def test_the_eigenvalue_tells_its_trend_over_two_windows() -> None:
    falling = of(POINT, eigenvalues=[0.4, 0.4, 0.4, 0.3, 0.3, 0.3])["eigenvalue"]
    assert falling["note"] == "window 0.4 → 0.3 · falling"
    rising = of(POINT, eigenvalues=[0.3, 0.3, 0.3, 0.4, 0.4, 0.5])["eigenvalue"]
    assert (rising["value"], rising["tone"]) == ("0.5", "warning")
    assert of(POINT, eigenvalue_every=0)["eigenvalue"]["note"].startswith(
        "switched off"
    )


def test_before_the_first_epoch_tiles_say_when_they_are_known() -> None:
    found = of(None, sizes={})
    assert [tile["value"] for tile in found.values()] == ["–"] * 5


def test_only_settings_that_differ_are_listed() -> None:
    rows = differences(
        [
            {"selection": {"name": "bdp", "window": 5}, "seed": 1},
            {"selection": {"name": "full"}, "seed": 1},
        ]
    )
    assert rows == [
        ("selection.name", ["bdp", "full"]),
        ("selection.window", ["5", "–"]),
    ]


ES = {"name": "darts-es", "window": 5}
SKIPS = {"name": "darts-plus-skips", "skips": 2}


def peak_of(operation: str) -> dict[str, str]:
    return {"name": "selective-stop", "operation": operation}


def test_stopping_rules_are_paired_by_their_name_and_not_by_their_place() -> None:
    assert differences([{"stopping": [ES, SKIPS]}, {"stopping": [SKIPS, ES]}]) == []
    assert differences([{"stopping": [ES, SKIPS]}, {"stopping": [SKIPS]}]) == [
        ("stopping.darts-es.name", ["darts-es", "–"]),
        ("stopping.darts-es.window", ["5", "–"]),
    ]
    other = {**SKIPS, "skips": 3}
    assert differences([{"stopping": [ES, SKIPS]}, {"stopping": [other, ES]}]) == [
        ("stopping.darts-plus-skips.skips", ["2", "3"])
    ]
    assert differences([{"stopping": []}, {"stopping": [SKIPS]}]) == [
        ("stopping.darts-plus-skips.name", ["–", "darts-plus-skips"]),
        ("stopping.darts-plus-skips.skips", ["–", "2"]),
    ]


def test_of_several_rules_of_one_name_those_that_are_the_same_go_together() -> None:
    one = {"stopping": [peak_of("pool"), peak_of("skip"), SKIPS]}
    assert differences([one, {"stopping": [SKIPS, *one["stopping"][:2]]}]) == []
    turned = {"stopping": [peak_of("skip"), peak_of("pool"), SKIPS]}
    assert differences([one, turned]) == []
    changed = {"stopping": [peak_of("skip"), peak_of("conv"), SKIPS]}
    assert differences([one, changed]) == [
        ("stopping.selective-stop.operation", ["pool", "conv"])
    ]
    more = {"stopping": [*one["stopping"], peak_of("conv")]}
    assert differences([one, more]) == [
        ("stopping.selective-stop 3.name", ["–", "selective-stop"]),
        ("stopping.selective-stop 3.operation", ["–", "conv"]),
    ]


def test_a_spec_is_flattened_in_words() -> None:
    assert flatten({"a": {"b": True, "c": 5e-4, "d": []}}) == {
        "a.b": "yes",
        "a.c": "0.0005",
        "a.d": "none",
    }
