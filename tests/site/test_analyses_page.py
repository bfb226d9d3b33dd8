"""The analyses of chosen runs, two of them side by side, and the tables as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from searchjobs.models import EpochRecord, Queue, Run, Team
from tests.site.factories import digits_spec, import_table, make_run
from tests.site.test_run_page import embedded

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
INDEX, PAIR = reverse("analyses:index"), reverse("analyses:pair")


@pytest.fixture
def runs(user: User, team: Team, cpu_queue: Queue) -> list[Run]:
    """Two seeds of BDP and two of the same search on all samples, with a table."""
    made: list[Run] = []
    for name, selection in (("BDP", "bdp"), ("All", "full")):
        first = None
        for seed in (1, 2):
            run = make_run(
                user,
                team,
                cpu_queue,
                name=name,
                seed=seed,
                spec=digits_spec(epochs=6, selection={"name": selection}),
                finished=6,
                state="succeeded",
                experiment=first,
            )
            first = run.experiment
            made.append(run)
        assert first is not None
        first.seeds = [1, 2]
        first.save()
    cells = sorted(set(EpochRecord.objects.values_list("genotype", flat=True)))
    import_table({cell: 60 + 30 * at / len(cells) for at, cell in enumerate(cells)})
    return made


def asked(runs: list[Run]) -> dict[str, str]:
    return {"runs": ",".join(str(run.uuid) for run in runs)}


def pies(answer: HttpResponse) -> int:
    data = embedded(answer, "figures")["pies"]["data"]
    return sum(trace["type"] == "pie" for trace in data)


def address(name: str) -> str:
    return reverse("analyses:table", args=[name])


def test_the_page_draws_edges_and_shares_and_lists_its_tables(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    answer = client_for(user).get(INDEX, asked(runs))
    figures = embedded(answer, "figures")
    assert pies(answer) == 2 * 6
    assert not any(figure["empty"] for figure in figures.values())
    page = answer.content.decode()
    for title in ("Time saving against data share", "Transfer", "Operations per edge"):
        assert title in page
    by_method = client_for(user).get(INDEX, {**asked(runs), "by": "method"})
    assert pies(by_method) == 6


def test_without_a_table_and_without_an_end_sentences_stand_there(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    queued = make_run(user, team, cpu_queue, state="queued")
    answer = client_for(user).get(INDEX, asked([queued]))
    figures = embedded(answer, "figures")
    assert all(figure["empty"] for figure in figures.values())
    assert "No benchmark table is imported" in answer.content.decode()
    assert "No run chosen" in client_for(user).get(INDEX).content.decode()


@pytest.mark.parametrize(
    "name", ["differences", "edges", "shares", "transfer", "best-cells"]
)
@pytest.mark.parametrize("form", ["csv", "json", "tex"])
def test_every_table_is_a_file_in_every_form(
    name: str, form: str, runs: list[Run], user: User, client_for: ClientFor
) -> None:
    query = {**asked(runs), "format": form}
    if name == "best-cells":  # digits are not in the table
        for run in runs:
            run.experiment.spec["dataset"] = run.job.spec["dataset"] = {
                "name": "cifar10"
            }
            run.job.save()
    answer = client_for(user).get(address(name), query)
    assert answer.status_code == 200
    assert f'filename="{name}.{form}"' in answer["Content-Disposition"]
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(answer.content.decode())))) > 0


def test_the_differences_are_those_of_the_compare_page(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    text = client.get(address("differences"), asked(runs)).content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["group"] for row in rows] == ["BDP", "BDP"]  # against all samples
    assert "BDP (n = 2) against All (n = 2)" in rows[0]["compares"]
    page = client.get(reverse("compare:index"), asked(runs)).content.decode()
    assert "Differences to All" in page
    assert "BDP (n = 2) against All (n = 2)" in page
    turned = {**asked(runs), "reference": "0"}
    text = client.get(address("differences"), turned).content.decode()
    assert "All (n = 2) against BDP (n = 2)" in text


def test_the_compare_page_has_the_arrow_and_the_controls(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    answer = client_for(user).get(reverse("compare:index"), asked(runs))
    figures = embedded(answer, "figures")
    (arrow,) = figures["cost"]["layout"]["annotations"]
    assert arrow["x"] < arrow["ax"]
    page = answer.content.decode()
    assert "Controls of BDP" in page
    assert "Controls of All" not in page
    assert "2 control runs are missing" in page
    assert "Add them" in page


def test_two_runs_side_by_side_with_their_seeds_or_alone(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    client, pair = client_for(user), {"a": runs[0].uuid, "b": runs[2].uuid}
    figures = embedded(client.get(PAIR, pair), "figures")
    names = [line.get("name") for line in figures["accuracy"]["data"]]
    assert {"BDP (n = 2)", "All (n = 2)"} <= set(names)
    assert figures["alpha-a"]["data"][0]["zmax"] == 1
    assert figures["alpha-b"]["data"][0]["zmax"] == 1
    assert len(figures["alpha-a"]["layout"]["shapes"]) == 6
    alone = embedded(
        client.get(PAIR, {**pair, "seeds": "one", "scale": "log"}), "figures"
    )
    names = [line["name"] for line in alone["accuracy"]["data"]]
    assert names == ["BDP · seed 1 (n = 1)", "All · seed 1 (n = 1)"]
    assert alone["remaining"]["layout"]["yaxis"]["type"] == "log"


def test_the_same_run_twice_or_two_seeds_of_one_search_are_shown_alone(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    for other in runs[:2]:
        pair = {"a": runs[0].uuid, "b": other.uuid}
        assert client_for(user).get(PAIR, pair).status_code == 200


@pytest.mark.parametrize(
    "query", [{"a": "x", "b": "y"}, {"a": "00000000-0000-0000-0000-000000000000"}]
)
def test_a_malformed_pair_is_404(
    query: dict[str, str], user: User, client_for: ClientFor
) -> None:
    assert client_for(user).get(PAIR, query).status_code == 404


def test_another_team_gets_404_everywhere(
    runs: list[Run], other_team_user: User, client_for: ClientFor
) -> None:
    client = client_for(other_team_user)
    assert client.get(INDEX, asked(runs)).status_code == 404
    assert client.get(address("transfer"), asked(runs)).status_code == 404
    pair = {"a": runs[0].uuid, "b": runs[2].uuid}
    assert client.get(PAIR, pair).status_code == 404


def test_what_there_is_not_is_404(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    assert client.get(address("nothing"), asked(runs)).status_code == 404
    assert client.get(address("transfer")).status_code == 404
    assert client.get(address("differences"), asked(runs[:2])).status_code == 404


def test_queries_do_not_grow_with_the_runs(
    runs: list[Run],
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: Any,
) -> None:
    more = [
        make_run(user, team, cpu_queue, seed=seed, finished=2, name=f"run {seed}")
        for seed in range(3, 8)
    ]
    client = client_for(user)
    with django_assert_max_num_queries(10):
        client.get(INDEX, asked([*runs, *more]))
    with django_assert_max_num_queries(16):
        client.get(reverse("compare:index"), asked([*runs, *more]))
    with django_assert_max_num_queries(22):
        client.get(PAIR, {"a": runs[0].uuid, "b": runs[2].uuid})
