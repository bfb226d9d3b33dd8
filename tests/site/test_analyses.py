"""Tables of groups: differences, transfer, best cells, shares; numbers by hand."""

from __future__ import annotations

from typing import Any

import pytest

from nasweb.analyses import (
    arrows,
    best_cells,
    counted,
    differences,
    edges,
    merged,
    reference_of,
    search_labels,
    share_points,
    shares,
    transfer,
    used,
)
from nasweb.comparison import Group, Member, Spread, Step, value_of
from nasweb.tables import Table
from searchjobs.engine.spec import SearchSpec

TEST = value_of("table", "cifar10")
OPERATIONS = ["none", "skip_connect", "nor_conv_3x3"]


def member(
    seed: int,
    test: float,
    *,
    state: str = "succeeded",
    cost: float = 100.0,
    lefts: tuple[int, ...] = (100, 100),
    operation: str = "nor_conv_3x3",
    valid: float | None = None,
) -> Member:
    values = {"test": test, "valid": test - 3 if valid is None else valid}
    steps = [
        Step(
            epoch=epoch,
            cost=cost * epoch / len(lefts),
            seconds=cost * epoch / 10,
            supernet=None,
            inherited=None,
            remaining=None,
            cost_share=None,
            skips=0,
            genotype=f"{operation} {test}",
            sets={"T": left, "V": 100},
            table=dict.fromkeys(("cifar10", "cifar100"), values),
        )
        for epoch, left in enumerate(lefts, start=1)
    ]
    cell = [("cell", edge, operation) for edge in ("1←0", "2←0")]
    left = {"T": lefts, "V": [100] * len(lefts)}
    sizes = {"T": 100, "V": 200}
    return Member(str(seed), seed, state, cell, steps, sizes=sizes, left=left)


def spec(selection: str = "full", method: str = "darts", **more: Any) -> dict[str, Any]:
    read = SearchSpec.model_validate(
        {
            "dataset": {"name": "cifar10"},
            "method": {"name": method},
            "selection": {"name": selection},
            **more,
        }
    )
    content = read.model_dump(mode="json")
    del content["seed"]
    return content


def group(label: str, *members: Member, **given: Any) -> Group:
    return Group(label, spec(**given), list(members))


def column(table: Table, key: str) -> list[Any]:
    at = [each.key for each in table.columns].index(key)
    return [row[at] for row in table.rows]


def test_only_runs_that_succeeded_count_and_each_seed_once() -> None:
    runs = [member(1, 90), member(1, 91), member(2, 92, state="running"), member(3, 93)]
    assert [(each.seed, each.last.table) for each in counted(runs) if each.last] == [
        (1, runs[0].steps[-1].table),
        (3, runs[3].steps[-1].table),
    ]


def test_groups_are_held_against_all_samples_at_the_end_and_at_equal_cost() -> None:
    groups = [
        group("BDP", member(1, 93, cost=50), member(2, 94, cost=50), selection="bdp"),
        group("DARTS", member(1, 54), member(2, 55)),
        group("GDAS", member(1, 93.0), method="gdas"),
    ]
    reference = reference_of(groups, "")
    assert reference == 1
    table = differences(groups, reference, TEST, "CIFAR-10 test by table", 50.0)
    assert column(table, "group") == ["BDP", "GDAS"] * 2
    assert column(table, "read") == ["at the end"] * 2 + ["at equal cost"] * 2
    assert column(table, "difference") == pytest.approx([39, 38.5, 39, 38.5])
    ps, adjusted = column(table, "p"), column(table, "p_holm")
    assert [p is None for p in ps] == [False, True, False, True]
    assert adjusted[0] == pytest.approx(2 * ps[0])
    said = column(table, "compares")
    assert said[0] == "BDP (n = 2) against DARTS (n = 2)."
    assert "needs two a group" in said[1]
    assert table.swatches == [1, 3, 1, 3]


def test_another_reference_is_asked_for_by_its_place() -> None:
    groups = [group("a", member(1, 90)), group("b", member(1, 91), method="gdas")]
    assert [reference_of(groups, each) for each in ("1", "7", "x", "-1", "9" * 9)] == [
        *(1, 0, 0, 0, 0)
    ]


def test_arrows_go_from_all_samples_to_the_same_search_on_fewer() -> None:
    groups = [
        group("BDP", selection="bdp"),
        group("DARTS"),
        group("GDAS", method="gdas"),
        group("GDAS + BDP", method="gdas", selection="bdp"),
        group("longer", training={"epochs": 7}, selection="bdp"),
        Group("of another version", {"selection": {"name": "forgotten"}}, []),
    ]
    assert arrows(groups) == [(1, 0), (2, 3)]


