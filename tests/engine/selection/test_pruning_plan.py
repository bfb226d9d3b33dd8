"""What BDP would do, from the spec alone; and specs that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from searchjobs.engine.contracts import SetName, selections
from searchjobs.engine.data.source import Summary
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import validate

from .conftest import spec_of

Bdp = selections.get("bdp")


def remaining(size: int, epochs: int, **selection: Any) -> list[int]:
    spec = spec_of(epochs, **selection)
    return Bdp.remaining(spec.selection, spec, {"T": size, "V": size})["T"]


@pytest.mark.parametrize(
    ("start", "p", "n", "counts"),
    [
        (25000, 0.15, 8, "21250 18063 15354 13051 11094 9430 8016 6814"),
        (25000, 0.15, 12, "5792 4924 4186 3559"),
        (25000, 0.15, 20, "1344 1143 972"),
        (25000, 0.20, 10, "20000 16000 12800 10240 8192 6554 5244 4196 3357 2686"),
        (25000, 0.25, 16, "447 336 252"),
        (25000, 0.10, 10, "9688 8720"),
        (1000, 0.15, 6, "850 723 615 523 445 379"),
    ],
)
def test_the_plan_gives_the_published_counts(
    start: int, p: float, n: int, counts: str
) -> None:
    window, expected = 4, [int(count) for count in counts.split()]

    found = remaining(start, n * window, window=window, prune_train=p)

    assert found[0] == start
    assert len(found) == n * window + 1
    assert found[window::window][-len(expected) :] == expected
    assert found[1 : window + 1] == [start] * (window - 1) + [found[window]]


def test_a_rest_of_epochs_after_the_last_window_prunes_nothing() -> None:
    assert remaining(1000, 7, window=3) == [1000] * 3 + [850] * 3 + [723] * 2


def test_a_window_longer_than_the_search_prunes_nothing() -> None:
    assert remaining(1000, 4, window=5) == [1000] * 5


def test_shares_of_the_initial_set_are_planned_linearly() -> None:
    found = remaining(1000, 6, window=2, prune_train=0.2, base="initial")

    assert found[::2] == [1000, 800, 600, 400]


def test_a_start_epoch_delays_the_plan_and_learned_is_planned_as_at_once() -> None:
    assert remaining(1000, 6, window=2, prune_start=4)[::2] == [1000, 1000, 850, 723]
    assert remaining(1000, 6, window=2, prune_start="learned")[::2] == [
        1000,
        850,
        723,
        615,
    ]


def test_the_plan_never_falls_below_what_is_kept() -> None:
    found = remaining(100, 20, window=2, prune_train=0.5, min_keep=30)

    assert found[-1] == 30


@pytest.mark.parametrize(
    ("selection", "bound"),
    [
        ({"class_limit": True}, True),
        ({"class_limit": False}, False),
        ({"class_limit": False, "prune_start": "learned"}, True),
        ({"class_limit": False, "min_per_class": 10}, False),
        ({"class_limit": False, "min_per_class": 11}, True),
    ],
)
def test_the_plan_says_whether_it_is_a_lower_bound(
    selection: dict[str, Any], bound: bool
) -> None:
    """Of ten classes, of which 100 images remain: they keep 10 each, or 11."""
    planned: dict[SetName, list[int]] = {"T": [200, 100], "V": [200, 150]}
    options = spec_of(**selection).selection
    assert Bdp.lower_bound(options, planned, 10) is bound


def test_the_plan_of_a_small_v_whose_classes_keep_images_is_a_lower_bound() -> None:
    spec = spec_of(10, 100, window=2, prune_valid=0.5, class_limit=False, min_keep=2)
    size = 64
    tiny = Summary((size, size), ("a", "b"), 8)
    found = plan(spec, summary=tiny)
    assert found.remaining["V"][-1] == 2
    assert not found.lower_bound
    kept = spec.model_copy(
        update={"selection": spec.selection.model_copy(update={"min_per_class": 4})}
    )
    assert plan(kept, summary=tiny).lower_bound


@pytest.mark.parametrize(("p", "n"), [(0.5, 5), (0.25, 4)])
def test_the_cost_share_is_the_mean_of_the_remaining_shares(p: float, n: int) -> None:
    size = 1024
    spec = spec_of(2 * n, 2, window=2, prune_train=p, prune_valid=p, class_limit=False)

    found = plan(spec, summary=Summary((size, size), ("a", "b"), 8))

    expected = sum((1 - p) ** k for k in range(n)) / n
    assert found.cost_share == pytest.approx(expected, abs=1e-12)


def problems_of(epochs: int, size: int, **selection: Any) -> list[Problem]:
    spec = spec_of(epochs, **selection)
    return Bdp.problems(spec.selection, spec, {"T": size, "V": size})


def test_more_pruning_than_samples_is_refused_at_its_share() -> None:
    found = problems_of(100, 1000, window=2, prune_train=0.25, prune_valid=0.05)

    assert [problem.field for problem in found] == ["selection.prune_train"]
    assert "Pruning 25% of T 50 times leaves 3 of its 1000" in found[0].sentence


def test_shares_of_the_initial_set_that_add_up_to_all_of_it_are_refused() -> None:
    found = problems_of(20, 1000, window=2, prune_valid=0.1, base="initial")

    assert {problem.field for problem in found} == {
        "selection.prune_train",
        "selection.prune_valid",
    }
    assert "leaves 0 of its" in found[0].sentence


def test_a_plan_that_works_has_no_problems() -> None:
    assert problems_of(100, 25_000, window=5) == []
    assert problems_of(100, 3, window=5, prune_train=0, prune_valid=0) == []


@pytest.mark.parametrize(
    ("every", "window", "share", "refused"),
    [(4, 6, 0.15, True), (4, 7, 0.15, False), (4, 6, 0, False), (1, 2, 0.15, False)],
)
def test_a_window_in_which_few_samples_are_met_twice_is_refused(
    every: int, window: int, share: float, refused: bool
) -> None:
    # of seven epochs that meet a quarter each, two or more meet 56 % of the samples;
    # of six 47 %
    spec = spec_of(20, window=window, prune_valid=share)
    training = spec.training.model_copy(update={"alpha_every": every})
    spec = spec.model_copy(update={"training": training})

    found = Bdp.problems(spec.selection, spec, {"T": 25_600, "V": 25_600})

    assert [problem.field for problem in found] == ["selection.window"] * refused
    for problem in found:
        assert "meets 25% of V" in problem.sentence
        assert "at least 7 epochs" in problem.sentence


def test_command_line_and_form_hear_of_too_much_pruning() -> None:
    data = {
        "selection": {"name": "bdp", "window": 2, "prune_train": 0.9},
        "training": {"epochs": 20},
    }

    with pytest.raises(SpecError, match="prune a smaller share") as caught:
        validate(data)
    assert caught.value.problems[0].field == "selection.prune_train"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("window", 1, "Window must be at least 2; you gave 1."),
        ("window", 2.5, "Window must be a whole number"),
        ("prune_train", 1, "Share pruned from T must be less than 1; you gave 1."),
        ("prune_train", 1.0, "Share pruned from T must be less than 1; you gave 1"),
        ("prune_valid", -0.1, "Share pruned from V must be at least 0"),
        ("prune_valid", float("nan"), "Share pruned from V must be"),
        ("criterion", "best", "Criterion must be"),
        ("prune_start", -1, "Start of pruning must be an epoch"),
        ("prune_start", "soon", "Start of pruning must be an epoch"),
        ("prune_start", True, "Start of pruning must be an epoch"),
        ("overflow", "stop", "Where the limit binds must be"),
        ("limit_slack", -1, "Slack of the limit must be at least 0"),
        ("min_keep", 1, "Samples always kept must be at least 2"),
        ("min_per_class", -1, "Samples kept a class must be at least 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence_at_their_field(
    field: str, value: object, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        validate({"selection": {"name": "bdp", field: value}})

    (problem,) = caught.value.problems
    assert problem.field == f"selection.{field}"
    assert problem.sentence.startswith(words)


@pytest.mark.parametrize(
    ("given", "read"), [("learned", "learned"), ("12", 12), (" 0", 0), (7, 7)]
)
def test_the_start_may_be_written_in_a_form(given: object, read: object) -> None:
    spec = SearchSpec.model_validate(
        {"selection": {"name": "bdp", "prune_start": given}}
    )

    assert spec.selection.prune_start == read


def test_every_option_explains_itself() -> None:
    properties = Bdp.Options.model_json_schema()["properties"]

    for name, field in properties.items():
        if name != "name":
            assert field["title"], name
            assert field["description"], name
            assert "unit" in field, name
