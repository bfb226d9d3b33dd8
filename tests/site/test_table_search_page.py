"""A search on the benchmark table, from the launch form to the page of its run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb import spec_form
from nasweb.runs.charts import epoch_messages
from searchjobs.engine import places
from searchjobs.engine.events import EpochFinished, Finished, Started
from searchjobs.engine.recipes import all_recipes
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.table_search import search_table
from searchjobs.engine.validation import validate
from searchjobs.models import Experiment, Job, Queue, Run, Team
from searchjobs.recorder import Recorder
from searchjobs.states import State
from tests.engine.made_up_table import made_up_table, write_table
from tests.jobs.conftest import make_slot, take

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
NEW = "/experiments/new/"
SPEC = {"method": {"name": "reinforce", "repeats": 30, "points": 6, "budget": 3000}}


@pytest.fixture(scope="module")
def table_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "tables" / "nas-bench-201.csv.gz")
    return folder


@pytest.fixture(autouse=True)
def _data(table_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(table_folder))


@pytest.fixture
def member(user: User, cpu_queue: Queue, client_for: ClientFor) -> Client:
    return client_for(user)


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    """A finished run whose rows a real search has told."""
    from searchjobs.launch import launch

    experiment = launch(user, team, "table", SPEC, [1])
    taken = take(make_slot())
    assert taken is not None
    recorder = Recorder(taken)
    spec = SearchSpec.model_validate(experiment.spec)
    for event in search_table(spec, table=made_up_table()):
        if isinstance(event, Started | EpochFinished | Finished):
            recorder.record(event)
    Job.objects.update(state=State.SUCCEEDED)
    return Run.objects.get()


def embedded(html: str, name: str) -> Any:
    pattern = rf'<script id="{name}" type="application/json">(.*?)</script>'
    found = re.search(pattern, html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def chosen(method: str) -> dict[str, str]:
    """What the browser sends when a method was just chosen in the first preset."""
    values = spec_form.from_spec(validate(all_recipes()[0].spec, check_data=False))
    hidden = {spec_form.SHOWN + path: values[path] for path in spec_form.DECISIVE}
    about = {"seeds": "1", "priority": "0", "queue": "", "name": ""}
    return {**values, **hidden, **about, "method.name": method}


class Fields(HTMLParser):
    """What a browser sends of the fields that stand in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "select":
            self._select = name
            self.sent[name] = ""
        elif tag == "option" and "selected" in given:
            self.sent[self._select] = given["value"]
        elif tag == "input" and name and name != "csrfmiddlewaretoken":
            if given.get("type") in {"checkbox", "radio"} and "checked" not in given:
                return
            self.sent[name] = given.get("value", "")


def test_the_form_shows_only_what_the_method_reads(member: Client) -> None:
    html = member.post(f"{NEW}form/", chosen("evolution")).content.decode()
    for shown in ("method.population", "method.repeats", "method.budget", "space.name"):
        assert f'name="{shown}"' in html
    for section in ("training", "selection", "augmentation", "dataset", "stopping"):
        assert f'name="{section}.' not in html, section
        assert f'name="shown.{section}.' not in html, section


def test_what_it_does_not_read_goes_back_to_its_default(member: Client) -> None:
    """The first preset prunes; evolution cannot, and must not be refused for it."""
    html = member.post(f"{NEW}preview/", chosen("evolution")).content.decode()
    assert "0 steps" in html
    assert "500" in html
    assert "12,000 s" in html
    assert "CIFAR-10" in html
    assert "no preview" not in html.lower()


def test_the_fields_of_the_page_launch_it(member: Client) -> None:
    html = member.post(f"{NEW}form/", chosen("bohb")).content.decode()
    answer = member.post(NEW, Fields(html).sent)
    assert answer.status_code == 302, answer.content.decode()[:2000]
    experiment = Experiment.objects.get()
    assert experiment.name == "BOHB · CIFAR-10"
    assert experiment.spec["method"]["name"] == "bohb"
    assert experiment.spec["selection"]["name"] == "full"
    assert experiment.spec["compute"]["device"] == "cpu"
    plan = Run.objects.get().plan
    assert plan["cost_units"] == 0
    assert plan["table"]["repeats"] == 500