def test_single_runs_are_paired_with_their_own_seed() -> None:
    full = [Group(f"full {s}", {**spec(), "seed": s}, []) for s in (1, 2)]
    pruned = [Group(f"bdp {s}", {**spec("bdp"), "seed": s}, []) for s in (1, 2, 3)]
    assert arrows([*full, *pruned]) == [(0, 2), (1, 3)]


def test_edges_have_shares_and_entropy_of_the_runs_of_a_group() -> None:
    groups = [
        group("DARTS", member(1, 54, operation="skip_connect"), member(2, 90)),
        group("GDAS", member(1, 93), method="gdas"),
    ]
    table = edges(groups, OPERATIONS)
    assert column(table, "edge") == ["1←0", "2←0"] * 2
    assert column(table, "n") == [2, 2, 1, 1]
    assert column(table, "skip_connect") == [50, 50, 0, 0]
    assert column(table, "entropy_bits") == [1, 1, 0, 0]
    together = merged(groups, "method")
    assert [each.label for each in together] == ["DARTS, first order", "GDAS"]
    many = merged([*groups, group("BDP", member(3, 93), selection="bdp")], "method")
    assert [each.n for each in many] == [3, 1]
    assert len(merged(many, "group")) == 2


def test_transfer_marks_what_was_searched_on() -> None:
    table = transfer([group("DARTS", member(1, 90), member(2, 92))])
    assert column(table, "cifar10") == [Spread(2, 91.0, pytest.approx(2**0.5))]
    assert column(table, "imagenet16") == [Spread(0, None, None)]
    assert table.hints == {(0, "cifar10"): "searched on"}
    assert column(table, "searched_on") == ["cifar10"]


def test_the_best_cells_are_chosen_by_validation_and_each_is_named_once() -> None:
    groups = [
        group(
            "DARTS",
            member(1, 93.0, valid=90.0),
            member(2, 94.0, valid=89.0),
            member(3, 93.0, valid=90.0),
            member(4, 80.0, valid=70.0),
            member(5, 79.0, valid=60.0),
        )
    ]
    table = best_cells(groups)
    assert column(table, "valid") == [90.0, 89.0, 70.0]
    assert column(table, "cifar10") == [93.0, 94.0, 80.0]
    assert column(table, "search")[0] == "DARTS · seed 1"


def test_the_share_is_what_epochs_used_not_what_was_left_after_them() -> None:
    assert used(member(1, 90, lefts=(100, 80, 64)), "T") == pytest.approx(
        100 * (100 + 100 + 80) / 300
    )
    assert used(member(1, 90, lefts=(25, 25)), "T") == 25
    assert used(member(1, 90), "V") == 50
    assert used(Member("u", 1, "succeeded", [], []), "T") is None


def test_another_data_set_or_more_epochs_are_another_search_to_save_against() -> None:
    elsewhere = {"dataset": {"name": "digits"}}
    groups = [
        group("whole", member(1, 90, cost=1000)),
        group("digits", member(1, 90, cost=10), **elsewhere),
        group("digits, BDP", member(1, 90, cost=5), selection="bdp", **elsewhere),
        group("longer", member(1, 90, cost=4000), training={"epochs": 99}),
        group("GDAS", member(1, 90), method="gdas"),
    ]
    labels = search_labels(groups)
    assert labels == [
        "DARTS, first order · cifar10 · 50 epochs",
        *["DARTS, first order · digits"] * 2,
        "DARTS, first order · cifar10 · 99 epochs",
        "GDAS",
    ]
    points = share_points(groups, TEST)
    assert [point.method for point in points] == labels
    assert column(shares(points, "x"), "cost_saving") == [0, 0, 50, 0, 0]


def test_savings_are_against_the_largest_share_of_the_same_search() -> None:
    groups = [
        group("DARTS", member(1, 54, cost=200)),
        group("a quarter", member(1, 80, cost=50, lefts=(25, 25)), selection="bdp"),
        group("GDAS", member(1, 93, cost=500), method="gdas"),
        group("queued", member(1, 93, state="queued"), method="gdas"),
    ]
    points = share_points(groups, TEST)
    assert [(p.label, p.train, p.n) for p in points] == [
        ("DARTS", 100, 1),
        ("a quarter", 25, 1),
        ("GDAS", 100, 1),
    ]
    table = shares(points, "CIFAR-10 test by table")
    assert column(table, "cost_saving") == [0, 75, 0]
    assert column(table, "seconds_saving") == [0, 75, 0]
    assert column(table, "accuracy")[1] == Spread(1, 80.0, None)
