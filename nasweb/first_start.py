"""What an empty installation gets: an administrator, a team, queues, an example."""

from __future__ import annotations

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from searchjobs import gpus
from searchjobs.models import Membership, Queue, Team
from searchjobs.workers import queue_for

ADMIN = "admin"
TEAM_NAME, TEAM_SLUG = "Default team", "default"


def make_queues() -> None:
    """Make the queue of the CPU, and that of the GPUs where there are any."""
    queue_for(Queue.Device.CPU)
    if gpus.usable():
        queue_for(Queue.Device.GPU)


@transaction.atomic
def make_admin() -> tuple[User, Team, str] | None:
    """Make the administrator and the team; None if the site has users already.

    Returns:
        The account, its team, and the password, which is stored nowhere.
    """
    if get_user_model().objects.exists():
        return None
    password = secrets.token_urlsafe(12)
    admin = get_user_model().objects.create_superuser(ADMIN, password=password)
    team, _ = Team.objects.get_or_create(slug=TEAM_SLUG, defaults={"name": TEAM_NAME})
    Membership.objects.create(team=team, user=admin, role=Membership.Role.MAINTAINER)
    return admin, team, password
