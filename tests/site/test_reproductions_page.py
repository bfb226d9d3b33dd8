"""The papers' tables beside ours: values, deviations, states, launch, files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb.reproductions.values import fill
from searchjobs import reproduce
from searchjobs.engine.recipes import all_recipes
from searchjobs.engine.tables import all_tables
from searchjobs.models import (
    Dataset,
    Experiment,
    Job,
    Queue,
    Run,
    Team,
)
from searchjobs.states import State
from tests.engine.made_up_table import write_table
from tests.reproductions import (
    ALL_SKIP,
    CONVOLUTIONS,
    POOLS,
    end,
    scale,
    stand_in,
    table,
)
from tests.site.factories import import_table
from tests.site.test_launch_page import filled

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
INDEX = "/reproductions/"


def address(name: str, view: str = "detail") -> str:
    return reverse(f"reproductions:{view}", args=[name])


def text_of(response: Any) -> str:
    """The words of a page, without its tags."""
    return " ".join(
        unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split()
    )


@pytest.fixture
def looked_up(db: None) -> None:
    """Test accuracies 54.3, 90 and 80; validation three points below."""
    import_table({ALL_SKIP: 54.3, CONVOLUTIONS: 90.0, POOLS: 80.0})


@pytest.fixture
def images(user: User, team: Team, tmp_path: Path) -> Dataset:
    return stand_in(user, team, tmp_path)


@pytest.fixture
def launched(
    user: User, team: Team, cpu_queue: Queue, images: Dataset, looked_up: None
) -> Callable[[str], dict[str, list[Run]]]:
    """A function that launches a table at CPU-small; runs by recipe."""

    def made(name: str) -> dict[str, list[Run]]:
        found = reproduce.launch_lacking(
            user, team, *table(name), scale(), images=images
        )
        return {each.recipe: list(each.runs.order_by("seed")) for each in found}

    return made


def line_of(team: Team, name: str, row: str) -> Any:
    filled = fill(team, table(name)[1], scale())
    (line,) = (each for each in filled.lines if each.row.label == row)
    return line


def test_the_list_names_every_table_with_its_progress(
    launched: Callable[[str], Any], user: User, client_for: ClientFor
) -> None:
    runs = launched("bdp-1")
    end(runs["bdp-t1-5-5"][0])
    page = client_for(user).get(INDEX)
    words = text_of(page)
    for paper, each in all_tables():
        assert paper.title in words
        assert f"Table {each.number}: {each.title}" in words
    assert "1 of 15 ● 14 under way" in words
    assert "CPU-small scale" in words


def test_a_table_shows_printed_values_beside_ours(
    launched: Callable[[str], Any], user: User, team: Team, client_for: ClientFor
) -> None:
    runs = launched("bdp-1")["bdp-t1-9-1"]
    for run, cell in zip(runs, (CONVOLUTIONS, ALL_SKIP, CONVOLUTIONS), strict=True):
        end(run, cell, cost=1000.0)
    line = line_of(team, "bdp-1", "T:V = 9:1")
    test = line.values[1]
    assert (test.printed.mean, test.printed.deviation) == (69.79, 14.96)
    assert test.ours.n == 3
    assert test.ours.mean == pytest.approx((90 + 54.3 + 90) / 3)
    assert test.ours.deviation == pytest.approx(20.611, abs=0.001)
    assert test.deviation == pytest.approx(8.31)
    assert test.within is True
    assert (line.cost.mean, line.seconds.mean) == (1000.0, 30.0)
    words = text_of(client_for(user).get(address("bdp-1")))
    assert "printed 63.48 ± 21.71 69.79 ± 14.96" in words
    assert "ours n = 3" in words
    assert "78.10 ± 20.61 +8.31 ✓ within one printed deviation" in words
    assert "CPU-small scale" in words
    assert "table look-up (200 epochs)" in words
    assert "images of four classes" in words


def test_a_printed_deviation_of_zero_is_met_by_the_very_value_alone(
    launched: Callable[[str], Any], team: Team
) -> None:
    runs = launched("bdp-1")
    end(runs["bdp-t1-5-5"][0], ALL_SKIP)
    end(runs["bdp-t1-3-7"][0], POOLS)
    same, other = (
        line_of(team, "bdp-1", label).values[1] for label in ("T:V = 5:5", "T:V = 3:7")
    )
    assert (same.deviation, same.within, same.ours.n) == (0.0, True, 1)
    assert (other.deviation, other.within) == (pytest.approx(25.7), False)
    assert (same.signed, other.signed) == ("0.00", "+25.70")


def test_what_is_under_way_or_has_failed_is_shown_and_is_no_value(
    launched: Callable[[str], Any], user: User, team: Team, client_for: ClientFor
) -> None:
    runs = launched("bdp-1")["bdp-t1-1-9"]
    end(runs[0], state=State.FAILED)
    Job.objects.filter(run=runs[1]).update(state=State.RUNNING)
    line = line_of(team, "bdp-1", "T:V = 1:9")
    assert (line.progress.active, line.progress.failed) == (2, 1)
    assert line.values[0].ours.n == 0
    page = client_for(user).get(address("bdp-1"))
    assert "2 under way ✕ 1 failed or cancelled" in text_of(page)
    assert reverse("runs:detail", args=[runs[0].uuid]) in page.content.decode()


def test_averages_and_bests_are_of_the_pairs_of_one_seed(
    launched: Callable[[str], Any], team: Team
) -> None:
    """A seed counts once all five pairs have ended."""
    runs = launched("bdp-3")
    names = next(r for r in table("bdp-3")[1].rows if r.label == "T Low, V Low").recipes
    for place, name in enumerate(names):
        end(runs[name][0], CONVOLUTIONS if place == 2 else ALL_SKIP)
        if place:
            end(runs[name][1], POOLS)
    average, best = line_of(team, "bdp-3", "T Low, V Low").values[:2]
    assert (average.ours.n, best.ours.n) == (1, 1)
    assert average.ours.mean == pytest.approx((4 * 54.3 + 90) / 5)
    assert best.ours.mean == pytest.approx(90)
    assert average.printed.mean == 54.30
    assert best.printed.mean == 90.25
    assert best.within is None, "nothing is printed to be within"


def test_rules_read_their_epoch_of_one_run_and_the_best_epoch_is_a_bound(
    launched: Callable[[str], Any], team: Team
) -> None:
    run = launched("ex-ss-darts-3")["ex-t3-lr-0003"][0]
    end(run, ALL_SKIP, epochs=(POOLS, CONVOLUTIONS, ALL_SKIP))
    said = {"derivation": "darts-plus-skips", "epoch": 1, "connected": True}
    peak = {"derivation": "magnitude-peak", "epoch": 2, "connected": True}
    Run.objects.filter(pk=run.pk).update(
        architectures=[
            {**peak, "architecture": ALL_SKIP, "criterion": "skip_connect"},
            {**peak, "architecture": CONVOLUTIONS, "criterion": "nor_conv_3x3"},
            {**said, "architecture": POOLS, "criterion": "sc_2"},
        ]
    )
    found = {
        label: line_of(team, "ex-ss-darts-3", label).values[0].ours.mean
        for label in ("DARTS+ (sc_2)", "DARTS+ (rt_4)", "SS-DARTS", "Best epoch")
    }
    assert found == {
        "DARTS+ (sc_2)": 80.0,
        "DARTS+ (rt_4)": 54.3,  # never spoke: the cell of the last epoch
        "SS-DARTS": 90.0,
        "Best epoch": 90.0,
    }


def test_the_unpruned_control_is_read_at_the_cost_of_the_pruned_search(
    launched: Callable[[str], Any], team: Team
) -> None:
    runs = launched("bdp-4")
    control = next(
        r for r in table("bdp-4")[1].rows if r.label.startswith("DARTS at the cost")
    )
    alike = reproduce.twins("cpu-small")[control.recipes[0]]
    (name,) = alike & runs.keys()
    end(runs["bdp-cifar10-paper"][0], CONVOLUTIONS, cost=250.0)
    end(runs[name][0], ALL_SKIP, epochs=(POOLS, POOLS, ALL_SKIP, ALL_SKIP), cost=1000.0)
    line = line_of(team, "bdp-4", control.label)
    assert line.values[1].ours.mean == 80.0
    assert line.cost.mean == pytest.approx(250.0)
    assert line.values[1].printed.text == ""
    assert line.values[1].deviation is None


def test_a_search_on_the_table_tells_its_repeats_at_every_scale(
    user: User,
    team: Team,
    cpu_queue: Queue,
    looked_up: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_table(tmp_path / "tables" / "nas-bench-201.csv.gz")
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    made = reproduce.launch_lacking(user, team, *table("ex-ss-darts-1"), scale())
    names = {each.recipe: each for each in made}
    assert len(names) == 4, "the others want images that are not here"
    assert {each.scale for each in made} == {"paper"}
    run = names["ex-t1-random-search"].runs.get()
    end(run)
    told = {"valid": {"mean": 90.96, "std": 0.36}, "test": {"mean": 93.74, "std": 0.36}}
    accuracies = dict.fromkeys(("cifar10", "cifar100", "imagenet16"), told)
    repeats = {"repeats": 500, "accuracies": accuracies}
    Run.objects.filter(pk=run.pk).update(repeats=repeats)
    line = line_of(team, "ex-ss-darts-1", "RS")
    value = line.values[1]
    assert (value.ours.n, value.ours.mean, value.ours.deviation) == (500, 93.74, 0.36)
    assert (value.deviation, value.within) == (0.04, True)
    assert line.cost.n == 0, "nothing was trained"


def test_a_row_that_cannot_run_says_why_and_has_its_printed_values(
    user: User, team: Team, client_for: ClientFor
) -> None:
    words = text_of(client_for(user).get(address("vp-darts-1")))
    assert "Not run here: A predictor of accuracies" in words
    assert "93.99 ± 0.25" in words
    words = text_of(client_for(user).get(address("bdp-4")))
    assert "Not run here: At CPU-small scale every search" in words
    at_paper = client_for(user).get(address("bdp-4"), {"scale": "paper"})
    assert "At CPU-small scale every search" not in text_of(at_paper)


def test_misprints_are_told_as_notes(user: User, client_for: ClientFor) -> None:
    assert "probably a misprint" in text_of(client_for(user).get(address("bdp-3")))
    assert "53.90" in text_of(client_for(user).get(address("vp-darts-2")))


def test_the_confirmation_says_how_many_runs_and_what_they_cost(
    user: User, images: Dataset, cpu_queue: Queue, client_for: ClientFor
) -> None:
    asked = {"scale": "cpu-small", "images": str(images.uuid)}
    page = client_for(user).get(address("bdp-1", "launch"), asked)
    words = text_of(page)
    assert "15 runs in 5 experiments" in words
    assert "cost units (forward-equivalent samples) as planned" in words
    assert "no time can be told" in words
    assert "Launch 15 runs" in words
    assert Experiment.objects.count() == 0


def test_one_click_launches_what_is_missing_and_only_that(
    user: User, images: Dataset, cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(user)
    given = {"scale": "cpu-small", "images": str(images.uuid)}
    answer = client.post(address("bdp-1", "launch"), given, follow=True)
    assert answer.redirect_chain == [(f"{address('bdp-1')}?scale=cpu-small", 302)]
    assert "15 runs are queued." in text_of(answer)
    assert Run.objects.count() == 15
    answer = client.post(address("bdp-1", "launch"), given, follow=True)
    assert "Nothing is missing" in text_of(answer)
    assert Run.objects.count() == 15
    page = client.get(address("bdp-1", "launch"), given)
    assert "Nothing is missing" in text_of(page)


def test_without_images_the_page_says_what_is_missing_here(
    user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(user)
    assert "There is no CIFAR-10" in text_of(client.get(address("bdp-1", "launch")))
    answer = client.post(
        address("bdp-1", "launch"), {"scale": "cpu-small"}, follow=True
    )
    assert "Nothing was launched. There is no CIFAR-10" in text_of(answer)
    assert Experiment.objects.count() == 0


def test_images_that_fit_are_taken_where_the_recipes_own_are_not_here(
    user: User, images: Dataset, cpu_queue: Queue, client_for: ClientFor
) -> None:
    client = client_for(user)
    assert "15 runs in 5 experiments" in text_of(client.get(address("bdp-1", "launch")))
    own = text_of(client.get(address("bdp-1", "launch"), {"images": ""}))
    assert "Nothing to launch" in own
    assert "There is no CIFAR-10" in own


def test_another_team_sees_none_of_the_runs_and_none_of_the_images(
    launched: Callable[[str], Any],
    images: Dataset,
    team: Team,
    other_team_user: User,
    client_for: ClientFor,
) -> None:
    run = launched("bdp-1")["bdp-t1-1-9"][0]
    end(run)
    client = client_for(other_team_user)
    page = client.get(address("bdp-1"))
    assert str(run.uuid) not in page.content.decode()
    assert "15 missing" in text_of(page)
    asked = {"images": str(images.uuid)}
    assert client.get(address("bdp-1", "launch"), asked).status_code == 404
    assert images.name not in text_of(client.get(address("bdp-1", "launch")))


def test_a_viewer_reads_and_cannot_launch(viewer: User, client_for: ClientFor) -> None:
    client = client_for(viewer)
    assert "Launch what is missing" not in text_of(client.get(address("bdp-1")))
    assert client.post(address("bdp-1", "launch")).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["nothing/", "bdp-1/?scale=huge", "bdp-1/launch/?scale=huge", "nothing/launch/"],
)
def test_a_wrong_address_is_404(path: str, user: User, client_for: ClientFor) -> None:
    assert client_for(user).get(INDEX + path).status_code == 404


def test_the_csv_has_a_row_a_cell_with_its_scale(
    launched: Callable[[str], Any], user: User, client_for: ClientFor
) -> None:
    end(launched("bdp-1")["bdp-t1-9-1"][0], CONVOLUTIONS)
    answer = client_for(user).get(address("bdp-1"), {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == 5 * 4
    assert {row["scale"] for row in rows} == {"cpu-small"}
    (row,) = (
        r for r in rows if r["row"] == "T:V = 9:1" and r["column"] == "CIFAR-10 test"
    )
    assert (row["printed"], row["printed_mean"]) == ("69.79 ± 14.96", "69.79")
    assert (row["ours_n"], row["ours_mean"], row["ours_std"]) == ("1", "90.0", "")
    assert (row["deviation_points"], row["within_one_printed_std"]) == (
        "20.21",
        "False",
    )
    assert "look-up" in row["measure"]
    assert row["images"] == "four classes"


def test_the_json_can_be_read_alone(
    launched: Callable[[str], Any], user: User, client_for: ClientFor
) -> None:
    end(launched("bdp-1")["bdp-t1-9-1"][0], CONVOLUTIONS)
    told = client_for(user).get(address("bdp-1"), {"format": "json"}).json()
    assert told["scale"]["name"] == "cpu-small"
    assert told["printed_repeats"].startswith("not stated")
    row = told["rows"][-1]
    assert row["runs"] == {"wanted": 3, "succeeded": 1, "under_way": 2, "failed": 0}
    assert row["values"][1]["ours"] == {
        "n": 1,
        "mean": 90.0,
        "std": None,
        "trainings": 0,
    }
    assert row["values"][1]["printed"]["std"] == 14.96


@pytest.mark.parametrize("name", [whole.name for _, whole in all_tables()])
def test_the_latex_of_every_table_is_balanced_and_escaped(
    name: str, user: User, client_for: ClientFor
) -> None:
    text = client_for(user).get(address(name), {"format": "tex"}).content.decode()
    comment, *lines = text.strip().splitlines()
    assert comment.startswith("% ")
    assert "CPU-small scale" in comment
    assert lines[2].startswith("ours: CPU-small scale & "), "what is typeset says it"
    body = "\n".join(lines)
    assert body.count(r"\begin{tabular}") == body.count(r"\end{tabular}") == 1
    layout = re.search(r"\\begin{tabular}{(l+r+)}", body)
    assert layout is not None
    for line in lines:
        if line.endswith(r" \\"):
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn{(\d+)}", line)]
            cells = len(re.split(r"(?<!\\)&", line)) + sum(spans)
            assert cells == len(layout[1]), line
    plain = re.sub(r"\\[&%$#_{}]", "", body)
    assert plain.count("$") % 2 == 0
    assert plain.count("{") == plain.count("}")
    outside = re.sub(r"\$[^$]*\$", "", plain)
    assert not re.search(r"[%#_^~±†‡β−]", outside)


def test_the_number_of_queries_does_not_grow_with_the_runs(
    launched: Callable[[str], Any],
    user: User,
    client_for: ClientFor,
    django_assert_max_num_queries: Any,
) -> None:
    for runs in launched("bdp-3").values():
        for run in runs:
            end(run)
    client = client_for(user)
    client.get(address("bdp-3"))
    with django_assert_max_num_queries(12):
        client.get(address("bdp-3"))
    with django_assert_max_num_queries(9):
        client.get(INDEX)


def test_an_unchanged_preset_makes_an_experiment_of_its_recipe(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    """The form of the digits preset as a browser sends it, and with one change."""
    client = client_for(user)
    client.post("/experiments/new/", filled(name="as it is", seeds="5"))
    client.post("/experiments/new/", filled(training__epochs="9", name="changed"))
    found = dict(Experiment.objects.values_list("name", "recipe"))
    assert found == {"as it is": all_recipes()[0].name, "changed": ""}


def test_the_recipe_of_a_row_can_be_opened_in_the_launch_form(
    user: User, cpu_queue: Queue, client_for: ClientFor
) -> None:
    answer = client_for(user).get(
        "/experiments/new/", {"preset": "less-is-more-1-darts-v1-rs-75"}
    )
    assert answer.status_code == 200
    assert re.search('value="random" (checked|selected)', answer.content.decode())
