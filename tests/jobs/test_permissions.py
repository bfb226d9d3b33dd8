from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from pytest_django import DjangoAssertNumQueries

from searchjobs import lifecycle
from searchjobs.launch import clone
from searchjobs.models import AuditEvent, Experiment, Job, Run, Team
from searchjobs.permissions import can_act, can_launch, can_view, visible
from searchjobs.states import State
from tests.factories import make_user
from tests.jobs.conftest import Launch

pytestmark = pytest.mark.django_db


@pytest.fixture
def everybody(
    user: User,
    viewer: User,
    maintainer: User,
    other_team_user: User,
    team: Team,
    admin_user: User,
) -> Callable[[str], User | AnonymousUser]:
    """Return people by what they are to a job that ``user`` has launched."""
    people = {
        "author": user,
        "colleague": make_user("carl", team),
        "viewer": viewer,
        "maintainer": maintainer,
        "stranger": other_team_user,
        "superuser": admin_user,
        "anonymous": AnonymousUser(),
    }
    return people.__getitem__


@pytest.mark.parametrize(
    ("who", "sees", "launches", "acts"),
    [
        ("author", True, True, True),
        ("colleague", True, True, False),
        ("viewer", True, False, False),
        ("maintainer", True, True, True),
        ("stranger", False, False, False),
        ("superuser", True, True, True),
        ("anonymous", False, False, False),
    ],
)
def test_everybody_may_do_what_their_role_says(
    everybody: Callable[[str], User],
    launched: Launch,
    team: Team,
    who: str,
    sees: bool,
    launches: bool,
    acts: bool,
) -> None:
    person = everybody(who)
    (job,) = launched()
    assert can_view(person, job) is sees
    assert can_view(person, job.run) is sees
    assert can_launch(person, team) is launches
    assert can_act(person, job) is acts
    assert can_act(person, job.run.experiment) is acts
    for model in (Job, Run, Experiment, AuditEvent):
        assert visible(model, person).exists() is sees
    assert visible(Team, person).filter(pk=team.pk).exists() is sees


@pytest.mark.parametrize("who", ["colleague", "viewer", "stranger"])
def test_nobody_cancels_what_is_not_theirs(
    everybody: Callable[[str], User], launched: Launch, who: str
) -> None:
    (job,) = launched()
    with pytest.raises(PermissionDenied, match="Only its author"):
        lifecycle.cancel(everybody(who), job)
    job.refresh_from_db()
    assert (job.state, job.cancel_requested) == (State.QUEUED, False)
    assert not AuditEvent.objects.filter(verb="cancel").exists()


def test_a_viewer_launches_nothing(launched: Launch, viewer: User) -> None:
    with pytest.raises(PermissionDenied, match="ask a maintainer"):
        launched(actor=viewer)
    assert not Experiment.objects.exists()


def test_a_stranger_launches_nothing(launched: Launch, other_team_user: User) -> None:
    with pytest.raises(PermissionDenied):
        launched(actor=other_team_user)
    assert not Job.objects.exists()


def test_a_stranger_clones_nothing(launched: Launch, other_team_user: User) -> None:
    (job,) = launched()
    with pytest.raises(PermissionDenied):
        clone(other_team_user, job.run.experiment)


def test_a_user_who_left_sees_nothing(launched: Launch, user: User) -> None:
    (job,) = launched()
    user.is_active = False
    assert not can_view(user, job)
    assert not visible(Run, user).exists()


def test_the_rows_of_a_team_are_found_in_one_query(
    launched: Launch, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    launched(seeds=(1, 2, 3))
    with django_assert_num_queries(1):
        assert len(visible(Run.objects.order_by("seed"), user)) == 3


def test_a_model_without_a_team_is_a_mistake_of_the_caller(user: User) -> None:
    with pytest.raises(TypeError, match="belongs to no team"):
        visible(User, user)
