"""The architectures of a run, with their table rows, live and at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from nasweb.figures.magnitudes import magnitudes
from nasweb.runs import found
from nasweb.runs.points import result
from nasweb.runs.status import status
from searchjobs.models import Architecture, EpochRecord, Job, Queue, Run, Team
from tests.site.factories import import_table, make_run

ClientFor = Callable[[User], Client]

NONE = "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
OTHER = NONE.replace("none", "nor_conv_1x1")
THREE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+" + (
    "|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)


def said(**more: Any) -> dict[str, Any]:
    return {
        "rule": "darts-plus-skips",
        "title": "sc_2",
        "epoch": 6,
        "architecture_epoch": 6,
        "stopped": False,
        "reason": "The cell of epoch 6 holds 2 skip connections.",
        **more,
    }


def given(derivation: str, architecture: str, **more: Any) -> dict[str, Any]:
    return {
        "derivation": derivation,
        "epoch": 6,
        "architecture": architecture,
        "connected": True,
        "criterion": "",
        "note": "",
        "without_none": "",
        **more,
    }


GIVEN = [
    given("magnitude-peak", THREE, criterion="nor_conv_3x3", note="It peaks here."),
    given(
        "magnitude-peak", NONE, criterion="none", connected=False, without_none=OTHER
    ),
    given("darts-plus-skips", NONE, criterion="sc_2", note=said()["reason"]),
]


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    run = make_run(user, team, cpu_queue, finished=8, state="succeeded")
    record = EpochRecord.objects.get(run=run, epoch=6)
    record.report["stop_suggestions"] = [said()]
    record.save()
    run.architectures = GIVEN
    run.save()
    return run


def rows_of(html: str) -> list[str]:
    """The rows of the table of architectures as plain text."""
    table = re.search(r'<table class="table found">.*?<tbody>(.*?)</tbody>', html, re.S)
    assert table
    rows = re.findall(r"<tr.*?</tr>", table[1], re.S)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


@pytest.mark.django_db
@pytest.mark.parametrize("tab", ["", "architecture/", "found/"])
def test_every_architecture_stands_there_with_its_table_row(
    tab: str, run: Run, user: User, client_for: ClientFor
) -> None:
    import_table({THREE: 94.1, OTHER: 91.5, NONE: 10.0})
    html = client_for(user).get(f"/runs/{run.uuid}/{tab}").content.decode()
    three, none, without, rule = rows_of(html)
    assert three.startswith("conv 3×3 Magnitude peak of each operation (SS) 6")
    assert "It peaks here." in three
    assert three.endswith("91.10 94.10 " * 2 + "91.10 94.10")  # three data sets
    assert "output not connected" in none
    assert none.endswith("7.00 10.00")
    assert without.startswith("the same alpha without none")
    assert OTHER in without
    assert without.endswith("88.50 91.50")
    assert rule.startswith("sc_2 DARTS+, number of skip connections (sc_k) 6")
    assert "Spoke at epoch 6, did not stop it." in rule


@pytest.mark.django_db
def test_without_a_table_there_are_no_columns_of_accuracies(
    run: Run, user: User, client_for: ClientFor
) -> None:
    html = client_for(user).get(f"/runs/{run.uuid}/found/").content.decode()
    assert len(rows_of(html)) == 4
    assert "ImageNet16-120" not in html


@pytest.mark.django_db
def test_the_table_is_looked_up_once_for_all(
    run: Run, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    import_table({THREE: 94.1})
    run.architectures = GIVEN * 10
    with django_assert_max_num_queries(2):  # the optimum, and one look-up
        rows = found.found(run, [said()])
    assert len(rows) == 30
    assert rows[0].cell.values[1].value == 94.1  # type: ignore[union-attr]


@pytest.mark.django_db
def test_before_anything_is_found_the_page_says_what_will_come(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue, finished=2)
    client = client_for(user)
    html = client.get(f"/runs/{run.uuid}/").content.decode()
    assert "None yet: the derivation gives its own at the end." in html
    run.job.spec["stopping"] = [{"name": "darts-plus-skips", "watch": True}]
    run.job.save()
    html = client.get(f"/runs/{run.uuid}/found/").content.decode()
    assert "and each stopping rule its own when it speaks" in html
    assert json.loads(_page_data(client, run))["found"] == 0


def _page_data(client: Client, run: Run) -> str:
    html = client.get(f"/runs/{run.uuid}/").content.decode()
    match = re.search(r'id="page-data" type="application/json">(.*?)</script>', html)
    assert match
    return match[1]


@pytest.mark.django_db
def test_the_part_that_is_drawn_anew_brings_the_chart_with_the_marks(
    run: Run, user: User, client_for: ClientFor
) -> None:
    html = client_for(user).get(f"/runs/{run.uuid}/found/").content.decode()
    match = re.search(r'id="found-figure" type="application/json">(.*?)</script>', html)
    assert match
    names = [trace["name"] for trace in json.loads(match[1])["data"]]
    assert "sc_2" in names
    assert status(run)["found"] == 3  # what the browser watches


@pytest.mark.django_db
def test_an_experiment_shows_mean_and_spread_of_each_criterion(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    import_table({THREE: 94.0, OTHER: 92.0})
    first = make_run(user, team, cpu_queue, finished=8, state="succeeded")
    for seed, cell in ((1, THREE), (2, OTHER), (3, OTHER)):
        run = first
        if seed > 1:
            state = "succeeded" if seed == 2 else "running"
            run = make_run(
                user,
                team,
                cpu_queue,
                seed=seed,
                finished=8,
                state=state,
                experiment=first.experiment,
            )
        run.architectures = [
            given("argmax", OTHER),
            given("darts-plus-skips", cell, criterion="sc_2", epoch=seed),
        ]
        run.save()
    (arg_max, rule) = found.across("nas-bench-201", Run.objects.filter(pk=first.pk))
    assert (arg_max.by, arg_max.n, rule.n) == ("Arg max", 1, 1)
    address = f"/experiments/{first.experiment.uuid}/"
    html = client_for(user).get(address).content.decode()
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
    row = "sc_2 DARTS+, number of skip connections (sc_k) 2 1.50 ± 0.71 90.00 ± 1.41"
    assert f"{row} 93.00 ± 1.41" in text  # the run that goes on is left out


@pytest.mark.django_db
def test_what_a_stopped_run_gave_is_its_result_on_every_page(
    run: Run, user: User, client_for: ClientFor
) -> None:
    import_table({THREE: 94.1, NONE: 10.0})
    record = EpochRecord.objects.get(run=run, epoch=8)
    record.report["stop_suggestions"] = [
        said(epoch=8, title="SS nor_conv_3x3", stopped=True)
    ]
    record.save()
    assert "stopped by SS conv 3×3, which takes the cell of epoch 6" in str(
        status(run)["summary"]
    )
    run.architecture = Architecture.objects.get(encoding=THREE)
    run.save()
    client = client_for(user)
    html = client.get(f"/runs/{run.uuid}/").content.decode()
    tile = html[html.index('data-tile="genotype"') :]
    text = " ".join(
        re.sub(r"<[^>]+>", " ", tile[: tile.index("data-tile=", 20)]).split()
    )
    assert "Result, CIFAR-10 test 94.10 %" in text
    assert "taken at epoch 6" in text
    asked = {"runs": str(run.uuid), "format": "json"}
    (group,) = client.get("/compare/", asked).json()["groups"]
    assert group["last"]["table"]["cifar10"]["test"]["mean"] == 94.1
    assert group["last"]["skips"]["mean"] == 0
    assert group["last"]["epoch"]["mean"] == 8  # the whole search was paid


def opened(client: Client, run: Run) -> tuple[str, str]:
    """What the slider of the live tab stands at, and the notices of a run's page."""
    html = client.get(f"/runs/{run.uuid}/").content.decode()
    slider = re.search(r'id="epoch-slider"[^>]* value="(\d+)"', html)
    assert slider
    said = re.findall(r'<p class="notice small">(.*?)</p>', html, re.S)
    follows = re.search(r'id="follow"( checked)?>', html)
    assert follows
    assert bool(follows[1]) == (not said)
    return slider[1], " ".join(re.sub(r"<[^>]+>", "", "".join(said)).split())


