"""Pages of searches over cells of five nodes: ten edges, and no table to look up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from nasweb.runs.words import compact
from searchjobs import benchmark
from searchjobs.models import Queue, Run, Team
from tests.site.factories import digits_spec, import_table, make_run

ClientFor = Callable[[User], Client]
SPACE = {"name": "nas-bench-201-five", "channels": 4, "cells": 1}
NOT_LOOKED_UP = (
    "These cells are in no table, for the benchmark table holds cells of four nodes: "
    "train them from scratch."
)
ROWS = ["1←0", "2←0", "2←1", "3←0", "3←1", "3←2", "4←0", "4←1", "4←2", "4←3"]


@pytest.fixture
def run(user: User, team: Team, cpu_queue: Queue) -> Run:
    return make_run(user, team, cpu_queue, spec=digits_spec(space=SPACE), finished=7)


@pytest.fixture
def client(user: User, client_for: ClientFor) -> Client:
    return client_for(user)


def embedded(response: Any, name: str = "figures") -> Any:
    pattern = rf'<script id="{name}" type="application/json">(.*?)</script>'
    found = re.search(pattern, response.content.decode(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_heat_map_has_ten_rows_and_the_count_is_of_ten_edges(
    run: Run, client: Client
) -> None:
    page = client.get(reverse("runs:detail", args=[run.uuid]))
    (trace, *_) = embedded(page)["alpha"]["data"]
    assert trace["y"] == ROWS
    assert len(trace["z"]) == 10
    assert "of 10 edges" in page.content.decode()


def test_nothing_is_looked_up_and_the_pages_say_why(run: Run, client: Client) -> None:
    four = benchmark.space_named("nas-bench-201")
    import_table({four.encode({"cell": ["skip_connect"] * 6}): 80.0})
    page = client.get(reverse("runs:detail", args=[run.uuid]))
    assert embedded(page)["table"]["empty"] == NOT_LOOKED_UP
    assert "in no table: train it from scratch" in page.content.decode()
    runs = f"?runs={run.uuid}"
    for address in (
        reverse("runs:architecture", args=[run.uuid]),
        reverse("experiments:detail", args=[run.experiment.uuid]),
        reverse("compare:index") + runs,
        reverse("analyses:index") + runs,
    ):
        text = client.get(address).content.decode()
        assert NOT_LOOKED_UP in text, address
        assert "import_nasbench201" not in text, address


def test_pages_of_four_nodes_still_say_how_to_import_the_table(
    user: User, team: Team, cpu_queue: Queue, client: Client
) -> None:
    run = make_run(user, team, cpu_queue, finished=2)
    text = client.get(reverse("runs:architecture", args=[run.uuid])).content.decode()
    assert NOT_LOOKED_UP not in text
    assert "import_nasbench201" in text


def test_the_architecture_tab_tells_what_is_known_without_an_index(
    run: Run, client: Client
) -> None:
    assert run.architecture is not None
    assert run.architecture.index is None
    text = client.get(reverse("runs:architecture", args=[run.uuid])).content.decode()
    assert "Official index" not in text
    assert f"{compact(run.architecture.parameters)} <small>CIFAR-10 network" in text
    assert all(f'<th scope="row">{row}</th>' in text for row in ROWS)


def test_the_edge_distribution_has_ten_edges(run: Run, client: Client) -> None:
    page = client.get(reverse("analyses:index") + f"?runs={run.uuid}")
    text = page.content.decode()
    assert all(row in text for row in ROWS)


def test_the_form_offers_both_spaces(client: Client) -> None:
    address = reverse("experiments:new-form")
    text = client.post(address, {"space.name": SPACE["name"]}).content.decode()
    assert "NAS-Bench-201, five nodes" in text
    assert "Five nodes, ten edges" in text


def test_a_cell_of_five_nodes_can_be_trained_from_its_run(
    run: Run, client: Client
) -> None:
    assert run.architecture is not None
    page = client.get(
        reverse("evaluations:new", args=[run.uuid]),
        {"architecture": run.architecture.encoding},
    )
    assert page.status_code == 200
    assert run.architecture.encoding in page.content.decode()
