"""Control runs: found by spec and seed, launched once, by those who may."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from searchjobs import stored_specs
from searchjobs.controls import control_name, controls_of, launch_missing
from searchjobs.engine.selection import subset as stored_subset
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.subset import NAME, SubsetFile, make_subset
from searchjobs.engine.subset_spec import validate_subset
from searchjobs.launch import launch
from searchjobs.models import (
    AuditEvent,
    Experiment,
    Job,
    Membership,
    Queue,
    Run,
    Subset,
    Team,
)
from searchjobs.states import State

pytestmark = pytest.mark.django_db

SPEC: dict[str, Any] = {
    "space": {"name": "nas-bench-201", "channels": 4, "cells": 1},
    "dataset": {"name": "digits"},
    "selection": {"name": "bdp", "window": 2},
    "training": {"epochs": 4},
    "compute": {"device": "cpu"},
}


@pytest.fixture
def claim(user: User, team: Team, cpu_queue: Queue) -> Experiment:
    return launch(user, team, "BDP", SPEC, [1, 2, 3], tags=["digits"])


def test_one_call_launches_both_controls_with_all_seeds(
    claim: Experiment, user: User
) -> None:
    made = launch_missing(user, claim)
    assert [each.name for each in made] == ["BDP · random control", "BDP · all samples"]
    assert [each.seeds for each in made] == [[1, 2, 3]] * 2
    assert made[0].spec["selection"]["criterion"] == "random"
    assert made[1].spec["selection"] == {"name": "full"}
    assert all(each.tags == ["digits", "control"] for each in made)
    prints = {control.fingerprint for control in controls_of([claim])[claim]}
    assert prints == {each.fingerprint for each in made}
    event = AuditEvent.objects.get(verb="add-controls")
    assert event.object_id == str(claim.uuid)
    assert event.after == {"experiments": [str(each.uuid) for each in made]}


def test_a_second_call_finds_nothing_missing(claim: Experiment, user: User) -> None:
    launch_missing(user, claim)
    assert launch_missing(user, claim) == []
    assert Run.objects.count() == 9


def test_only_the_seeds_without_a_run_that_may_succeed_are_launched(
    claim: Experiment, user: User, team: Team
) -> None:
    """Somebody has searched on all samples before; one of those runs has failed."""
    launch(user, team, "baseline", {**SPEC, "selection": {"name": "full"}}, [1, 2, 9])
    failed = Run.objects.get(experiment__name="baseline", seed=2).job
    type(failed).objects.filter(pk=failed.pk).update(state=State.FAILED)
    made = {each.name: each.seeds for each in launch_missing(user, claim)}
    assert made == {"BDP · random control": [1, 2, 3], "BDP · all samples": [2, 3]}


def of_before(experiment: Experiment) -> None:
    """Store an experiment as a version did that knew some settings not yet."""
    spec = experiment.spec
    for name in ("mean", "std"):
        del spec["dataset"][name]
    del spec["diagnostics"], spec["compute"]["devices"]
    text = stored_specs.text_of(spec)
    experiment.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    experiment.save()


def test_a_control_of_before_some_setting_was_there_is_still_one(
    claim: Experiment, user: User, team: Team
) -> None:
    whole = launch(user, team, "old", {**SPEC, "selection": {"name": "full"}}, [1, 2])
    today = whole.fingerprint
    of_before(whole)
    assert whole.fingerprint != today
    made = {each.name: each.seeds for each in launch_missing(user, claim)}
    assert made == {"BDP · random control": [1, 2, 3], "BDP · all samples": [3]}


def test_a_claim_of_before_some_setting_was_there_finds_its_controls(
    claim: Experiment, user: User
) -> None:
    launch_missing(user, claim)
    of_before(claim)
    assert launch_missing(user, claim) == []


def test_another_value_of_the_new_setting_makes_no_control(
    claim: Experiment, user: User, team: Team
) -> None:
    given = {"mean": [0.5] * 3, "std": [0.5] * 3, "normalise": "given"}
    dataset = {**SPEC["dataset"], **given}
    other = {**SPEC, "selection": {"name": "full"}, "dataset": dataset}
    launch(user, team, "other", other, [1, 2, 3])
    assert [each.seeds for each in launch_missing(user, claim)] == [[1, 2, 3]] * 2


OUTLIERS = {
    "dataset": {"name": "digits"},
    "selection": {"name": "class-outlier", "keep_train": 0.3},
}


def on_subset(team: Team, user: User, subset: str, row: Subset | None) -> Experiment:
    spec = SearchSpec.model_validate(
        {**SPEC, "selection": {"name": "subset", "subset": subset}}
    )
    return Experiment.objects.create(
        team=team,
        name="on a subset",
        spec=spec.model_dump(mode="json"),
        fingerprint=spec.fingerprint(with_seed=False),
        seeds=[1],
        subset=row,
        author=user,
    )


def by_chance(experiment: Experiment) -> dict[str, Any]:
    (found,) = controls_of([experiment]).values()
    return {each.kind: each.spec.selection.model_dump() for each in found}


def test_the_control_of_a_subset_is_known_without_its_file(
    user: User, team: Team, cpu_queue: Queue, django_assert_num_queries: Any
) -> None:
    spec = validate_subset(OUTLIERS).model_dump(mode="json")
    job = Job.objects.create(
        team=team,
        author=user,
        spec=spec,
        queue=cpu_queue,
        queued=timezone.now(),
        kind=Job.Kind.SUBSET,
    )
    row = Subset.objects.create(job=job, name="outliers", spec=spec)
    many = [on_subset(team, user, str(row.uuid), row) for _ in range(3)]
    found = by_chance(many[0])
    assert set(found) == {"random", "all"}
    assert found["random"]["name"] == "random"
    assert found["random"]["keep_train"] == 0.3
    with django_assert_num_queries(1):
        assert len({len(its) for its in controls_of(many).values()}) == 1


def test_the_file_of_a_subset_that_a_path_names_is_read_once(
    user: User, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(make_subset(validate_subset(OUTLIERS), tmp_path))
    many = [on_subset(team, user, str(tmp_path / NAME), None) for _ in range(3)]
    reads = []
    read = stored_subset._read

    def counted(options: stored_subset.SubsetOptions) -> SubsetFile:
        reads.append(options)
        return read(options)

    monkeypatch.setattr(stored_subset, "_read", counted)
    kinds = [[each.kind for each in its] for its in controls_of(many).values()]
    assert kinds == [["random", "all"]] * 3
    assert len(reads) == 1
    (tmp_path / NAME).unlink()
    assert set(by_chance(many[0])) == {"all"}


def test_runs_of_another_team_are_no_controls(
    claim: Experiment, user: User, other_team_user: User
) -> None:
    others = Membership.objects.get(user=other_team_user).team
    launch(other_team_user, others, "x", {**SPEC, "selection": {"name": "full"}}, [1])
    assert [each.seeds for each in launch_missing(user, claim)] == [[1, 2, 3]] * 2


def test_all_samples_need_no_control(user: User, team: Team, cpu_queue: Queue) -> None:
    plain = launch(user, team, "plain", {**SPEC, "selection": {"name": "full"}}, [1])
    assert launch_missing(user, plain) == []


def test_who_may_not_launch_launches_no_control(
    claim: Experiment, viewer: User, other_team_user: User
) -> None:
    for person in (viewer, other_team_user):
        with pytest.raises(PermissionDenied):
            launch_missing(person, claim)
    assert Run.objects.count() == 3


def test_a_spec_of_another_version_has_no_controls(claim: Experiment) -> None:
    claim.spec = {**claim.spec, "selection": {"name": "forgotten"}}
    assert controls_of([claim]) == {claim: []}


def test_a_long_name_is_cut_so_that_the_kind_stays() -> None:
    name = control_name("x" * 120, "random")
    assert len(name) == 120
    assert name.endswith(" · random control")