def test_without_a_table_the_preview_says_how_to_import_it(
    member: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    html = member.post(f"{NEW}preview/", chosen("bohb")).content.decode()
    assert "import it with manage.py import_nasbench201 PATH" in html


def test_the_page_shows_repeats_against_simulated_seconds(
    run: Run, member: Client
) -> None:
    html = member.get(reverse("runs:detail", args=[run.uuid])).content.decode()
    figures = embedded(html, "figures")
    assert {"best", "picks", "alpha", "magnitudes"} <= set(figures)
    means = {line["name"]: line for line in figures["best"]["data"] if line["name"]}
    test = means["pick after 200 epochs, CIFAR-10 test (table)"]
    last = run.repeats["accuracies"]["cifar10"]["test"]
    assert test["y"][-1] == last["mean"]
    assert test["customdata"][-1] == 3000
    low, high = figures["best"]["data"][3:5]
    assert low["y"][-1] == pytest.approx(last["mean"] - last["std"])
    assert high["y"][-1] == pytest.approx(last["mean"] + last["std"])
    assert figures["best"]["layout"]["xaxis"]["ticktext"][-1] == "3,000"
    assert sum(figures["picks"]["data"][0]["y"]) == 30
    assert "mean ± std over n = 30 repeats" in html
    assert "12-epoch validation accuracy, a table look-up" in html
    assert "Operations of the picks: share of the repeats" in html
    assert f"{last['mean']:.2f} ± {last['std']:.2f} %" in html
    assert run.architectures[0]["architecture"] in html
    assert "point 6 of 6" in html
    assert html.count('data-tile="') == 5
    assert "policy entropy" in json.dumps(figures)


@pytest.mark.parametrize("tab", ["architecture", "log", "files", "spec", "environment"])
def test_every_other_tab_opens(tab: str, run: Run, member: Client) -> None:
    answer = member.get(reverse(f"runs:{tab}", args=[run.uuid]))
    assert answer.status_code == 200
    assert "30 repeats" in answer.content.decode()


def test_a_live_page_gets_each_point_with_its_distribution_and_tiles(run: Run) -> None:
    messages = epoch_messages(run, 4)
    assert [message["epoch"] for message in messages] == [5, 6]
    for message in messages:
        assert "picks" in message["charts"]
        assert (
            message["point"]["repeats"]["signal"]["low"]
            <= (message["point"]["repeats"]["signal"]["mean"])
        )
    keys = [tile["key"] for tile in messages[-1]["tiles"]]
    assert keys == ["pick", "seen", "lookups", "seconds", "top"]


def test_lists_and_comparisons_show_the_mean_of_the_repeats(
    run: Run, member: Client
) -> None:
    mean = run.repeats["accuracies"]["cifar10"]["test"]["mean"]
    from tests.site.factories import import_table

    import_table({run.architecture.encoding: 50.0})
    page = reverse("experiments:detail", args=[run.experiment.uuid])
    assert f"{mean:.2f}" in member.get(page).content.decode()
    compared = member.get(f"{reverse('compare:index')}?runs={run.uuid}")
    assert compared.status_code == 200
    assert f"{mean:.2f}" in compared.content.decode()


def test_before_the_first_point_the_page_says_why_it_is_empty(
    user: User, team: Team, member: Client
) -> None:
    from searchjobs.launch import launch

    launch(user, team, "waits", SPEC, [1])
    html = member.get(reverse("runs:detail", args=[Run.objects.get().uuid]))
    assert "waits in queue cpu" in html.content.decode()
    assert "begin when its first point is finished" in html.content.decode()
    assert "first epoch" not in html.content.decode()


def test_its_file_lies_where_the_engine_looks(table_folder: Path) -> None:
    assert places.table_path("nas-bench-201").is_file()
