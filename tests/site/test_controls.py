"""What stands beside a claim on pages: values, equal cost, differences, the button."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from nasweb.controls import Claim, claims
from searchjobs.models import EpochRecord, Experiment, Membership, Queue, Run, Team
from tests.factories import make_user
from tests.site.factories import digits_spec, import_table, make_run

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
Make = Callable[..., Experiment]


@pytest.fixture
def make(user: User, team: Team, cpu_queue: Queue) -> Make:
    """A function that makes an experiment with ended runs, a seed each."""

    def made(
        selection: dict[str, Any], seeds: list[int], state: str = "succeeded"
    ) -> Experiment:
        spec = digits_spec(epochs=10, selection=selection)
        experiment = None
        for seed in seeds:
            run = make_run(
                user,
                team,
                cpu_queue,
                seed=seed,
                spec=spec,
                name=f"{selection}",
                finished=10,
                state=state,
                experiment=experiment,
            )
            experiment = run.experiment
        assert experiment is not None
        experiment.seeds = seeds
        experiment.save()
        return experiment

    return made


BDP = {"name": "bdp", "window": 5}
CHANCE = {**BDP, "criterion": "random"}
FULL = {"name": "full"}


def import_cells() -> None:
    """Let the table know every cell that was met, each another accuracy."""
    cells = sorted(set(EpochRecord.objects.values_list("genotype", flat=True)))
    import_table({cell: 60 + 30 * at / len(cells) for at, cell in enumerate(cells)})


def one(experiment: Experiment) -> Claim:
    (found,) = claims([experiment])
    return found


def values(claim: Claim) -> dict[str, list[float | None]]:
    return {line.title: list(line.values) for line in claim.lines}


def test_all_samples_are_read_where_they_had_cost_as_much(make: Make) -> None:
    claim = make(BDP, [1, 2])
    whole = make(FULL, [1, 2])
    budget = Run.objects.filter(experiment=claim).first().cost_units  # type: ignore[union-attr]
    found = one(claim)
    equal = next(line for line in found.lines if "equal cost" in line.title)
    run = Run.objects.get(experiment=whole, seed=1)
    paid = EpochRecord.objects.filter(run=run, cost_units__lte=budget)
    last = paid.order_by("-epoch").first()
    assert last is not None
    reading = next(each for each in equal.places if each.seed == 1)
    assert (reading.epoch, reading.cost) == (last.epoch, last.cost_units)
    assert 5 < reading.epoch < 10
    assert reading.cell == last.genotype
    assert equal.values[0] == pytest.approx(100 * (last.inherited_accuracy or 0))
    end = next(line for line in found.lines if "to the end" in line.title)
    assert {each.epoch for each in end.places} == {10}


def test_with_a_table_the_values_are_look_ups_of_the_cells(make: Make) -> None:
    claim, whole, chance = make(BDP, [1, 2]), make(FULL, [1, 2]), make(CHANCE, [1, 2])
    import_cells()
    found = one(claim)
    assert "CIFAR-10 test accuracy of the cell by table" in found.measure
    ours, chances, _, _ = found.lines
    assert all(value and value >= 60 for value in ours.values)
    assert chances.against is not None
    assert (chances.against.group.n, chances.against.reference.n) == (2, 2)
    assert (found.missing, found.going) == (0, 0)
    assert len(found.runs) == 6
    assert {whole.pk, chance.pk} & {claim.pk} == set()


def test_the_same_seed_twice_is_one_observation(make: Make) -> None:
    claim = make(BDP, [1, 2])
    make(FULL, [1])
    make(FULL, [1, 2])
    end = one(claim).lines[-1]
    assert [each.seed for each in end.places] == [1, 2]
    assert end.against is not None
    assert end.against.reference.n == 2


def test_other_seeds_are_no_controls(make: Make) -> None:
    claim = make(BDP, [1, 2])
    make(FULL, [2, 3], state="running")
    found = one(claim)
    assert found.going == 1
    assert found.missing == 3
    assert len(found.runs) == 3


def test_what_has_not_ended_does_not_count_but_is_not_missing(make: Make) -> None:
    claim = make(BDP, [1, 2, 3])
    make(FULL, [1, 2], state="running")
    found = one(claim)
    assert found.missing == 3 + 1  # chance for three seeds, all samples for the third
    assert found.going == 2
    assert values(found)["all samples, to the end"] == []
    # but a search that has spent as much already may be read there
    assert len(values(found)["all samples, read at equal cost"]) == 2


def test_without_an_ended_run_there_is_no_budget(make: Make) -> None:
    claim = make(BDP, [1], state="running")
    make(FULL, [1])
    found = one(claim)
    assert values(found)["all samples, read at equal cost"] == []
    assert "Neither group has a value" in found.table.rows[2][-1]  # type: ignore[operator]


def test_chance_and_all_samples_make_no_claim_against_chance(make: Make) -> None:
    whole, claim, chance = make(FULL, [1]), make(BDP, [1]), make(CHANCE, [1])
    assert claims([whole]) == []
    # beside the claim that it controls, chance is no claim of its own
    assert [each.experiment for each in claims([whole, claim, chance])] == [claim]
    assert [line.title for line in one(chance).lines[1:]] == [
        "all samples, read at equal cost",
        "all samples, to the end",
    ]


def test_every_p_value_stands_with_n_and_what_it_compares(
    make: Make, user: User, client_for: ClientFor
) -> None:
    claim = make(BDP, [1, 2, 3])
    make(FULL, [1, 2])
    import_cells()
    address = reverse("experiments:detail", args=[claim.uuid])
    answer = client_for(user).get(address, {"controls": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["search"] for row in rows][1:] == [
        "random, same schedule and limits",
        "all samples, read at equal cost",
        "all samples, to the end",
    ]
    for row in rows[1:]:
        if row["p"]:
            assert int(row["accuracy_n"]) > 1
            assert "(n = 3) against" in row["compares"]
        else:
            assert row["compares"].endswith(".")
    assert any(row["p"] for row in rows)


def test_the_page_shows_the_controls_and_a_member_adds_them(
    make: Make, user: User, team: Team, client_for: ClientFor
) -> None:
    claim = make(BDP, [1, 2])
    client = client_for(user)
    address = reverse("experiments:detail", args=[claim.uuid])
    page = client.get(address).content.decode()
    assert "4 control runs are missing" in page
    assert "random, same schedule and limits" in page
    answer = client.post(reverse("experiments:controls", args=[claim.uuid]))
    assert answer.headers["Location"] == address
    page = client.get(address).content.decode()
    assert "4 control runs were launched." in page
    assert "are missing" not in page
    assert Run.objects.count() == 6
    viewer = make_user("v", team, Membership.Role.VIEWER)
    assert "<button" not in _card(client_for(viewer).get(address).content.decode())


def test_a_page_of_all_samples_has_no_such_card(
    make: Make, user: User, client_for: ClientFor
) -> None:
    whole = make(FULL, [1])
    page = client_for(user).get(reverse("experiments:detail", args=[whole.uuid]))
    assert "Controls" not in page.content.decode()


def test_a_run_whose_stored_spec_lacks_a_setting_of_today_is_found_as_the_control(
    make: Make, user: User, client_for: ClientFor
) -> None:
    claim, whole, chance = make(BDP, [1, 2]), make(FULL, [1, 2]), make(CHANCE, [1, 2])
    for old in (whole, chance):
        for name in ("mean", "std"):  # came later; the default is none
            del old.spec["dataset"][name]
        del old.spec["diagnostics"]
        old.fingerprint = f"old{old.pk}"
        old.save()
    found = one(claim)
    assert (found.missing, found.going) == (0, 0)
    assert [len(line.places) for line in found.lines] == [2, 2, 2, 2]
    # and beside the claim that it controls, old chance is no claim of its own
    beside = claims([claim, Experiment.objects.get(pk=chance.pk)])
    assert [each.experiment for each in beside] == [claim]
    runs = ",".join(str(run.uuid) for run in Run.objects.order_by("pk"))
    page = client_for(user).get(reverse("compare:index"), {"runs": runs})
    assert "Controls of" in page.content.decode()
    assert "missing: without" not in page.content.decode()


def test_claims_are_read_in_a_fixed_number_of_queries(
    make: Make, django_assert_max_num_queries: Any
) -> None:
    many = [make({**BDP, "prune_train": 0.1 * share}, [1, 2]) for share in (1, 2, 3)]
    make(FULL, [1, 2])
    experiments = list(Experiment.objects.filter(pk__in=[each.pk for each in many]))
    with django_assert_max_num_queries(5):
        assert len(claims(experiments)) == 3


def test_an_experiment_page_asks_as_much_for_many_runs_as_for_few(
    make: Make, user: User, client_for: ClientFor
) -> None:
    client = client_for(user)
    asked = []
    for count, share in ((2, 0.1), (6, 0.2)):
        claim = make({**BDP, "prune_train": share}, list(range(1, count + 1)))
        make({**CHANCE, "prune_train": share}, list(range(1, count + 1)))
        make(FULL, list(range(1, count + 1)))
        with CaptureQueriesContext(connection) as queries:
            page = client.get(reverse("experiments:detail", args=[claim.uuid]))
        assert page.status_code == 200
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 16


def _card(page: str) -> str:
    start = page.index('aria-labelledby="controls-1"')
    return page[start : page.index("</section>", start)]
