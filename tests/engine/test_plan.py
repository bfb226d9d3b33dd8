"""The preview: counts, cost, and what a data set cannot give."""

from __future__ import annotations

import pytest

from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SpecError
from searchjobs.engine.validation import validate

from .conftest import tiny


def test_without_pruning_the_cost_is_that_of_the_search_without_pruning():
    found = plan(tiny(selection={"name": "full"}))
    assert found.cost_share == 1
    assert not found.lower_bound
    assert set(found.remaining["T"]) == {100}


def test_the_cost_share_of_a_constant_rate_is_the_mean_of_its_powers():
    """Test 8 of the data spec: (1/n) sum (1-p)^k when W divides E."""
    spec = tiny(
        dataset={"name": "digits", "per_class": 160},
        selection={
            "name": "bdp",
            "window": 2,
            "prune_train": 0.5,
            "prune_valid": 0.5,
            "class_limit": False,
            "min_keep": 2,
        },
        training={"epochs": 6},
    )
    assert plan(spec).cost_share == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_with_the_class_limit_the_counts_are_called_a_lower_bound():
    spec = tiny(selection={"name": "bdp", "class_limit": True})
    assert plan(spec).lower_bound


def test_an_uneven_split_gives_uneven_steps():
    found = plan(tiny(split={"train_share": 0.8}, selection={"name": "full"}))
    assert found.sizes == {"T": 160, "V": 40}
    assert found.weight_steps[0] == 7
    assert found.architecture_steps[0] == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dataset": {"name": "digits", "classes": ["3"]}}, "dataset"),
        (
            {"dataset": {"name": "digits", "per_class": 1, "classes": ["3", "4"]}},
            "split.train_share",
        ),
    ],
)
def test_a_data_set_that_cannot_be_searched_on_is_refused(changes, field):
    with pytest.raises(SpecError) as caught:
        validate({**changes})
    assert caught.value.problems[0].field.startswith(field)
    assert caught.value.problems[0].sentence.endswith(".")
