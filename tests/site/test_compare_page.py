"""The compare page: choice, curves, tables, diff, export, and who may see it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from searchjobs.engine.plan import plan
from searchjobs.models import EpochRecord, Experiment, Job, Queue, Run, Team
from tests.site.factories import add_epoch, digits_spec, import_table, make_run
from tests.site.test_run_page import embedded

ClientFor = Callable[[User], Client]
URL = reverse("compare:index")


@pytest.fixture
def runs(user: User, team: Team, cpu_queue: Queue) -> list[Run]:
    """Two seeds of BDP, one search on all samples that is an epoch further."""
    first = make_run(user, team, cpu_queue, finished=7)
    second = make_run(
        user, team, cpu_queue, seed=2, finished=7, experiment=first.experiment
    )
    full = digits_spec(selection={"name": "full"})
    third = make_run(user, team, cpu_queue, name="All samples", spec=full, finished=8)
    return [first, second, third]


def asked(runs: list[Run]) -> dict[str, str]:
    return {"runs": ",".join(str(run.uuid) for run in runs)}


def test_seeds_of_one_spec_are_one_group_with_n(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    page = client_for(user).get(URL, asked(runs))
    assert "3 runs in 2 groups" in page.content.decode()
    names = [t.get("name") for t in embedded(page, "figures")["skips"]["data"]]
    assert "BDP on digits (n = 2)" in names
    assert "All samples (n = 1)" in names


def test_ungrouped_every_run_stands_alone(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    page = client_for(user).get(URL, {**asked(runs), "group": "none"})
    assert "3 runs in 3 groups" in page.content.decode()
    assert "BDP on digits · seed 2" in page.content.decode()


@pytest.mark.parametrize(("axis", "first"), [("epoch", 1.0), ("seconds", 1.9)])
def test_the_axis_is_chosen_in_the_address(
    axis: str, first: float, runs: list[Run], user: User, client_for: ClientFor
) -> None:
    page = client_for(user).get(URL, {**asked(runs), "x": axis})
    trace = embedded(page, "figures")["skips"]["data"][-1]
    assert trace["x"][0] == pytest.approx(first)


def test_at_equal_cost_the_dearer_search_is_read_earlier(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    content = client_for(user).get(URL, {**asked(runs), "format": "json"}).json()
    bdp, full = content["groups"]
    assert content["equal_cost_units"] == pytest.approx(bdp["last"]["cost"]["mean"])
    assert full["last"]["epoch"]["mean"] == 8
    assert full["at_equal_cost"]["epoch"]["mean"] == 6
    assert bdp["last"]["cost_share"]["mean"] < 1
    assert full["last"]["cost_share"]["mean"] == pytest.approx(1)
    assert len(full["runs"][0]["steps"]) == 8


def test_only_what_differs_is_in_the_diff(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    page = client_for(user).get(URL, asked(runs)).content.decode()
    assert "<code>selection.name</code>" in page
    assert "<code>training.epochs</code>" not in page
    assert "<code>seed</code>" not in page


def test_with_a_table_the_columns_are_look_ups(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    encodings = {run.architecture.encoding for run in runs if run.architecture}
    import_table({encoding: 90.0 + place for place, encoding in enumerate(encodings)})
    page = client_for(user).get(URL, asked(runs))
    over = '<th scope="colgroup" colspan="2" class="group">CIFAR-100</th>'
    assert page.content.decode().count(over) == 2  # at the end, and at equal cost
    assert embedded(page, "figures")["accuracy"]["data"]


def test_the_csv_has_one_row_a_run_and_no_formula(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    runs[0].experiment.name = "=1+1"
    runs[0].experiment.save()
    text = client_for(user).get(URL, {**asked(runs), "format": "csv"}).content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["seed"] for row in rows] == ["1", "2", "1"]
    assert [row["epoch"] for row in rows] == ["7", "7", "8"]
    assert rows[0]["group"] == "'=1+1"
    assert rows[0]["genotype"].startswith("|")


def test_the_latex_has_the_tables_of_the_page_with_mean_std_and_n(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    for run in runs[:2]:
        run.experiment.name = "50 % & more_of_{it} ± β"
        run.experiment.save()
    answer = client_for(user).get(URL, {**asked(runs), "format": "tex"})
    assert 'filename="comparison.tex"' in answer["Content-Disposition"]
    text = answer.content.decode()
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 3
    for title in ("% At the end", "% At equal cost", "% What differs"):
        assert title in text
    lines = [line for line in text.splitlines() if line.endswith("\\\\")]
    last = next(line for line in lines if line.startswith("50"))
    cells = last.removesuffix(r" \\").split(" & ")
    assert cells[0] == r"50 \% \& more\_of\_\{it\} $\pm$ $\beta$"
    assert cells[1] == "$2$"
    assert cells[2] == r"$7 \pm 0$ ($n=2$)"
    assert re.fullmatch(r"\$\d+\.\d \\pm \d+\.\d\$ \(\$n=2\$\)", cells[6])
    first, *rest = (line for line in text.splitlines() if "tabular}{" in line)
    assert first == r"\begin{tabular}{lrrrrrrrrrr}"
    assert rest[-1] == r"\begin{tabular}{lll}"
    assert r"selection.name & bdp & full \\" in lines


def test_the_latex_holds_the_look_ups_where_there_is_a_table(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    import_table({run.architecture.encoding: 91.5 for run in runs if run.architecture})
    address = {**asked(runs[:2]), "format": "tex"}
    text = client_for(user).get(URL, address).content.decode()
    assert text.count("\\begin{tabular}") == 1
    assert "CIFAR-100 test" in text
    assert r"$91.50 \pm 0.00$ ($n=2$)" in text


def test_a_small_chart_leaves_the_names_to_the_large_one(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    figures = embedded(client_for(user).get(URL, asked(runs)), "figures")
    small = ("remaining", "skips", "parameter-free", "free-magnitude")
    assert not any(figures[name]["layout"]["showlegend"] for name in small)
    assert figures["accuracy"]["layout"]["showlegend"]


def test_ticked_runs_become_a_stable_address(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    ticked = [str(runs[2].uuid), str(runs[0].uuid)]
    response = client_for(user).get(URL, {"run": ticked})
    assert response.status_code == 302
    assert response["Location"] == f"{URL}?runs={','.join(ticked)}"


def test_without_runs_the_page_offers_those_of_the_team(
    runs: list[Run], user: User, other_team_user: User, client_for: ClientFor
) -> None:
    page = client_for(user).get(URL).content.decode()
    assert str(runs[0].uuid) in page
    assert (
        str(runs[0].uuid)
        not in client_for(user).get(URL, {"q": "zzz"}).content.decode()
    )
    page = client_for(other_team_user).get(URL).content.decode()
    assert str(runs[0].uuid) not in page
    assert "No run yet" in page


@pytest.mark.parametrize("kind", ["", "csv", "json"])
def test_a_run_of_another_team_is_404_in_every_form(
    kind: str, runs: list[Run], other_team_user: User, client_for: ClientFor
) -> None:
    client = client_for(other_team_user)
    assert client.get(URL, {**asked(runs), "format": kind}).status_code == 404


def test_a_malformed_address_is_404_and_a_post_is_refused(
    user: User, client_for: ClientFor
) -> None:
    assert client_for(user).get(URL, {"runs": "not-a-run"}).status_code == 404
    assert client_for(user).post(URL).status_code == 405


def test_runs_without_an_epoch_say_so(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    queued = make_run(user, team, cpu_queue, state="queued")
    page = client_for(user).get(URL, asked([queued]))
    assert page.status_code == 200
    assert "finished an epoch" in embedded(page, "figures")["skips"]["empty"]


def test_the_number_of_queries_does_not_grow_with_the_runs(
    runs: list[Run],
    user: User,
    team: Team,
    cpu_queue: Queue,
    client_for: ClientFor,
    django_assert_max_num_queries: object,
) -> None:
    more = [
        make_run(user, team, cpu_queue, seed=seed, finished=2, name=f"run {seed}")
        for seed in range(3, 8)
    ]
    client = client_for(user)
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        client.get(URL, asked([*runs, *more]))


def test_a_run_that_has_ended_is_read_once_and_one_that_begins_anew_again(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    run = make_run(user, team, cpu_queue, finished=3, state="succeeded")
    Job.objects.filter(pk=run.job_id).update(finished=timezone.now())
    client = client_for(user)

    def epochs() -> tuple[int, list[float]]:
        with CaptureQueriesContext(connection) as queries:
            figures = embedded(client.get(URL, asked([run])), "figures")
        read = [each["sql"] for each in queries if "FROM" in each["sql"]]
        rows = sum('FROM "searchjobs_epochrecord"' in each for each in read)
        return rows, figures["skips"]["data"][0]["x"]

    assert epochs() == (1, [1, 2, 3])
    assert epochs() == (0, [1, 2, 3])
    Job.objects.filter(pk=run.job_id).update(state="running", finished=None, fence=2)
    add_epoch(run)
    assert epochs() == epochs() == (1, [1, 2, 3, 4])
    Job.objects.filter(pk=run.job_id).update(state="failed", finished=timezone.now())
    add_epoch(run)
    assert epochs() == (1, [1, 2, 3, 4, 5])


def test_seeds_of_before_and_after_a_new_setting_are_one_group(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    job, before = runs[1].job, runs[1].experiment
    del job.spec["diagnostics"], job.spec["dataset"]["mean"]
    job.save()
    before.pk, before.uuid = None, uuid4()
    before.spec, before.fingerprint = job.spec, "of before"
    before.save()
    Run.objects.filter(pk=runs[1].pk).update(experiment=before)
    page = client_for(user).get(URL, asked(runs)).content.decode()
    assert "3 runs in 2 groups" in page
    assert "diagnostics" not in page[page.index("What differs") :]


def test_a_mean_of_fewer_runs_than_the_group_has_says_of_how_many(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    Run.objects.filter(pk=runs[1].pk).update(epoch=0)
    EpochRecord.objects.filter(run=runs[1]).delete()
    page = client_for(user).get(URL, asked(runs[:2])).content.decode()
    row = page[page.index('<th scope="row"><span class="swatch"') :]
    row = row[: row.index("</tr>")]
    assert '<td class="num">2</td>' in row
    assert "<small>n = 1</small>" in row


def test_no_name_of_an_experiment_leaves_its_place_in_the_page(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    Experiment.objects.update(name="</script><b>&β")
    answer = client_for(user).get(URL, asked(runs))
    assert "<b>&β" not in answer.content.decode()
    names = [t.get("name", "") for t in embedded(answer, "figures")["skips"]["data"]]
    assert any(name.startswith("</script><b>&β") for name in names)


def test_the_page_shows_who_collapses(
    runs: list[Run], user: User, client_for: ClientFor
) -> None:
    figures = embedded(client_for(user).get(URL, asked(runs)), "figures")
    for chart in ("skips", "parameter-free", "free-magnitude"):
        lines = [t for t in figures[chart]["data"] if t.get("name")]
        assert len(lines) == 2
        assert all(len(line["y"]) > 1 for line in lines)
    free = figures["parameter-free"]["data"][-1]["y"]
    skips = figures["skips"]["data"][-1]["y"]
    assert all(f >= s for f, s in zip(free, skips, strict=True))


def test_what_a_run_cost_counts_its_derivation(
    user: User, team: Team, cpu_queue: Queue, client_for: ClientFor
) -> None:
    spec = digits_spec(4, derivation={"name": "validated"})
    run = make_run(user, team, cpu_queue, spec=spec, finished=4, state="succeeded")
    run.cost_units = plan(spec).cost_units
    run.save()
    page = client_for(user).get(URL, {**asked([run]), "format": "json"})
    (group,) = page.json()["groups"]
    assert group["last"]["cost"]["mean"] == run.cost_units
    share = run.cost_units / run.baseline_units
    assert group["last"]["cost_share"]["mean"] == pytest.approx(share)
