"""Stopping rules in the launch form: added, filled, wrong, cloned, compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from nasweb import spec_fields, spec_form
from nasweb.runs.spec_view import differences, sections
from searchjobs.engine.problems import SpecError
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.validation import load_yaml, validate
from searchjobs.launch import launch
from searchjobs.models import Experiment, Queue, Team
from tests.site.factories import digits_spec, make_run

NEW = "/experiments/new/"
RULES: list[dict[str, Any]] = [
    {"name": "darts-plus-skips", "skips": 3, "watch": True},
    {"name": "selective-stop", "operation": "nor_conv_1x1", "min_epoch": 2},
    {"name": "darts-plus-skips", "skips": 4, "take": "before"},
]


def spec(*rules: dict[str, Any], epochs: int = 30) -> SearchSpec:
    content = {"training": {"epochs": epochs}, "stopping": list(rules)}
    return validate(content, check_data=False)


def browser(values: spec_form.Values) -> dict[str, str]:
    """What a browser sends of a form that nobody has touched."""
    hidden = {spec_form.SHOWN + path: values[path] for path in spec_form.DECISIVE}
    about = {"seeds": "1", "priority": "0", "queue": "", "name": ""}
    return {**values, **hidden, **about}


def reread(values: spec_form.Values, **more: str) -> spec_form.Values:
    return spec_form.from_browser({**browser(values), **more})


def to_spec(values: spec_form.Values) -> SearchSpec:
    return validate(spec_form.to_data(values), check_data=False)


some_rules = st.lists(st.sampled_from(RULES), max_size=5)


@given(some_rules)
def test_any_rules_go_through_the_form_unchanged(rules: list[dict[str, Any]]) -> None:
    start = spec(*rules)
    assert to_spec(reread(spec_form.from_spec(start))) == start


@given(some_rules, st.integers(0, 4))
def test_a_rule_that_is_removed_takes_only_itself(
    rules: list[dict[str, Any]], number: int
) -> None:
    values = spec_form.from_spec(spec(*rules))
    left = [rule for place, rule in enumerate(rules) if place != number]
    assert to_spec(reread(values, **{spec_form.REMOVE: str(number)})) == spec(*left)


@given(some_rules)
def test_a_rule_that_is_added_comes_last_with_its_defaults(
    rules: list[dict[str, Any]],
) -> None:
    values = reread(
        spec_form.from_spec(spec(*rules)), **{spec_form.ADD: "darts-plus-ranks"}
    )
    assert to_spec(values) == spec(*rules, {"name": "darts-plus-ranks"})
    assert spec_form.ADD not in values


def test_what_was_typed_stays_when_another_choice_draws_the_form_anew() -> None:
    values = spec_form.from_spec(spec(*RULES))
    values["stopping.1.min_epoch"] = "nonsense"
    again = reread(values, **{"selection.name": "bdp", "training.recipe": "smooth"})
    assert again["stopping.1.min_epoch"] == "nonsense"
    assert again["stopping.0.watch"] == "true"
    assert again["selection.window"]


def test_a_form_holds_no_more_rules_than_it_can_show() -> None:
    values = spec_form.from_spec(spec(*RULES * 6))
    for _ in range(5):
        values = reread(values, **{spec_form.ADD: "darts-es"})
    assert len(spec_form.rule_names(values)) == spec_form.MOST_RULES == 20


def test_names_that_are_no_rule_numbers_are_passed_over() -> None:
    sent = {f"stopping.{n}.name": "darts-es" for n in ("01", "-1", "x", "1234", "")}
    assert spec_form.rule_names(spec_form.from_browser(sent)) == []


@pytest.mark.parametrize(
    ("path", "typed", "in_yaml"),
    [
        (
            "stopping.1.skips",
            "many",
            "stopping: [{name: darts-es}, {name: darts-plus-skips, skips: many}]",
        ),
        (
            "stopping.1.skips",
            "9",
            "stopping: [{name: darts-es}, {name: darts-plus-skips, skips: 9}]",
        ),
        (
            "stopping.0.factor",
            "0.5",
            "stopping: [{name: darts-es, factor: 0.5}, {name: darts-plus-skips}]",
        ),
    ],
)
def test_form_and_command_line_say_the_same_sentence(
    path: str, typed: str, in_yaml: str
) -> None:
    measured = "diagnostics: {eigenvalue_every: 1}\n"
    values = spec_form.from_spec(
        load_yaml(
            f"{measured}stopping: [{{name: darts-es}}, {{name: darts-plus-skips}}]"
        )
    )
    values[path] = typed
    with pytest.raises(SpecError) as from_form:
        validate(spec_form.to_data(values))
    with pytest.raises(SpecError) as from_yaml:
        load_yaml(measured + in_yaml)
    assert from_form.value.problems == from_yaml.value.problems
    form = spec_fields.form(values, from_form.value.problems)
    wrong = [field for rule in form.rules for field in rule.fields if field.errors]
    assert [(field.name, field.value) for field in wrong] == [(path, typed)]


def test_a_problem_of_a_whole_rule_stands_at_the_rule() -> None:
    values = spec_form.from_spec(spec({"name": "darts-plus-skips"}))
    values["space.without"] = "skip_connect"
    with pytest.raises(SpecError) as refused:
        validate(spec_form.to_data(values))
    form = spec_fields.form(values, refused.value.problems)
    assert "no edge of this search space" in form.rules[0].errors[0]
    assert form.problems == ()


def test_an_unknown_rule_is_told_at_itself() -> None:
    values = reread(spec_form.from_spec(spec()), **{spec_form.ADD: "magic"})
    with pytest.raises(SpecError) as refused:
        validate(spec_form.to_data(values))
    form = spec_fields.form(values, refused.value.problems)
    assert "no choice named 'magic'" in form.rules[0].errors[0]


def test_every_rule_is_offered_and_its_settings_have_label_and_help() -> None:
    form = spec_fields.form(spec_form.from_spec(spec(*RULES)))
    assert [option.value for option in form.another.options] == [
        *("", "darts-es", "darts-plus-ranks", "darts-plus-skips", "selective-stop")
    ]
    for rule in form.rules:
        assert rule.help
        assert rule.fields[0].label == "Only watch"
        assert all(field.label and field.help for field in rule.fields)


def test_an_operation_is_chosen_among_those_of_the_space() -> None:
    values = spec_form.from_spec(spec(RULES[1]))
    form = spec_fields.form({**values, "stopping.0.operation": "strange"})
    field = next(f for f in form.rules[0].fields if f.name == "stopping.0.operation")
    assert field.kind == "select"
    assert [option.value for option in field.options] == [
        *("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
        "strange",
    ]


def test_a_diff_names_the_setting_of_the_rule_that_differs() -> None:
    one = spec(*RULES).model_dump(mode="json")
    other = spec({**RULES[0], "skips": 2}, RULES[1]).model_dump(mode="json")
    rows = dict(differences([one, other]))
    assert rows["stopping.darts-plus-skips.skips"] == ["3", "2"]
    assert rows["stopping.darts-plus-skips 2.name"] == ["darts-plus-skips", "–"]
    assert not any("selective-stop" in path for path in rows)
    titles = [title for title, _ in sections(one)]
    assert [t for t in titles if t.startswith("stopping")] == [
        *("stopping.0", "stopping.1", "stopping.2")
    ]
    assert ("stopping", "none") in dict(sections(spec().model_dump(mode="json")))["run"]


# -- on the page -----------------------------------------------------------------------

ClientFor = Callable[[User], Client]


@pytest.fixture
def member(user: User, cpu_queue: Queue, client_for: ClientFor) -> Client:
    return client_for(user)


def filled(**more: str) -> dict[str, str]:
    start = digits_spec(epochs=30)
    return {**browser(spec_form.from_spec(start)), **more}


@pytest.mark.django_db
def test_a_rule_is_added_and_removed_without_a_page(member: Client) -> None:
    html = member.post(f"{NEW}form/", filled(**{spec_form.ADD: "darts-es"}))
    text = html.content.decode()
    assert "<html" not in text
    assert 'name="stopping.0.name" value="darts-es"' in text
    assert 'name="stopping.0.factor" value="1.3"' in text
    assert re.search(r'name="remove.stopping" value="0"[^>]*hx-post', text)
    rule = {"stopping.0.name": "darts-es", spec_form.REMOVE: "0"}
    text = member.post(f"{NEW}form/", filled(**rule)).content.decode()
    assert "stopping.0.name" not in text
    assert "the search runs all its epochs" in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "asked", [{"add.stopping": "darts-plus-skips"}, {"remove.stopping": "0"}]
)
def test_without_javascript_asking_for_a_rule_launches_nothing(
    member: Client, asked: dict[str, str]
) -> None:
    rule = {"stopping.0.name": "darts-plus-ranks", "stopping.0.stable": "3"}
    html = member.post(NEW, filled(**rule, **asked)).content.decode()
    assert "<h1>Launch a search</h1>" in html
    assert not Experiment.objects.exists()
    names = re.findall(r'name="stopping.\d.name" value="([\w-]+)"', html)
    added = "add.stopping" in asked
    assert names == (["darts-plus-ranks", "darts-plus-skips"] if added else [])


@pytest.mark.django_db
def test_a_wrong_rule_is_told_and_what_was_typed_stays(member: Client) -> None:
    rules = {
        "stopping.0.name": "darts-plus-skips",
        "stopping.0.watch": "true",
        "stopping.0.skips": "7",
        "stopping.1.name": "darts-plus-ranks",
        "stopping.1.stable": "3",
    }
    html = unescape(member.post(NEW, filled(**rules)).content.decode())
    assert 'id="f-stopping-0-skips-error"' in html
    assert "so it never holds 7 skip connections" in html
    for kept in ('name="stopping.0.skips" value="7"', '"stopping.1.stable" value="3"'):
        assert kept in html
    assert re.search(r'name="stopping.0.watch" value="true" checked', html)
    assert not Experiment.objects.exists()


@pytest.mark.django_db
def test_rules_reach_the_job_the_clone_and_the_yaml(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    start = validate({**digits_spec(epochs=30).model_dump(), "stopping": RULES})
    member.post(NEW, browser(spec_form.from_spec(start)))
    stored = Experiment.objects.get()
    assert stored.spec == start.model_dump(mode="json")
    html = member.get(NEW, {"from": str(stored.uuid)}).content.decode()
    assert 'name="stopping.2.skips" value="4"' in html
    sent = browser(spec_form.from_spec(start))
    answer = member.post(f"{NEW}spec.yaml", sent).content.decode()
    assert load_yaml(answer) == start
    again = launch(user, team, "Again", start, [2], queue=cpu_queue)
    run = again.runs.get()
    page = member.get(f"/runs/{run.uuid}/spec/").content.decode()
    assert '<h2 id="spec-stopping2">stopping.2</h2>' in page


@pytest.mark.django_db
def test_a_run_without_rules_says_so(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue)
    page = member.get(f"/runs/{run.uuid}/spec/").content.decode()
    assert "<dt>stopping</dt><dd>none</dd>" in page
