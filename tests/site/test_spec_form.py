"""The launch form's values and fields, without a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic.fields import FieldInfo

from nasweb import spec_fields, spec_form
from searchjobs.engine.contracts import methods
from searchjobs.engine.problems import Problem, SpecError
from searchjobs.engine.recipes import Recipe, all_recipes
from searchjobs.engine.spec import PARTS, SearchSpec
from searchjobs.engine.validation import load_yaml, validate
from tests.misfits import MISFITS


def spec(**content: object) -> SearchSpec:
    return validate(content, check_data=False)


def shown(values: spec_form.Values) -> dict[str, str]:
    """What a browser sends back of a form that nobody has touched."""
    hidden = {spec_form.SHOWN + path: values[path] for path in spec_form.DECISIVE}
    return {**values, **hidden}


@pytest.mark.parametrize("recipe", all_recipes(), ids=lambda recipe: recipe.name)
def test_a_preset_goes_through_the_form_unchanged(recipe: Recipe) -> None:
    start = spec(**recipe.spec)
    values = spec_form.from_browser(shown(spec_form.from_spec(start)))
    assert validate(spec_form.to_data(values), check_data=False) == start


def test_what_is_left_alone_stands_at_the_defaults_of_the_spec() -> None:
    assert spec_form.defaults({}) == spec_form.from_spec(spec())


def test_another_recipe_moves_what_was_untouched_and_keeps_what_was_typed() -> None:
    given = shown(spec_form.from_spec(spec()))
    given |= {"training.recipe": "smooth", "training.weight_decay": "0.007"}
    values = spec_form.from_browser(given)
    assert values["training.epochs"] == "100"
    assert values["space.track_running_stats"] == "true"
    assert values["training.weight_decay"] == "0.007"


def test_another_method_brings_its_recipe_and_its_derivation() -> None:
    given = shown(spec_form.from_spec(spec()))
    values = spec_form.from_browser({**given, "method.name": "setn"})
    assert values == spec_form.from_spec(spec(method={"name": "setn"}))
    assert (values["derivation.name"], values["derivation.count"]) == ("sampled", "100")
    back = spec_form.from_browser({**shown(values), "method.name": "darts"})
    assert back["derivation.name"] == "argmax"
    values = spec_form.from_browser({**given, "method.name": "beta-darts"})
    assert values == spec_form.from_spec(spec(method={"name": "beta-darts"}))
    assert values["training.recipe"] == "smooth"


def test_a_derivation_that_was_chosen_stays_when_the_method_changes() -> None:
    given = shown(spec_form.from_spec(spec(derivation={"name": "sampled"})))
    values = spec_form.from_browser({**given, "method.name": "gdas"})
    assert values["derivation.name"] == "sampled"
    chosen = shown(spec_form.from_spec(spec(method={"name": "setn"})))
    chosen["derivation.name"] = "argmax"
    assert spec_form.from_browser(chosen)["derivation.name"] == "argmax"


@pytest.mark.parametrize("method", [part.name for part in methods.all()])
def test_what_each_method_brings_is_a_whole_form(method: str) -> None:
    values = spec_form.defaults({"method.name": method})
    assert values == spec_form.from_spec(spec(method={"name": method}))
    assert spec_form.to_data(values)["method"]["name"] == method


def test_another_data_set_brings_its_augmentation_and_its_options() -> None:
    given = shown(spec_form.from_spec(spec()))
    assert given["augmentation.flip"] == "false"
    values = spec_form.from_browser({**given, "dataset.name": "folder"})
    assert values["augmentation.flip"] == "true"
    assert values["dataset.path"] == ""


def test_options_of_a_choice_that_is_gone_are_dropped() -> None:
    given = shown(spec_form.from_spec(spec(selection={"name": "bdp"})))
    values = spec_form.from_browser({**given, "selection.name": "full"})
    assert "selection.window" not in values


def test_the_form_notices_a_choice_whose_settings_were_not_seen() -> None:
    given = shown(spec_form.from_spec(spec()))
    assert not spec_form.choices_differ(given)
    assert spec_form.choices_differ({**given, "selection.name": "bdp"})


def test_lists_are_written_with_commas_and_read_back() -> None:
    start = spec(dataset={"name": "digits", "classes": ["3", "5"], "per_class": 40})
    values = spec_form.from_spec(start)
    assert values["dataset.classes"] == "3, 5"
    assert validate(spec_form.to_data(values), check_data=False) == start


@pytest.mark.parametrize(
    ("path", "typed", "in_yaml"),
    [
        ("training.weight_lr", "-1", "training: {weight_lr: -1}"),
        ("selection.prune_train", "1", "selection: {name: bdp, prune_train: 1}"),
        ("selection.window", "1", "selection: {name: bdp, window: 1}"),
        ("training.epochs", "many", "training: {epochs: many}"),
        ("training.epochs", "2.5", "training: {epochs: 2.5}"),
        ("training.momentum", "1.5", "training: {momentum: 1.5}"),
        ("dataset.per_class", "0", "dataset: {name: digits, per_class: 0}"),
    ],
)
def test_form_and_command_line_say_the_same_sentence(
    path: str, typed: str, in_yaml: str
) -> None:
    values = spec_form.from_spec(spec(selection={"name": "bdp"}))
    values[path] = typed
    with pytest.raises(SpecError) as from_form:
        validate(spec_form.to_data(values))
    with pytest.raises(SpecError) as from_yaml:
        load_yaml(in_yaml)
    assert from_form.value.problems == from_yaml.value.problems
    form = spec_fields.form(values, from_form.value.problems)
    wrong = [each for each in every_field(form) if each.errors]
    assert [each.name for each in wrong] == [path]
    assert wrong[0].value == typed
    assert wrong[0].errors == (from_yaml.value.problems[0].sentence,)


@pytest.mark.parametrize(("data", "field"), MISFITS)
def test_settings_that_do_not_go_together_are_marked_at_their_field(
    data: dict[str, Any], field: str
) -> None:
    values = values_of(data)
    with pytest.raises(SpecError) as refused:
        validate(spec_form.to_data(values))
    form = spec_fields.form(values, refused.value.problems)
    assert [each.name for each in every_field(form) if each.errors] == [field]
    assert form.problems == ()


def values_of(data: dict[str, Any]) -> dict[str, str]:
    """What a reader would have typed to get this spec."""
    typed = {
        f"{section}.{name}": spec_form.as_text(value)
        for section, given in data.items()
        for name, value in given.items()
    }
    return spec_form.from_browser(typed)


def test_every_setting_of_the_spec_has_one_field_with_label_and_help() -> None:
    values = spec_form.from_spec(spec(selection={"name": "bdp"}))
    fields = every_field(spec_fields.form(values))
    assert sorted(each.name for each in fields) == sorted(values)
    assert all(each.label and each.help for each in fields)


#: Values of settings that are short for something, and no words.
SHORT = frozenset({"adl", "auto", "cpu", "cuda", "gaea", "kl"})


def test_selects_show_words_and_send_values() -> None:
    for field in every_select():
        for option in field.options:
            code = option.value in SHORT or re.search(r"[-_]|[a-z]\d", option.value)
            assert not code or option.label != option.value, (field.name, option.value)
    recipe = next(f for f in every_select() if f.name == spec_form.RECIPE)
    chosen = {option.value: option.label for option in recipe.options}
    assert list(chosen) == ["adl", "smooth", "gaea"]
    assert chosen["adl"] == "NAS-Bench-201 (adl)"


def test_the_labels_of_a_setting_are_those_of_its_values() -> None:
    for path, info in every_setting():
        extra = info.json_schema_extra
        labels = extra.get("labels") if isinstance(extra, dict) else None
        offered = {str(value) for value in get_args(info.annotation)}
        if not isinstance(labels, dict) or not labels:
            continue
        assert set(labels) == offered, path
        # no wider than a select in three columns
        assert max(len(str(label)) for label in labels.values()) <= 26, path


def every_select() -> Iterator[spec_fields.Field]:
    for values in every_form():
        for field in every_field(spec_fields.form(values)):
            if field.kind in {"select", "buttons"}:
                yield field


def every_setting() -> Iterator[tuple[str, FieldInfo]]:
    for values in every_form():
        yield from spec_form.settings(values)


def every_form() -> Iterator[spec_form.Values]:
    """A form for each part that can be chosen, with all stopping rules in each."""
    rules = [part.name for part in PARTS["stopping"].all() if part.name != "none"]
    watched: dict[str, str] = {}
    for number, rule in enumerate(rules):
        watched |= spec_form.rule_defaults(number, rule)
    for section in spec_form.CHOICES:
        for part in PARTS[section].all():
            yield spec_form.defaults({f"{section}.name": part.name}) | watched


def test_units_are_taken_from_the_spec() -> None:
    form = spec_fields.form(spec_form.from_spec(spec()))
    units = {each.name: each.unit for each in every_field(form)}
    assert units["training.epochs"] == "epochs"
    assert units["compute.checkpoint_every"] == "epochs"


def test_the_folded_settings_are_counted_and_so_are_the_changed_ones() -> None:
    values = spec_form.from_spec(spec())
    form = spec_fields.form(values)
    assert form.advanced_changed == 0
    assert form.advanced_count == sum(len(s.fields) for s in form.advanced) > 30
    changed = spec_fields.form({**values, "training.momentum": "0.8"})
    assert changed.advanced_changed == 1


def test_a_problem_of_a_whole_part_stands_at_its_choice() -> None:
    problems = [Problem("dataset", "The data set is not there."), Problem("", "Odd.")]
    form = spec_fields.form(spec_form.from_spec(spec()), problems)
    dataset = next(each for each in form.what if each.name == "dataset.name")
    assert dataset.errors == ("The data set is not there.",)
    assert form.problems == ("Odd.",)


def test_an_unknown_choice_is_told_at_its_field() -> None:
    given = shown(spec_form.from_spec(spec()))
    values = spec_form.from_browser({**given, "selection.name": "magic"})
    with pytest.raises(SpecError) as caught:
        validate(spec_form.to_data(values))
    form = spec_fields.form(values, caught.value.problems)
    assert "magic" in form.samples[0].errors[0]


def every_field(form: spec_fields.Form) -> list[spec_fields.Field]:
    folded = [each for section in form.advanced for each in section.fields]
    return [*form.what, *form.samples, *form.how, *folded]


def test_whole_numbers_and_operations_are_written_as_people_do() -> None:
    assert spec_form.as_text(12000.0) == "12000"
    assert spec_form.as_text(0.025) == "0.025"
    values = spec_form.defaults({}) | spec_form.rule_defaults(0, "selective-stop")
    (rule,) = spec_fields.form(values).rules
    operation = next(f for f in rule.fields if f.name == "stopping.0.operation")
    assert ("nor_conv_3x3", "conv 3×3") in {
        (o.value, o.label) for o in operation.options
    }


def test_the_folded_settings_of_a_table_search_name_no_optimiser() -> None:
    values = spec_form.defaults({"method.name": "random-search"})
    titles = spec_fields.form(values).advanced_titles
    assert titles.startswith("Search space")
    assert "training" not in titles


def test_settings_that_a_method_does_not_read_are_neither_shown_nor_kept() -> None:
    given = {
        "method.name": "rsps",
        "training.warmup_epochs": "5",
        "training.weight_lr": "0.5",
    }
    values = spec_form.from_browser(given)
    assert values["training.warmup_epochs"] == "0"
    assert values["training.weight_lr"] == "0.5"
    paths = {each.name for each in every_field(spec_fields.form(values))}
    assert "training.weight_lr" in paths
    assert not {"training.warmup_epochs", "training.order", "training.alpha_lr"} & paths
    of_darts = spec_form.from_browser({**given, "method.name": "darts"})
    assert of_darts["training.warmup_epochs"] == "5"
