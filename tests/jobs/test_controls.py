"""Control runs: found by spec and seed, launched once, by those who may."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from searchjobs.controls import control_name, controls_of, launch_missing
from searchjobs.launch import launch
from searchjobs.models import AuditEvent, Experiment, Membership, Queue, Run, Team
from searchjobs.states import State

pytestmark = pytest.mark.django_db

SPEC = {
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
    prints = {control.fingerprint for control in controls_of(claim)}
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
    assert controls_of(claim) == []


def test_a_long_name_is_cut_so_that_the_kind_stays() -> None:
    name = control_name("x" * 120, "random")
    assert len(name) == 120
    assert name.endswith(" · random control")
