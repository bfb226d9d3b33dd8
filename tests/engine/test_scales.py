"""Every recipe of every table, at every scale, is a search that can be planned."""

from __future__ import annotations

from collections import defaultdict

import pytest

from searchjobs.engine.contracts import methods, selections, stopping_rules
from searchjobs.engine.data.source import Summary
from searchjobs.engine.plan import plan, sizes_of
from searchjobs.engine.recipes import Recipe, recipe
from searchjobs.engine.scales import (
    Scale,
    all_scales,
    cannot,
    effective,
    merged,
    scale_named,
    scaled,
    seeds,
    trains,
)
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.tables import all_tables, find_recipe
from searchjobs.engine.validation import validate

NAMES = list(dict.fromkeys(n for _, table in all_tables() for n in table.recipes))
IMAGES = {"cifar10": (10, 5000), "cifar100": (100, 500)}


def named(name: str) -> Recipe:
    found = find_recipe(name)
    assert found is not None, name
    return found


def small(name: str = "cpu-small") -> Scale:
    found = scale_named(name)
    assert found is not None
    return found


def summary_of(spec: SearchSpec) -> Summary:
    """What a look at the published files would tell, without them."""
    classes, per_class = IMAGES[spec.dataset.name]
    names = spec.dataset.classes or tuple(str(place) for place in range(classes))
    counts = (spec.dataset.per_class or per_class,) * len(names)
    return Summary(counts, names, spec.dataset.image_size or 32)


@pytest.mark.parametrize("scale", all_scales(), ids=lambda scale: scale.name)
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_a_table_is_sound_and_can_be_planned(
    name: str, scale: Scale
) -> None:
    given = named(name)
    if reason := cannot(given, scale):
        assert reason.endswith("."), "a reason is a sentence"
        return
    spec = validate(scaled(given, scale), check_data=False)
    assert seeds(given, scale)
    if not trains(given):
        return
    summary = summary_of(spec)
    sizes = sizes_of(spec, summary)
    assert methods.get(spec.method.name).problems(spec, sizes) == []
    chosen = selections.get(spec.selection.name)
    assert chosen.problems(spec.selection, spec, sizes) == []
    for rule in spec.stopping:
        assert stopping_rules.get(rule.name).problems(rule, spec) == []
    planned = plan(spec, summary=summary)
    assert sum(planned.weight_steps) > 0
    assert planned.cost_units > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_scale_keeps_what_the_row_is_about(name: str) -> None:
    given = named(name)
    before = scaled(given, small("paper"))
    for scale in all_scales():
        after = scaled(given, scale)
        for section in ("method", "selection", "stopping", "derivation"):
            assert after.get(section) == before.get(section), (scale.name, section)
        shares = [each.get("split", {}).get("train_share") for each in (before, after)]
        assert shares[0] == shares[1]
        for kept in ("policy", "exchange", "warmup_epochs", "alpha_every"):
            old, new = (each.get("training", {}).get(kept) for each in (before, after))
            assert old == new, (scale.name, kept)


def test_cpu_small_is_the_comparison_setting_of_the_presets() -> None:
    ours = validate(scaled(named("darts-cifar10-paper"), small()), check_data=False)
    preset = recipe("cpu-compare-darts")
    assert preset is not None
    assert ours == validate(preset.spec, check_data=False)
    assert small().seeds == [1, 2, 3]


def test_at_paper_scale_a_recipe_is_itself_with_its_own_seeds() -> None:
    for name in NAMES:
        assert scaled(named(name), small("paper")) == named(name).spec
        assert seeds(named(name), small("paper")) == named(name).seeds


def test_a_search_on_the_table_is_the_same_at_every_scale() -> None:
    given = named("ex-t1-random-search")
    for scale in all_scales():
        assert scaled(given, scale) == given.spec
        assert seeds(given, scale) == given.seeds
        assert effective(given, scale).name == "paper"


def test_a_row_about_rates_or_epochs_keeps_their_proportion() -> None:
    rates, paper_rates = [], []
    for name in ("ex-t3-lr-0003", "ex-t3-lr-0009", "ex-t3-lr-0015"):
        rates.append(scaled(named(name), small())["training"]["weight_lr"])
        paper_rates.append(named(name).spec["training"]["weight_lr"])
    ratios = [[each / of[0] for each in of] for of in (rates, paper_rates)]
    assert ratios[0] == pytest.approx(ratios[1])
    short = scaled(named("bdp-t4-darts-short"), small())
    long = scaled(named("bdp-cifar10-paper"), small())
    assert short["training"]["epochs"] * 2 == long["training"]["epochs"]
    cut = scaled(named("ex-t2-gaea-25"), small())["training"]
    assert (cut["epochs"], cut["schedule_epochs"]) == (25, 50)


def test_rows_of_one_table_are_different_searches_at_every_scale() -> None:
    for scale in all_scales():
        for _, table in all_tables():
            prints: dict[str, list[str]] = defaultdict(list)
            for row in table.rows:
                names = {n for c in table.columns for n in row.of(c)}
                if row.control or len(names) != 1 or row.reading.needs_epochs:
                    continue
                (name,) = names
                if not cannot(named(name), scale):
                    spec = validate(scaled(named(name), scale), check_data=False)
                    prints[spec.fingerprint()].append(row.label)
            doubles = [labels for labels in prints.values() if len(labels) > 1]
            assert doubles == [], (scale.name, table.name)


def test_merging_goes_into_sections_and_replaces_all_else() -> None:
    below = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    above = {"a": {"y": 5}, "b": [9]}
    assert merged(below, above) == {"a": {"x": 1, "y": 5}, "b": [9], "c": 3}
    assert below == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
