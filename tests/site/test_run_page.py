"""The pages of a run: what they show, to whom, and what they say when empty."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from searchjobs.engine.spaces.nas_bench_201.encoding import from_index
from searchjobs.engine.validation import load_yaml
from searchjobs.models import Dataset, Queue, Run, Team
from tests.site.factories import digits_spec, import_table, make_run

ClientFor = Callable[[User], Client]
TABS = ["detail", "architecture", "log", "files", "spec", "environment"]


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, finished=7)


def embedded(response: Any, name: str) -> Any:
    """Return the JSON that stands in the page under that id."""
    pattern = rf'<script id="{name}" type="application/json">(.*?)</script>'
    found = re.search(pattern, response.content.decode(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_has_an_address_and_the_head_of_the_run(
    tab: str, run: Run, user: User, client_for: ClientFor
) -> None:
    response = client_for(user).get(reverse(f"runs:{tab}", args=[run.uuid]))
    text = response.content.decode()
    assert response.status_code == 200
    assert "BDP on digits · seed 1" in text
    assert "epoch 7 of 20" in text
    assert text.count('data-tile="') == 5
    assert text.count('aria-current="page"') == 3  # navigation, breadcrumb, tab


@pytest.mark.parametrize("tab", [*TABS, "epochs"])
def test_a_run_of_another_team_does_not_exist(
    tab: str, run: Run, other_team_user: User, client_for: ClientFor
) -> None:
    client = client_for(other_team_user)
    assert client.get(reverse(f"runs:{tab}", args=[run.uuid])).status_code == 404


@pytest.mark.parametrize("tab", [*TABS, "epochs"])
def test_tabs_are_only_read(
    tab: str, run: Run, user: User, client_for: ClientFor
) -> None:
    assert (
        client_for(user).post(reverse(f"runs:{tab}", args=[run.uuid])).status_code
        == 405
    )


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "requeue"])
def test_an_action_needs_a_post_and_the_right_team(
    verb: str, run: Run, user: User, other_team_user: User, client_for: ClientFor
) -> None:
    url = reverse(f"runs:{verb}", args=[run.uuid])
    assert client_for(user).get(url).status_code == 405
    assert client_for(other_team_user).post(url).status_code == 404


def test_figures_and_history_stand_in_the_page(
    run: Run, user: User, client_for: ClientFor
) -> None:
    response = client_for(user).get(reverse("runs:detail", args=[run.uuid]))
    figures = embedded(response, "figures")
    assert figures["accuracy"]["data"][0]["x"] == [1, 2, 3, 4, 5, 6, 7]
    assert figures["scores-T"]["empty"] == ""
    history = embedded(response, "history")
    assert [each["epoch"] for each in history] == [1, 2, 3, 4, 5, 6, 7]
    assert len(history[0]["cell"]) == 6
    assert embedded(response, "page-data")["after"] == 7


def test_the_number_of_queries_does_not_grow_with_the_epochs(
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: Any,
) -> None:
    run = make_run(user, team, cpu_queue, finished=18)
    client = client_for(user)
    with django_assert_max_num_queries(16):
        client.get(reverse("runs:detail", args=[run.uuid]))


def test_empty_charts_say_what_the_run_waits_for(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    queued = make_run(user, team, cpu_queue, state="queued")
    response = client_for(user).get(reverse("runs:detail", args=[queued.uuid]))
    figures = embedded(response, "figures")
    assert "waits in queue cpu" in figures["accuracy"]["empty"]
    assert figures["remaining"]["empty"] == ""  # the plan is known


def test_a_search_on_all_samples_says_that_nothing_is_pruned(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    spec = digits_spec(selection={"name": "full"})
    run = make_run(user, team, cpu_queue, spec=spec, finished=2)
    response = client_for(user).get(reverse("runs:detail", args=[run.uuid]))
    assert "every sample" in embedded(response, "figures")["scores-T"]["empty"]


def test_with_a_table_the_genotype_has_value_rank_and_optimum(
    run: Run, user: User, client_for: ClientFor
) -> None:
    assert run.architecture is not None
    best = from_index(1462)
    import_table({run.architecture.encoding: 91.5, best: 94.37})
    client = client_for(user)
    page = client.get(reverse("runs:detail", args=[run.uuid]))
    assert "91.50 %" in page.content.decode()
    assert "rank 2 of 2 · optimum 94.37" in page.content.decode()
    names = [t["name"] for t in embedded(page, "figures")["accuracy"]["data"]]
    assert "genotype, table (CIFAR-10 test)" in names
    tab = client.get(reverse("runs:architecture", args=[run.uuid])).content.decode()
    assert "2.87" in tab  # below the optimum


def test_without_a_table_the_page_says_how_to_import_one(
    run: Run, user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    for tab in ("detail", "architecture"):
        page = client.get(reverse(f"runs:{tab}", args=[run.uuid])).content.decode()
        assert "import_nasbench201" in page


def test_every_epoch_says_with_how_many_decimals_its_strengths_are_written(
    run: Run, user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    record = run.epochs_recorded.get(epoch=7)
    record.strengths = {"cell": [[0.2002, 0.2, 0.1998, 0.2, 0.2]] * 6}
    record.save()
    page = client.get(reverse("runs:detail", args=[run.uuid]))
    history = {each["epoch"]: each["digits"] for each in embedded(page, "history")}
    news = client.get(reverse("runs:epochs", args=[run.uuid])).json()["epochs"]
    assert history == {each["epoch"]: each["point"]["digits"] for each in news}
    assert history[7] == 4
    trace = embedded(page, "figures")["alpha"]["data"][0]
    assert trace["texttemplate"] == "%{z:.4f}"


def test_a_run_says_by_name_on_which_registered_data_set_it_is(
    run: Run, user: User, team: Team, client_for: ClientFor
) -> None:
    client, page = client_for(user), reverse("runs:detail", args=[run.uuid])
    run.job.spec["dataset"] = {"name": "npz", "path": "/data/pets.npz"}
    run.job.save()
    assert " · npz file · " in client.get(page).content.decode()
    source = {"name": "npz", "path": "/data/pets.npz", "normalise": "auto"}
    pets = Dataset.objects.create(team=team, name="Pets", source=source, author=user)
    address = reverse("datasets:detail", args=[pets.uuid])
    assert f' · <a href="{address}">Pets</a> · ' in client.get(page).content.decode()


@pytest.mark.parametrize("tab", ["detail", "data", "spec"])
def test_a_run_outlives_the_packages_of_its_parts(
    tab: str, run: Run, user: User, client_for: ClientFor
) -> None:
    for section in ("method", "selection", "dataset"):
        run.job.spec[section] = {"name": f"their-{section}"}
    run.job.save()
    page = client_for(user).get(reverse(f"runs:{tab}", args=[run.uuid]))
    assert page.status_code == 200
    for section in ("method", "selection", "dataset"):
        assert f"their-{section} (not installed here)" in page.content.decode()


def test_the_fallback_gives_exactly_the_epochs_that_were_missed(
    run: Run, user: User, client_for: ClientFor
) -> None:
    url = reverse("runs:epochs", args=[run.uuid])
    news = client_for(user).get(url, {"after": "4"}).json()
    assert [each["epoch"] for each in news["epochs"]] == [5, 6, 7]
    assert news["epochs"][0]["point"]["events"].keys() == {"T", "V"}
    assert set(news["epochs"][0]["charts"]) == {
        "scores-T",
        "classes-T",
        "scores-V",
        "classes-V",
    }
    assert news["epochs"][1]["charts"] == {}
    assert news["epochs"][2]["tiles"] != []
    assert news["state"]["state"] == "running"
    for odd in ("x", "-1", "", "9" * 12, "9" * 5000):
        told = client_for(user).get(url, {"after": odd}).json()
        assert told["epochs"][0]["epoch"] == 1


def test_cancelling_a_waiting_run_ends_it_and_says_so(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue, state="queued")
    url = reverse("runs:cancel", args=[run.uuid])
    page = client_for(user).post(url, follow=True)
    run.job.refresh_from_db()
    assert run.job.state == "cancelled"
    assert "being cancelled" in page.content.decode()
    again = client_for(user).post(url, follow=True)
    assert "already been cancelled" in again.content.decode()


def test_a_viewer_sees_no_button_and_may_not_cancel(
    run: Run, viewer: User, client_for: ClientFor
) -> None:
    client = client_for(viewer)
    page = client.get(reverse("runs:detail", args=[run.uuid])).content.decode()
    assert "Cancel" not in page
    assert client.post(reverse("runs:cancel", args=[run.uuid])).status_code == 403


def test_the_spec_can_be_downloaded_and_run_again(
    run: Run, user: User, client_for: ClientFor
) -> None:
    url = reverse("runs:spec", args=[run.uuid])
    text = client_for(user).get(url, {"format": "yaml"}).content.decode()
    assert load_yaml(text, check_data=False).model_dump(mode="json") == run.job.spec


def test_a_failed_run_shows_its_sentence_and_offers_another_try(
    run: Run, user: User, client_for: ClientFor
) -> None:
    run.job.state, run.job.error = "failed", "The GPU has no memory left: halve it."
    run.job.save()
    page = (
        client_for(user).get(reverse("runs:detail", args=[run.uuid])).content.decode()
    )
    assert "The GPU has no memory left: halve it." in page
    assert re.search(r'data-states="[^"]*failed[^"]*">', page)  # not hidden
