"""The control searches of a spec: the same but for the selection."""

from __future__ import annotations

from typing import Any

import pytest

from searchjobs.engine.contracts import selections
from searchjobs.engine.controls import controls
from searchjobs.engine.spec import SearchSpec


def spec(**selection: Any) -> SearchSpec:
    return SearchSpec.model_validate(
        {
            "dataset": {"name": "digits"},
            "method": {"name": "gdas"},
            "selection": selection,
            "training": {"epochs": 12},
            "seed": 3,
        }
    )


def test_a_search_on_all_samples_claims_nothing() -> None:
    assert controls(spec(name="full")) == {}


def test_bdp_is_held_against_chance_on_its_own_schedule_and_all_samples() -> None:
    claim = spec(name="bdp", window=3, prune_train=0.2, prune_start="learned")
    found = controls(claim)
    assert set(found) == {"random", "all"}
    chance = found["random"].selection.model_dump()
    assert chance == {**claim.selection.model_dump(), "criterion": "random"}
    assert found["all"].selection.name == "full"
    for control in found.values():
        same = {"selection": claim.selection}
        assert control.model_copy(update=same) == claim


def test_chance_itself_is_held_against_all_samples_alone() -> None:
    assert set(controls(spec(name="bdp", criterion="random"))) == {"all"}


@pytest.mark.parametrize("part", selections.all(), ids=lambda part: part.name)
def test_the_control_of_a_selection_plans_the_same_sizes(part: Any) -> None:
    """The same number of samples in every epoch, and chance has no control."""
    options = part.Options()
    chance = part.control(options)
    if chance is None:
        return
    control = selections.get(chance.name)
    claim = spec(**options.model_dump())
    sizes: dict[Any, int] = {"T": 900, "V": 800}
    assert control.remaining(chance, claim, sizes) == part.remaining(
        options, claim, sizes
    )
    assert control.control(chance) is None
