"""Cells without weights: told by the genotype, warned of while it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb.runs.charts import epoch_messages
from nasweb.runs.local_optimum import alert, kind_of
from searchjobs import benchmark
from searchjobs.models import EpochRecord, Queue, Run, Team
from tests.site.factories import import_table, make_run

FREE = {"none", "skip_connect", "avg_pool_3x3"}
S, C, P, N = "skip_connect", "nor_conv_3x3", "avg_pool_3x3", "none"


@pytest.mark.parametrize(
    ("operations", "kind"),
    [
        ([S] * 6, "all-skip"),
        ([S] * 5 + [N], "parameter-free"),
        ([P] * 6, "parameter-free"),
        ([S] * 5 + [C], "many-skips"),
        ([S] * 4 + [C, C], "many-skips"),
        ([S] * 3 + [P, P, C], ""),
        ([S] * 6 + [C] * 4, ""),
        ([S] * 7 + [C] * 3, "many-skips"),
        ([], ""),
    ],
)
def test_the_genotype_alone_tells(operations: list[str], kind: str) -> None:
    assert kind_of(operations, FREE) == kind


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, finished=6)


def take(run: Run, *cells: list[str]) -> None:
    """Give the last epochs of a run these cells."""
    space = benchmark.space_named("nas-bench-201")
    first = run.epoch - len(cells) + 1
    for epoch, operations in enumerate(cells, start=first):
        encoding = space.encode({"cell": operations})
        run.architecture = benchmark.resolve_one(space.name, encoding)
        EpochRecord.objects.filter(run=run, epoch=epoch).update(
            genotype=encoding, architecture=run.architecture
        )
    run.save()


def test_the_warning_says_since_when_and_what_such_a_cell_is_worth(run: Run) -> None:
    take(run, [S] * 6, [C] * 6, [S] * 4 + [C] * 2, [S] * 6, [S] * 6)
    assert run.architecture is not None
    import_table({run.architecture.encoding: 54.3})
    said = alert(run)
    assert said.tone == "danger"
    assert said.words == (
        "Local optimum since epoch 5: every edge of the cell takes a skip connection, "
        "so it holds no weights. By table it reaches 54.30 % on CIFAR-10 test."
    )


def test_many_skips_are_a_hint_that_began_before_it_got_worse_or_better(
    run: Run,
) -> None:
    take(run, [C] * 6, [S] * 6, [S] * 4 + [C] * 2)
    said = alert(run)
    assert said.tone == "warning"
    assert said.words.startswith("4 of 6 edges take a skip connection since epoch 5")


def test_an_ended_run_is_judged_by_what_it_gave(run: Run) -> None:
    """A stopping rule may have gone back to a cell of before the collapse."""
    take(run, [S] * 6)
    run.job.state = "succeeded"
    assert "took a skip connection" in alert(run).words
    space = benchmark.space_named("nas-bench-201")
    run.architecture = benchmark.resolve_one(
        space.name, space.encode({"cell": [C] * 6})
    )
    assert alert(run).words == ""


def test_before_the_first_epoch_there_is_nothing_to_warn_of(
    user: User, team: Team, cpu_queue: Queue
) -> None:
    assert alert(make_run(user, team, cpu_queue, state="queued")).words == ""


def test_an_open_page_hears_the_warning_with_the_epoch(
    run: Run, user: User, client_for: Callable[[User], Client]
) -> None:
    page = client_for(user).get(reverse("runs:detail", args=[run.uuid]))
    assert 'data-live="alert" data-tone="" hidden' in page.content.decode()
    take(run, [S] * 6)
    (message,) = epoch_messages(run, 5)
    assert message["alert"] == asdict(alert(run))
    page = client_for(user).get(reverse("runs:detail", args=[run.uuid]))
    assert "Local optimum since epoch 6" in page.content.decode()
