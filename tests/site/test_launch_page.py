"""The launch page: presets, clone, validation, preview, launch."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from nasweb import spec_fields, spec_form
from nasweb.templatetags.numbers import printed
from searchjobs.engine.contracts import methods
from searchjobs.engine.methods import FAMILIES
from searchjobs.engine.problems import Problem
from searchjobs.engine.recipes import all_recipes
from searchjobs.engine.validation import load_yaml, validate
from searchjobs.launch import launch
from searchjobs.models import Attempt, Experiment, Job, Queue, Run, Team
from tests.site.factories import digits_spec, make_run

pytestmark = pytest.mark.django_db
NEW = "/experiments/new/"
ClientFor = Callable[[User], Client]


@pytest.fixture
def member(user: User, cpu_queue: Queue, client_for: ClientFor) -> Client:
    return client_for(user)


def filled(**changes: str) -> dict[str, str]:
    """What a browser sends of the form with the digits preset, and some changes."""
    values = spec_form.from_spec(validate(all_recipes()[0].spec, check_data=False))
    hidden = {spec_form.SHOWN + path: values[path] for path in spec_form.DECISIVE}
    about = {"seeds": "1", "priority": "0", "queue": "", "name": ""}
    typed = {name.replace("__", "."): value for name, value in changes.items()}
    return {**values, **hidden, **about, **typed}


def errors_of(html: str) -> dict[str, list[str]]:
    """Sentences by the field at which the page shows them."""
    found: dict[str, list[str]] = {}
    for field, sentence in re.findall(
        r'<p class="field-error" id="f-([\w-]+)-error">(.*?)</p>', html
    ):
        found.setdefault(field, []).append(unescape(sentence))
    return found


def test_the_form_starts_from_the_first_preset(member: Client) -> None:
    html = unescape(member.get(NEW).content.decode())
    for recipe in all_recipes():
        assert recipe.title in html
    assert re.search(r'value="bdp"[^>]* selected', html)
    assert re.search(r'name="training.epochs" value="60"', html)


@pytest.mark.parametrize(
    "recipe",
    {recipe.group: recipe for recipe in all_recipes()}.values(),
    ids=lambda recipe: recipe.name,
)
def test_a_preset_of_each_group_fills_the_form(member: Client, recipe: Any) -> None:
    html = member.get(NEW, {"preset": recipe.name}).content.decode()
    seeds = ", ".join(str(seed) for seed in recipe.seeds)
    assert f'name="seeds" value="{seeds}"' in html
    method = recipe.spec["method"]["name"]
    assert re.search(rf'<option value="{method}"[^>]* selected>', html)
    assert recipe.source in unescape(html)


def test_an_unknown_preset_is_not_found(member: Client) -> None:
    assert member.get(NEW, {"preset": "nonsense"}).status_code == 404


def test_a_clone_starts_from_the_former_experiment(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = digits_spec(epochs=33)
    old = launch(user, team, "Old one", spec, [4, 5], queue=cpu_queue, tags=["a", "b"])
    html = member.get(NEW, {"from": str(old.uuid)}).content.decode()
    for part in ('value="33"', 'value="4, 5"', 'value="a, b"', 'value="Old one"'):
        assert part in html


@pytest.mark.parametrize(
    "given", ["not-a-uuid", "2b2e8b0e-0000-4000-8000-000000000000"]
)
def test_a_clone_of_nothing_is_not_found(member: Client, given: str) -> None:
    assert member.get(NEW, {"from": given}).status_code == 404


def test_an_experiment_of_another_team_cannot_be_cloned(
    member: Client, other_team_user: User, cpu_queue: Queue
) -> None:
    theirs = make_run(other_team_user, other_team_user.teams.get(), cpu_queue)
    answer = member.get(NEW, {"from": str(theirs.experiment.uuid)})
    assert answer.status_code == 404


def test_launching_one_seed_leads_to_its_run(member: Client, user: User) -> None:
    answer = member.post(NEW, filled(name="First", tags="x, y, x", notes="why"))
    run = Run.objects.select_related("experiment", "job").get()
    assert answer["Location"] == reverse("runs:detail", args=[run.uuid])
    assert run.experiment.tags == ["x", "y"]
    assert (run.experiment.name, run.experiment.author) == ("First", user)
    assert run.job.state == "queued"


def test_launching_several_seeds_leads_to_the_experiment(member: Client) -> None:
    answer = member.post(NEW, filled(seeds="1-3", priority="-10"))
    experiment = Experiment.objects.get()
    where = reverse("experiments:detail", args=[experiment.uuid])
    assert answer["Location"] == where
    assert experiment.runs.count() == 3
    assert set(Job.objects.values_list("priority", flat=True)) == {-10}


def test_an_experiment_without_a_name_is_named_by_its_choices(member: Client) -> None:
    member.post(NEW, filled())
    assert Experiment.objects.get().name == "DARTS + BDP · Digits"


def test_the_spec_that_is_stored_is_the_preset(member: Client) -> None:
    member.post(NEW, filled())
    stored = Experiment.objects.get().spec
    expected = validate(all_recipes()[0].spec)
    assert stored == expected.model_dump(mode="json")


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        (
            {"training__weight_lr": "-1"},
            "training-weight_lr",
            "Weight learning rate must be greater than 0; you gave -1.",
        ),
        (
            {"selection__prune_valid": "1"},
            "selection-prune_valid",
            "must be less than 1",
        ),
        ({"selection__window": "1"}, "selection-window", "must be at least 2"),
        ({"seeds": "a,b"}, "seeds", "'a'"),
        ({"seeds": ""}, "seeds", "you gave none"),
        ({"training__epochs": "ten"}, "training-epochs", "must be a whole number"),
        (
            {"training__warmup_epochs": "4000"},
            "training-warmup_epochs",
            "A warm-up of 4000 epochs leaves none",
        ),
        ({"tags": "t" * 41}, "tags", "between 1 and 40 characters"),
        ({"name": "n" * 121}, "name", "at most 120 characters"),
        ({"priority": "99"}, "priority", "low, normal or high"),
        ({"priority": "10"}, "priority", "Only maintainers of the team launch at"),
        ({"queue": "gone"}, "queue", "choose another"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_makes_no_row(
    member: Client, changes: dict[str, str], field: str, sentence: str
) -> None:
    html = member.post(NEW, filled(**changes)).content.decode()
    found = errors_of(html)
    assert list(found) == [field]
    assert sentence in found[field][0]
    assert "Nothing was launched." in html
    assert unescape(html).count(next(iter(changes.values()))) >= 1
    assert not Experiment.objects.exists()
    assert not Job.objects.exists()


def test_a_data_set_path_that_is_not_there_is_told_at_the_path(member: Client) -> None:
    shown = {
        "dataset__name": "folder",
        "shown__dataset__name": "folder",
        "dataset__path": "/not/there",
        "dataset__image_size": "16",
    }
    found = errors_of(member.post(NEW, filled(**shown)).content.decode())
    assert list(found) == ["dataset-path"]
    assert "/not/there" in found["dataset-path"][0]
    assert not Experiment.objects.exists()


def test_all_faults_are_told_at_once_and_what_was_typed_stays(member: Client) -> None:
    given = filled(seeds="x", training__weight_lr="-1", selection__window="1")
    html = member.post(NEW, given).content.decode()
    assert set(errors_of(html)) == {"seeds", "training-weight_lr", "selection-window"}
    for value in ('value="x"', 'value="-1"'):
        assert value in html
    assert re.search(r'<details[^>]*id="advanced" open', html)


def test_a_choice_whose_settings_were_not_seen_is_not_launched(member: Client) -> None:
    answer = member.post(NEW, filled(training__recipe="smooth"))
    assert "Look at them, then launch." in answer.content.decode()
    assert not Experiment.objects.exists()


def test_without_javascript_refresh_draws_the_fields_of_a_choice(
    member: Client,
) -> None:
    given = filled(selection__name="full", refresh="1")
    html = member.post(NEW, given).content.decode()
    assert "<h1>Launch a search</h1>" in html
    assert 'name="selection.window"' not in html
    assert not Experiment.objects.exists()


def test_a_choice_draws_the_fields_anew(member: Client) -> None:
    given = filled(selection__name="full")
    html = member.post(NEW + "form/", given).content.decode()
    assert "<html" not in html
    assert 'name="selection.window"' not in html
    assert 'name="shown.selection.name" value="full"' in html


def test_the_preview_tells_remaining_samples_and_cost(member: Client) -> None:
    html = unescape(member.post(NEW + "preview/", filled(seeds="1,2")).content.decode())
    assert "Remaining samples over 60 epochs" in html
    assert "T 131 of 898" in html
    assert "lower bounds" in html
    assert "no run like this has ended yet" in html
    assert "Launch 2 runs" in html


def test_the_preview_of_a_search_without_pruning_costs_all(member: Client) -> None:
    given = filled(selection__name="full", shown__selection__name="full")
    html = member.post(NEW + "preview/", given).content.decode()
    assert "<dd>100 %</dd>" in html
    assert "lower bounds" not in html


def test_the_preview_says_what_must_be_mended(member: Client) -> None:
    given = filled(training__weight_lr="-1")
    html = unescape(member.post(NEW + "preview/", given).content.decode())
    assert "No preview yet" in html
    assert "Weight learning rate must be greater than 0; you gave -1." in html


def make_attempt(job: Job) -> None:
    """Make the attempt on a slot of the CPU in which a job did all its work."""
    Attempt.objects.create(
        job=job,
        team=job.team,
        number=1,
        worker_name="w",
        device_name="CPU, 2 cores",
        epochs=1,
        started=job.queued,
    )


def test_the_expected_time_comes_from_runs_like_this(
    member: Client, user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = validate(all_recipes()[0].spec)
    for seed, (state, seconds) in enumerate(
        [("succeeded", 100.0), ("succeeded", 200.0), ("failed", 9000.0)], start=1
    ):
        run = make_run(user, team, cpu_queue, seed=seed, spec=spec, state=state)
        Run.objects.filter(pk=run.pk).update(cost_units=154_770, seconds_search=seconds)
        make_attempt(run.job)
    other = make_run(user, team, cpu_queue, seed=9, state="succeeded")  # C=4, N=1
    Run.objects.filter(pk=other.pk).update(cost_units=10, seconds_search=1e6)
    make_attempt(other.job)
    html = member.post(NEW + "preview/", filled()).content.decode()
    assert "from 2 runs like this" in html
    assert re.search(
        r"<dd>2 min 30 s <small>from 2 runs", html
    )  # median of 100 and 200


def test_the_spec_as_yaml_is_what_the_command_line_reads(member: Client) -> None:
    answer = member.post(NEW + "spec.yaml", filled(seeds="7, 8"))
    assert answer["Content-Type"].startswith("text/plain")
    spec = load_yaml(answer.content.decode())
    assert spec == validate(all_recipes()[0].spec).with_seed(7)


def test_a_wrong_spec_as_yaml_shows_the_form_with_the_fault(member: Client) -> None:
    answer = member.post(NEW + "spec.yaml", filled(training__weight_lr="-1"))
    assert list(errors_of(answer.content.decode())) == ["training-weight_lr"]


def test_a_user_without_a_team_is_told_whom_to_ask(
    db: None, client_for: ClientFor
) -> None:
    lonely = User.objects.create_user("lonely")
    assert client_for(lonely).get(NEW).status_code == 403


@pytest.mark.parametrize(("who", "offered"), [("user", False), ("maintainer", True)])
def test_high_priority_is_offered_to_maintainers(
    who: str,
    offered: bool,
    cpu_queue: Queue,
    client_for: ClientFor,
    request: pytest.FixtureRequest,
) -> None:
    client = client_for(request.getfixturevalue(who))
    for html in (
        client.get(NEW).content.decode(),
        client.post(f"{NEW}form/", filled()).content.decode(),
    ):
        assert ('<option value="10"' in html) is offered
        assert '<option value="0" selected' in html


def test_methods_stand_in_their_families(member: Client) -> None:
    html = unescape(member.get(NEW).content.decode())
    chosen = html[html.index('name="method.name"') :]
    chosen = chosen[: chosen.index("</select>")]
    shown = re.findall('<optgroup label="([^"]+)">', chosen)
    assert shown == [each for each in FAMILIES if each in shown]
    assert len(shown) >= 4
    options = re.findall('<option value="([^"]+)"', chosen)
    assert sorted(options) == sorted(method.name for method in methods.all())


def test_the_preview_says_in_which_epochs_alpha_stands_still(member: Client) -> None:
    given = filled(training__epochs="20", training__warmup_epochs="4")
    html = member.post(NEW + "preview/", given).content.decode()
    assert "alpha stands still in epochs 1 to 4" in " ".join(html.split())
    html = member.post(NEW + "preview/", filled()).content.decode()
    assert "stands still" not in html


def test_presets_are_offered_in_groups_with_what_a_filter_reads(
    member: Client,
) -> None:
    html = unescape(member.get(NEW).content.decode())
    assert html.count("data-preset=") == len(all_recipes())
    groups = {recipe.group for recipe in all_recipes()}
    assert html.count("data-presets>") == len(groups)
    read = re.findall('data-preset="([^"]*)"', html)
    assert any("EX, Table 1, EX-DARTS" in each for each in read)


def test_what_belongs_to_no_field_is_listed_and_not_said_to_be_marked() -> None:
    values = spec_form.from_spec(validate(all_recipes()[0].spec, check_data=False))
    form = spec_fields.form(values, [Problem("", "The spec is two specs; send one.")])
    html = render_to_string("launch/_fields.html", {"form": form, "wrong": 1})
    assert "1 value must be mended:" in html
    assert "marked below" not in html
    assert "<li>The spec is two specs; send one.</li>" in html


def test_what_a_paper_prints_has_its_unit(member: Client) -> None:
    html = member.get(NEW, {"preset": "bdp-t4-beta-short"}).content.decode()
    assert "<dt>CIFAR-10 test</dt><dd>94.37 ± 0.01 %</dd>" in html
    assert "<dt>data left</dt><dd>1 %</dd>" in html


def test_every_printed_value_tells_its_unit() -> None:
    for recipe in all_recipes():
        for name, value in printed(recipe.reference):
            told = value.endswith(" %") or re.search(r"\b(hours|seconds)\b", name)
            assert told, (recipe.name, name)
            assert value.count("%") <= 1
