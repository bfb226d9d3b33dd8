"""Every preset is a spec that can run, and says where its figures come from."""

from __future__ import annotations

import pytest

from searchjobs.engine.contracts import (
    derivations,
    methods,
    selections,
    stopping_rules,
)
from searchjobs.engine.data.source import Summary
from searchjobs.engine.methods import FAMILIES
from searchjobs.engine.plan import plan
from searchjobs.engine.recipes import Recipe, all_recipes
from searchjobs.engine.validation import validate

RECIPES = all_recipes()
#: What the papers' settings meet: the halves of CIFAR.
SIZES = {"T": 25_000, "V": 25_000}
PRESETS = {recipe.spec["method"]["name"] for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_preset_is_a_sound_spec(recipe: Recipe) -> None:
    spec = validate(recipe.spec, check_data=False)
    assert spec.method.name == recipe.spec["method"]["name"]
    assert spec.seed == 1, "seeds stand beside the spec"
    method = methods.get(spec.method.name)
    assert method.problems(spec, SIZES) == []
    selection = selections.get(spec.selection.name)
    assert selection.problems(spec.selection, spec, dict(SIZES)) == []
    for rule in spec.stopping:
        assert stopping_rules.get(rule.name).problems(rule, spec) == []
    derivation = derivations.get(spec.derivation.name)
    assert derivation.problems(spec.derivation, spec) == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_preset_can_be_planned_without_its_images(recipe: Recipe) -> None:
    spec = validate(recipe.spec, check_data=False)
    per_class = getattr(spec.dataset, "per_class", None) or 5_000
    names = tuple(getattr(spec.dataset, "classes", ())) or tuple("0123456789")
    counts = (per_class,) * len(names)
    planned = plan(spec, summary=Summary(counts, names, 8))
    if "training" in methods.get(spec.method.name).ignores:
        return  # a search on the table trains nothing
    assert sum(planned.weight_steps) > 0
    assert planned.cost_units > 0
    assert 0 < planned.cost_share <= 1


def test_presets_are_told_apart_by_their_titles() -> None:
    titles = [recipe.title for recipe in RECIPES]
    assert len(set(titles)) == len(titles)
    specs = [
        (validate(r.spec, check_data=False).fingerprint(), tuple(r.seeds))
        for r in RECIPES
    ]
    doubles = {
        (one.name, other.name)
        for place, one in enumerate(RECIPES)
        for at, other in enumerate(RECIPES[:place])
        if specs[place] == specs[at]
    }
    assert doubles == set()


def test_a_preset_with_printed_values_names_the_table_and_its_row() -> None:
    for recipe in RECIPES:
        assert bool(recipe.reference) == bool(recipe.source), recipe.name
        if recipe.source:
            assert "able" in recipe.source, recipe.name
            assert any("±" in v or "/" in v for v in recipe.reference.values())


def test_every_method_of_ours_has_a_preset_and_a_family() -> None:
    ours = [m for m in methods.all() if m.__module__.startswith("searchjobs.")]
    assert {method.name for method in ours} <= PRESETS
    assert {method.family for method in ours} <= set(FAMILIES)


def test_the_collapse_and_who_avoids_it_can_be_launched_on_a_cpu() -> None:
    for setting in ("cpu-collapse", "cpu-compare"):
        found = {r.name for r in RECIPES if r.name.startswith(setting)}
        assert {
            f"{setting}-{name}"
            for name in (
                "darts",
                "ex-darts",
                "ss-darts",
                "vp-darts",
                "beta-darts",
                "gdas",
            )
        } <= found


def test_progressive_drnas_rests_for_ten_epochs_of_each_stage() -> None:
    """Methods spec 4.4: stages of 50 epochs, the first 10 of each for the weights."""
    (preset,) = (r for r in RECIPES if r.name == "method-drnas-progressive")
    spec = validate(preset.spec, check_data=False)
    method = methods.get(spec.method.name)
    resting = [e for e in range(1, 101) if not method.trains_architecture(spec, e)]
    assert resting == [*range(1, 11), *range(51, 61)]
