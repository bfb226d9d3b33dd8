"""One definition of a run: defaults, recipes, sentences, fingerprints."""

from __future__ import annotations

import pytest
import yaml

from searchjobs.engine.problems import SpecError
from searchjobs.engine.recipes import all_recipes
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import load_yaml, validate


def problems_of(data):
    with pytest.raises(SpecError) as caught:
        validate(data)
    return {problem.field: problem.sentence for problem in caught.value.problems}


def test_an_empty_spec_is_darts_on_digits_without_pruning():
    spec = validate({})
    names = spec.dataset.name, spec.method.name, spec.selection.name
    assert names == ("digits", "darts", "full")


def test_the_smooth_recipe_fills_what_is_left_open():
    spec = validate({"training": {"recipe": "smooth", "epochs": 7}})
    assert spec.training.epochs == 7
    assert spec.training.weight_decay == 3e-4
    assert not spec.training.nesterov
    assert spec.training.order == "architecture-first"
    assert spec.space.track_running_stats


def test_digits_are_never_flipped_unless_one_asks_for_it():
    assert not validate({}).augmentation.flip
    assert validate({"augmentation": {"flip": True}}).augmentation.flip


@pytest.mark.parametrize(
    ("data", "field", "sentence"),
    [
        (
            {"training": {"weight_lr": -1}},
            "training.weight_lr",
            "Weight learning rate must be greater than 0; you gave -1.",
        ),
        (
            {"training": {"epochs": "many"}},
            "training.epochs",
            "Epochs must be a whole number; you gave 'many'.",
        ),
        (
            {"training": {"weight_lr": 0.0003}},
            "training.weight_lr_min",
            "Final weight learning rate (0.001) is above the weight learning rate "
            "(0.0003): the schedule would rise. Lower the final value.",
        ),
        (
            {"training": {"leraning_rate": 1}},
            "training.leraning_rate",
            "Training leraning rate is not a setting here; remove it or check its "
            "spelling.",
        ),
        (
            {"seed": "a,b"},
            "seed",
            "Seeds are whole numbers such as 1, 2, 3 or a range such as 1-5; "
            "'a' is none.",
        ),
        (
            {"seed": "1, 2"},
            "seed",
            "A spec has one seed; '1, 2' are 2. Launch them as the seeds of an "
            "experiment.",
        ),
        (
            {"compute": {"backend": "magic"}},
            "compute.backend",
            "Backend must be 'eager', 'compiled' or 'graphs'; you gave 'magic'.",
        ),
    ],
)
def test_each_fault_is_one_sentence_at_its_field(data, field, sentence):
    assert problems_of(data) == {field: sentence}


def test_pruning_faults_are_found_at_their_fields():
    found = problems_of({"selection": {"name": "bdp", "window": 1, "prune_train": 1}})
    assert set(found) == {"selection.window", "selection.prune_train"}
    assert "at least 2" in found["selection.window"]
    assert "less than 1" in found["selection.prune_train"]


def test_an_unknown_part_names_those_that_there_are():
    (sentence,) = problems_of({"selection": {"name": "magic"}}).values()
    assert "magic" in sentence
    assert "'bdp'" in sentence


def test_a_missing_data_set_is_found_before_anything_runs(tmp_path):
    missing = tmp_path / "nowhere"
    found = problems_of({"dataset": {"name": "folder", "path": str(missing)}})
    assert list(found) == ["dataset.path"]
    assert str(missing) in found["dataset.path"]


def test_every_problem_is_reported_at_once():
    found = problems_of({"seed": -1, "training": {"batch_size": 1, "momentum": 2}})
    assert set(found) == {"seed", "training.batch_size", "training.momentum"}


def test_a_spec_survives_yaml_word_for_word():
    spec = validate({"selection": {"name": "bdp"}, "training": {"recipe": "smooth"}})
    assert load_yaml(spec.to_yaml()) == spec


def test_what_is_not_yaml_or_not_a_mapping_is_refused_in_a_sentence():
    for text in ("a: [1", "- 1\n- 2\n", "5"):
        with pytest.raises(SpecError) as caught:
            load_yaml(text)
        assert str(caught.value).endswith((".", ";")) or "mend it" in str(caught.value)


def test_yaml_cannot_make_objects():
    with pytest.raises(SpecError):
        load_yaml("!!python/object/apply:os.system ['true']")


def test_the_fingerprint_tells_specs_apart_and_can_leave_out_the_seed():
    one, two = validate({"seed": 1}), validate({"seed": 2})
    assert one.fingerprint() != two.fingerprint()
    assert one.fingerprint(with_seed=False) == two.fingerprint(with_seed=False)
    assert one.with_seed(2) == two


def test_every_preset_is_a_valid_spec():
    recipes = all_recipes()
    assert {"bdp-digits", "bdp-cifar10-paper", "darts-cifar10-paper"} <= {
        recipe.name for recipe in recipes
    }
    for recipe in recipes:
        spec = validate(recipe.spec, check_data=False)
        assert spec.model_dump(mode="json")["seed"] == 1


def test_every_setting_has_title_and_help():
    def walk(model):
        for name, field in model.model_fields.items():
            if name == "name":
                continue
            inner = getattr(field.annotation, "model_fields", None)
            if inner:
                walk(field.annotation)
            else:
                assert field.title, f"{model.__name__}.{name} has no title"
                assert field.description, f"{model.__name__}.{name} has no help"

    from searchjobs.engine.spec import PARTS

    walk(SearchSpec)
    for registry in PARTS.values():
        for part in registry.all():
            walk(part.Options)
            assert part.label
            assert part.summary.endswith(".")
            assert part.source


def test_the_examples_are_the_presets_they_claim_to_be():
    from pathlib import Path

    root = Path(__file__).parents[2]
    spec = yaml.safe_load((root / "examples/bdp_digits.yaml").read_text())
    spec.pop("seed")
    preset = next(r for r in all_recipes() if r.name == "bdp-digits")
    assert spec == preset.spec


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"name": "pc-darts"}}, "gives operations a part of the channels"),
        ({"method": {"name": "vp-darts"}}, "drops elements behind identities"),
        ({"method": {"name": "p-darts"}}, "drops elements behind identities"),
        ({"method": {"name": "gdas"}}, "runs one operation an edge"),
        ({"method": {"name": "rsps"}}, "runs one operation an edge"),
        (
            {"space": {"name": "nas-bench-201", "without": ["avg_pool_3x3"]}},
            "leaves operations out",
        ),
    ],
)
def test_a_compiled_backend_that_would_compile_nothing_is_refused(changes, words):
    with pytest.raises(SpecError) as caught:
        validate({**changes, "compute": {"backend": "compiled"}}, check_data=False)
    (problem,) = caught.value.problems
    assert problem.field == "compute.backend"
    assert words in problem.sentence


@pytest.mark.parametrize(
    "method",
    [
        {"name": "darts"},
        {"name": "gaea"},  # leaves out none alone, which never runs
        {"name": "setn"},  # compiles the steps of alpha
        {"name": "pc-darts", "partial": 1},
        {"name": "vp-darts", "skip_dropout": 0},
        {"name": "p-darts", "skip_dropout": []},
    ],
)
def test_it_is_taken_where_some_steps_are_compiled(method):
    validate({"method": method, "compute": {"backend": "compiled"}}, check_data=False)
