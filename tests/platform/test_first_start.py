from __future__ import annotations

from django.contrib.auth.models import User

from nasweb import first_start
from searchjobs.models import Membership, Queue


def test_an_empty_site_gets_an_administrator_who_maintains_a_team(db: None) -> None:
    made = first_start.make_admin()
    assert made is not None
    admin, team, password = made
    assert admin.is_superuser
    assert admin.check_password(password)
    assert len(password) >= 16
    assert (team.name, team.slug) == ("Default team", "default")
    role = Membership.objects.get(user=admin, team=team).role
    assert role == Membership.Role.MAINTAINER


def test_a_second_start_makes_nobody(db: None) -> None:
    first_start.make_admin()
    assert first_start.make_admin() is None
    assert User.objects.count() == 1


def test_a_site_with_users_gets_no_administrator(user: User) -> None:
    assert first_start.make_admin() is None


def test_queues_are_made_once(db: None) -> None:
    first_start.make_queues()
    first_start.make_queues()
    assert Queue.objects.filter(name="cpu", device=Queue.Device.CPU).count() == 1
