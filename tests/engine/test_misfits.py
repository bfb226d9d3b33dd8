from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from searchjobs.engine.problems import SpecError
from searchjobs.engine.spec import PARTS, SearchSpec
from searchjobs.engine.validation import validate
from tests.misfits import MISFITS


def problems_of(data: dict) -> list:
    with pytest.raises(SpecError) as refused:
        validate(data, check_data=False)
    return refused.value.problems


@pytest.mark.parametrize(("data", "field"), MISFITS)
def test_settings_that_do_not_go_together_are_told_at_one_field(data, field):
    (problem,) = problems_of(data)
    assert problem.field == field
    assert problem.sentence.endswith(".")


def test_every_section_and_part_whose_settings_must_go_together_has_its_case():
    judged = {place for place, model in models() if model_validators(model)}
    assert {place_of(data) for data, _ in MISFITS} == judged


def test_several_misfits_of_one_section_are_told_at_once():
    wrong = {"weight_lr": 3e-4, "warmup_epochs": 60, "schedule_epochs": 20}
    found = problems_of({"training": wrong, "seed": -1})
    assert {problem.field for problem in found} == {
        "training.weight_lr_min",
        "training.warmup_epochs",
        "training.schedule_epochs",
        "seed",
    }


def test_the_command_line_names_the_field_of_a_misfit():
    error = SpecError(problems_of({"training": {"epochs": 5, "warmup_epochs": 5}}))
    assert str(error).startswith("training.warmup_epochs: A warm-up of 5 epochs leaves")


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in SearchSpec.model_fields.items():
        if name in PARTS:
            for part in PARTS[name].all():
                yield f"{name}: {part.name}", part.Options
        elif isinstance(field.annotation, type) and issubclass(
            field.annotation, BaseModel
        ):
            yield name, field.annotation


def model_validators(model: type[BaseModel]) -> bool:
    return bool(model.__pydantic_decorators__.model_validators)


def place_of(data: dict) -> str:
    ((section, given),) = data.items()
    return f"{section}: {given['name']}" if "name" in given else section
