"""Rows and means of runs, and numbers as people read them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from nasweb import summaries
from nasweb.runs import points
from nasweb.runs.charts import tiles_of
from nasweb.runs.setting import setting_of
from nasweb.runs.status import share_done, status
from nasweb.templatetags.numbers import genotype, percent
from searchjobs.engine.plan import plan
from searchjobs.models import Queue, Run, Team
from tests.site.factories import digits_spec, import_table, make_run


def test_an_unknown_share_is_a_dash() -> None:
    assert (percent(None), percent(0.3204), percent(0.0389, 1)) == (
        "–",
        "32 %",
        "3.9 %",
    )


@pytest.mark.django_db
def test_progress_counts_the_epoch_that_is_under_way(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue, finished=4)  # of 20 epochs
    assert share_done(run) == pytest.approx(0.2)
    run.job.progress = {"epoch": 5, "step": 5, "steps": 10}
    assert share_done(run) == pytest.approx(0.225)
    run.job.progress |= {"phase": "controller"}  # whose steps are no epoch's
    assert share_done(run) == pytest.approx(0.2)
    run.job.progress = {"epoch": 2, "step": 0, "steps": 10}  # after a restart
    assert share_done(run) == pytest.approx(0.2)
    run.job.state = "succeeded"
    assert share_done(run) == 1.0


@pytest.mark.django_db
def test_a_choice_before_the_first_epoch_tells_its_own_steps_and_time(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue, state="running", finished=0)
    fit = {"phase": "autoencoder", "epoch": 1, "epochs": 50, "step": 3, "steps": 4}
    run.job.progress = {**fit, "seconds_left": 40.0}
    told = status(run)
    assert told["share"] == 0
    assert told["summary"] == "epoch 0 of 20 · autoencoder, epoch 1 of 50, 40 s left"
    assert "takes about" not in told["waiting"]
    assert summaries.Row(run, None).seconds_left is None
    run.job.progress |= {"phase": "search", "epochs": 20}
    assert "about 2 s" in status(run)["waiting"]
    assert summaries.Row(run, None).seconds_left == 40.0


@pytest.mark.django_db
def test_the_mean_is_over_the_runs_that_succeeded(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    for seed, state in enumerate(["succeeded", "succeeded", "failed"], start=1):
        make_run(user, team, cpu_queue, seed=seed, finished=3, state=state)
    found = summaries.summary(summaries.rows(_runs()))
    assert found.n == 2
    assert found.seconds.n == 2


@pytest.mark.django_db
def test_many_runs_are_looked_up_together(
    user: User,
    team: Team,
    cpu_queue: Queue,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    runs = [
        make_run(user, team, cpu_queue, seed=seed, finished=2) for seed in range(1, 9)
    ]
    encodings = {run.architecture.encoding for run in runs if run.architecture}
    import_table(dict.fromkeys(encodings, 90.5))
    with django_assert_max_num_queries(3):
        rows = summaries.rows(_runs())
    assert {row.headline.value for row in rows if row.headline} == {90.5}


@pytest.mark.django_db
def test_a_cell_is_told_by_counts_and_names(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue, finished=1)
    told = genotype(run.architecture)["operations"]
    assert sum(each["count"] for each in told) == 6
    assert genotype(None) == {"operations": []}


def _runs() -> list[Run]:
    return list(Run.objects.select_related("job", "architecture"))


@pytest.mark.django_db
def test_preview_list_and_page_tell_one_cost_of_a_run_that_derived_for_long(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    spec = digits_spec(derivation={"name": "validated"})
    planned = plan(spec)
    run = make_run(
        user, team, cpu_queue, spec=spec, finished=planned.epochs, state="succeeded"
    )
    run.cost_units = planned.cost_units
    run.save()
    (row,) = summaries.rows([run])
    assert row.cost_share == pytest.approx(planned.cost_share)
    last = points.read(run, planned.epochs - 1)[-1]
    found = {each["key"]: each for each in tiles_of(run, setting_of(run), last)}
    assert found["cost"]["value"] == f"{planned.cost_share:.2f} ×"
    assert found["cost"]["note"].startswith("of the whole search without pruning")


@pytest.mark.django_db
def test_each_epoch_is_compared_with_its_own_epochs_of_the_search_on_all_samples(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    run = make_run(user, team, cpu_queue, finished=2)
    run.plan["baseline_epochs"] = [100.0, 300.0, *[300.0] * (run.epochs - 2)]
    run.epochs_recorded.filter(epoch=1).update(cost_units=50.0)
    run.epochs_recorded.filter(epoch=2).update(cost_units=300.0)
    assert [each["cost_share"] for each in points.read(run)] == [0.5, 0.75]
    del run.plan["baseline_epochs"]  # as plans were before
    run.baseline_units = 100.0 * run.epochs
    assert [each["cost_share"] for each in points.read(run)] == [0.5, 1.5]