@pytest.mark.django_db
def test_a_run_that_went_back_opens_at_the_epoch_of_its_result(
    run: Run, user: User, client_for: ClientFor
) -> None:
    record = EpochRecord.objects.get(run=run, epoch=6)
    run.architectures = [
        given("selective-stop", record.genotype, criterion="SS nor_conv_3x3")
    ]
    run.save()
    client = client_for(user)
    assert opened(client, run) == (
        "6",
        "The run gave the architecture of epoch 6, to which SS conv 3×3 went back, and "
        "not that of its last epoch, 8. The slider stands there.",
    )
    html = client.get(f"/runs/{run.uuid}/architecture/").content.decode()
    assert "Genotype of epoch 6" in html
    assert "to which SS conv 3×3 went back" in html
    strength = max(record.strengths["cell"][0])
    edges = html[html.index("title-edges") :]
    assert f"{strength:.3f}" in edges[: edges.index("2←0")]


@pytest.mark.django_db
def test_who_watched_a_run_to_its_end_is_told_what_a_reload_shows(
    run: Run, user: User, client_for: ClientFor
) -> None:
    import_table({THREE: 94.1})
    client = client_for(user)
    page = client.get(f"/runs/{run.uuid}/")
    state = client.get(f"/runs/{run.uuid}/epochs/?after=8").json()["state"]
    assert state["tiles"] == page.context["tiles"]
    assert state["alert"] == asdict(page.context["alert"])
    assert state["tiles"][0]["label"].startswith("Result")
    Job.objects.filter(pk=run.job_id).update(state="running")
    state = client.get(f"/runs/{run.uuid}/epochs/?after=8").json()["state"]
    assert not {"tiles", "alert"} & state.keys()


