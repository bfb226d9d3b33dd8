"""Names of searches that nobody named, from the presets that the form offers."""

from __future__ import annotations

import pytest

from nasweb import spec_form
from nasweb.search_names import suggested_name
from searchjobs.engine.tables import find_recipe
from searchjobs.engine.validation import validate
from searchjobs.models import Team

pytestmark = pytest.mark.django_db


def values_of(preset: str, **sections: dict[str, str]) -> spec_form.Values:
    """What the form shows of a preset, some sections of it replaced."""
    recipe = find_recipe(preset)
    assert recipe is not None
    spec = validate({**recipe.spec, **sections}, check_data=False)
    return spec_form.from_spec(spec)


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("cpu-compare-ex-darts", "DARTS + EX · CIFAR-10"),
        ("cpu-compare-ss-darts", "DARTS + SS · CIFAR-10"),
        ("cpu-collapse-bdp", "DARTS + BDP · CIFAR-10"),
        ("ex-t2-darts-es", "DARTS + DARTS-ES · CIFAR-10"),
        ("ex-t2-darts-plus-sc2", "DARTS + DARTS+ · CIFAR-10"),
        ("method-enas", "ENAS · CIFAR-10"),  # its derivation is its own
        ("cpu-late-stopping", "DARTS + SS · CIFAR-10"),  # its rules only watch
    ],
)
def test_a_name_tells_searches_of_one_method_apart(
    team: Team, preset: str, name: str
) -> None:
    assert suggested_name(team, values_of(preset)) == name


def test_another_derivation_than_the_methods_own_is_named(team: Team) -> None:
    values = values_of("cpu-compare-darts", derivation={"name": "projection"})
    assert suggested_name(team, values) == "DARTS + DARTS-PT · CIFAR-10"


def test_a_search_on_the_table_is_named_by_the_data_set_of_the_table(
    team: Team,
) -> None:
    method = {"name": "random-search", "dataset": "imagenet16"}
    values = values_of("ex-t1-random-search", method=method)
    assert suggested_name(team, values) == "Random search · ImageNet16-120"


def test_there_is_no_name_before_the_choices_are_made(team: Team) -> None:
    values = values_of("cpu-compare-darts") | {"method.name": "no-such-method"}
    assert suggested_name(team, values) == ""
