"""Make rows for tests: plain functions with the defaults that most tests want."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from searchjobs.models import Membership, Queue, Team

PASSWORD = "correct horse battery staple"


def make_team(name: str = "Digits", slug: str = "") -> Team:
    return Team.objects.create(name=name, slug=slug or name.lower().replace(" ", "-"))


def make_user(
    username: str, team: Team | None = None, role: str = Membership.Role.MEMBER
) -> User:
    """Make a user whose password is ``PASSWORD``, with a role in a team."""
    user = get_user_model().objects.create_user(username, password=PASSWORD)
    if team is not None:
        Membership.objects.create(team=team, user=user, role=role)
    return user


def make_queue(name: str = "cpu", device: str = Queue.Device.CPU) -> Queue:
    return Queue.objects.create(name=name, device=device)