@pytest.mark.django_db
def test_an_architecture_that_no_epoch_held_is_drawn_as_that_of_the_run(
    run: Run, user: User, client_for: ClientFor
) -> None:
    run.architectures = [given("projection", THREE, epoch=8)]
    run.save()
    client = client_for(user)
    at, note = opened(client, run)
    assert at == "8"
    assert "not the genotype of an epoch" in note
    html = client.get(f"/runs/{run.uuid}/architecture/").content.decode()
    assert "Architecture of the run" in html
    assert f'<pre class="encoding" tabindex="0">{THREE}</pre>' in unescape(html)


@pytest.mark.django_db
def test_a_run_whose_result_is_its_last_epoch_opens_there_without_a_word(
    run: Run, user: User, client_for: ClientFor
) -> None:
    last = EpochRecord.objects.get(run=run, epoch=8)
    run.architectures = [given("argmax", last.genotype, epoch=8)]
    run.save()
    assert opened(client_for(user), run) == ("8", "")
    run.job.state = "running"
    run.job.save()
    run.architectures = GIVEN
    run.save()
    assert opened(client_for(user), run) == ("8", "")


@pytest.mark.django_db
def test_a_run_that_goes_on_shows_its_newest_genotype(run: Run) -> None:
    run.job.state = "running"
    assert result(run, {"genotype": NONE, "repeats": None}) is None


@pytest.mark.django_db
def test_runs_in_which_a_criterion_found_nothing_are_counted(run: Run) -> None:
    run.architectures = [
        given("argmax", THREE),
        given(
            "selective-stop",
            THREE,
            criterion="SS nor_conv_3x3",
            note="Found nothing: x",
        ),
    ]
    run.save()
    arg_max, rule = found.across("nas-bench-201", Run.objects.filter(pk=run.pk))
    assert (arg_max.nothing, rule.nothing, rule.criterion) == (0, 1, "SS conv 3×3")


# -- the chart -------------------------------------------------------------------------


def points(*strengths: float) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "magnitudes": {"none": 1 - s, "nor_conv_3x3": s}}
        for e, s in enumerate(strengths, start=1)
    ]


def drawn(*suggestions: dict[str, Any]) -> dict[str, Any]:
    operations = ["none", "nor_conv_3x3"]
    return magnitudes(
        points(0.2, 0.6, 0.4, 0.6), 20, operations, suggestions, waiting=""
    )


def test_the_peak_of_each_operation_is_the_first_of_its_highest_points() -> None:
    peak = next(t for t in drawn()["data"] if t["name"] == "peak")
    assert dict(zip(peak["text"], peak["x"], strict=True)) == {"none": 1, "conv 3×3": 2}
    assert peak["y"] == [0.8, 0.6]
    assert peak["meta"] == {"peaks": 2}
    assert "yaxis2" not in drawn()["layout"]


def test_each_rule_has_a_row_with_the_epoch_it_named_and_the_epoch_it_spoke() -> None:
    figure = drawn(
        said(),
        said(title="rt_2", epoch=15, architecture_epoch=15, stopped=True),
        said(title="DARTS-ES 1.3", epoch=18, architecture_epoch=6),
        said(title="SS none", epoch=20, reason="Found nothing: none ..."),
    )
    rows = {t["name"]: t for t in figure["data"] if t.get("yaxis") == "y2"}
    assert sorted(row["y"][0] for row in rows.values()) == [0, 1, 2, 3]
    assert (rows["sc_2"]["x"], rows["sc_2"]["marker"]["symbol"]) == ([6], ["diamond"])
    assert rows["rt_2"]["marker"]["symbol"] == ["square"]
    assert "stopped the search" in rows["rt_2"]["hovertemplate"]
    eigen = rows["DARTS-ES 1.3"]
    assert (eigen["x"], eigen["marker"]["symbol"]) == (
        [6, 18],
        ["diamond", "circle-open"],
    )
    assert eigen["customdata"][0] == said()["reason"]
    assert "nothing found" in " ".join(rows["SS none"]["text"])
    assert rows["SS none"]["marker"]["symbol"][0] == "diamond-open"
    lines = [shape["x0"] for shape in figure["layout"]["shapes"]]
    assert lines == [6, 15]
    assert (
        figure["layout"]["yaxis"]["domain"][1] < figure["layout"]["yaxis2"]["domain"][0]
    )


def test_words_stand_on_the_side_where_there_is_room() -> None:
    figure = drawn(said(epoch=3, architecture_epoch=2), said(title="b", epoch=19))
    early, late = (t for t in figure["data"][::-1] if t.get("yaxis") == "y2")
    assert early["textposition"] == "middle right"
    assert early["text"] == ["", " sc_2 "]
    assert late["textposition"] == "middle left"
    assert late["text"] == [" b ", ""]
