"""The control searches of a spec: the same but for the selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from searchjobs.engine.contracts import selections
from searchjobs.engine.controls import Kind, chance_for, controls_with
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.subset import NAME, make_subset
from searchjobs.engine.subset_spec import validate_subset


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


def controls(claim: SearchSpec) -> dict[Kind, SearchSpec]:
    return controls_with(claim, chance_for(claim.selection))


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


def test_a_stored_subset_has_the_control_of_what_made_it(tmp_path: Path) -> None:
    made = validate_subset(
        {
            "dataset": {"name": "digits"},
            "selection": {"name": "class-outlier", "keep_train": 0.3},
        }
    )
    list(make_subset(made, tmp_path))
    found = controls(spec(name="subset", subset=str(tmp_path / NAME)))
    assert found["random"].selection == selections.get("random").Options(
        keep_train=0.3, class_rule=made.selection.class_rule
    )
    nowhere = spec(name="subset", subset=str(tmp_path / "gone.npz"))
    assert set(controls(nowhere)) == {"all"}
